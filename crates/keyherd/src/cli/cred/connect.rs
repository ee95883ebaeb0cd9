//! What `import` and `add` share: checking drafts before anything is changed, connecting them, and saying so.

use std::collections::HashSet;

use clap::Args;
use keyherd_adapters::profile::FolderProfiles;
use keyherd_api::documents::CredentialView;
use keyherd_core::broker::{ConnectMode, Connected};
use keyherd_core::credential::{Draft, Kind};
use keyherd_core::time::Timestamp;
use serde::Serialize;

use super::super::failure::Failure;

/// What to do where the name is taken.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Mode {
    /// Reconnect credentials that exist: new tokens, all else as it is
    #[arg(long, conflicts_with = "if_absent")]
    replace: bool,
    /// Leave credentials that exist as they are
    #[arg(long)]
    if_absent: bool,
}

impl Mode {
    pub(super) fn connect_mode(self) -> ConnectMode {
        match (self.replace, self.if_absent) {
            (true, _) => ConnectMode::Replace,
            (_, true) => ConnectMode::IfAbsent,
            _ => ConnectMode::Create,
        }
    }
}

/// A credential as it stands now, and what became of its document.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectedView {
    #[serde(flatten)]
    credential: CredentialView,
    outcome: &'static str,
}

impl ConnectedView {
    pub(super) fn new(connected: &Connected, now: Timestamp) -> Self {
        let outcome = match connected {
            Connected::Created(_) => "created",
            Connected::Joined(_) => "joined",
            Connected::Replaced(_) => "replaced",
            Connected::Kept(_) => "kept",
        };
        Self { credential: CredentialView::new(connected.loaded(), now), outcome }
    }

    /// For people.
    pub(super) fn line(&self) -> String {
        let CredentialView { name, provider, state, generation, .. } = &self.credential;
        let what = match self.outcome {
            "joined" => "joined its chain, whose tokens are unchanged",
            "replaced" => "reconnected",
            "kept" => "exists already: left as it is",
            other => other,
        };
        format!("{name}: {what} ({provider}, {state}, generation {generation})")
    }
}

/// Everything that can be known of drafts before the first one is connected.
pub(super) fn check(drafts: &[Draft], profiles: &FolderProfiles) -> Result<(), Failure> {
    let mut names = HashSet::new();
    for draft in drafts {
        check_provider(draft, profiles)?;
        if !names.insert(&draft.name) {
            return Err(Failure::failed(format!(
                "credential '{}' is there twice: keep one of them",
                draft.name
            )));
        }
    }
    Ok(())
}

fn check_provider(draft: &Draft, profiles: &FolderProfiles) -> Result<(), Failure> {
    let whose = || format!("credential '{}'", draft.name);
    let profile = profiles.find(&draft.provider).map_err(|error| Failure::from(error).within(whose()))?;
    let profile = profile.ok_or_else(|| {
        let provider = draft.provider.chars().filter(|c| !c.is_control()).take(64).collect::<String>();
        Failure::failed(format!("no provider is named '{provider}': see 'keyherd provider list'"))
            .within(whose())
    })?;
    let is_refreshed = draft.refresh_token.is_some() || draft.kind == Kind::ClientCredentials;
    if is_refreshed || draft.token_url.is_some() {
        let url = profile.resolve_token_url(draft.token_url.as_deref());
        url.map_err(|error| Failure::failed(error).within(whose()))?;
    }
    Ok(())
}
