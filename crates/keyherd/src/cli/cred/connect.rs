//! What `import` and `add` share: checking documents before anything is changed, connecting them, and saying so.

use std::collections::HashSet;

use clap::Args;
use keyherd_api::documents::{ConnectedView, CredentialDocument};
use keyherd_core::broker::ConnectMode;
use keyherd_core::credential::Draft;

use super::super::failure::Failure;
use crate::peer::Peer;

/// How many names a line lists.
const NAMES_MAX: usize = 10;

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

/// For people.
pub(super) fn line(view: &ConnectedView) -> String {
    let credential = &view.credential;
    let what = match view.outcome.as_str() {
        "joined" => "joined its chain, whose tokens are unchanged",
        "replaced" => "reconnected",
        "kept" => "exists already: left as it is",
        other => other,
    };
    let (name, provider, state) = (&credential.name, &credential.provider, &credential.state);
    let note = view.note.as_ref().map_or_else(String::new, |note| format!("; note: {note}"));
    format!("{name}: {what} ({provider}, {state}, generation {}){note}", credential.generation)
}

/// Everything that can be known of documents before the first one is connected. Returns nothing: what is connected later
/// is the documents.
pub(super) async fn check(
    documents: &[CredentialDocument],
    mode: ConnectMode,
    peer: &dyn Peer,
) -> Result<(), Failure> {
    let drafts: Result<Vec<Draft>, _> =
        documents.iter().cloned().map(CredentialDocument::into_draft).collect();
    let (drafts, mut names) = (drafts?, HashSet::new());
    if let Some(twice) = drafts.iter().find(|draft| !names.insert(&draft.name)) {
        let line = format!("credential '{}' is there twice: keep one of them", twice.name);
        return Err(Failure::failed(line));
    }
    peer.check(&drafts).await?;
    if mode == ConnectMode::Create && drafts.len() > 1 {
        return check_names(&drafts, peer).await;
    }
    Ok(())
}

/// Of many, none is imported where one could not be. A single one is refused by its own import.
async fn check_names(drafts: &[Draft], peer: &dyn Peer) -> Result<(), Failure> {
    let mut taken = Vec::new();
    for draft in drafts {
        taken.extend(peer.find(&draft.name).await?.map(|found| found.name));
    }
    match taken.len() {
        0 => Ok(()),
        count => Err(Failure::failed(format!(
            "{count} of {} credentials exist already ({}), and nothing was imported: reconnect them with --replace, or \
             leave them with --if-absent",
            drafts.len(),
            listed(&taken)
        ))),
    }
}

/// Names in a line, as many as fit.
pub(super) fn listed(names: &[String]) -> String {
    let mut text =
        names.iter().take(NAMES_MAX).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
    if let Some(more) = names.len().checked_sub(NAMES_MAX).filter(|more| *more > 0) {
        text.push_str(&format!(" and {more} more"));
    }
    text
}
