//! `keyherd cred import`: documents in, all of them checked before the first is connected.

use std::path::PathBuf;

use clap::Args;
use keyherd_api::documents::{CredentialDocument, ListView, parse_credentials};
use keyherd_core::credential::Draft;

use super::super::failure::Failure;
use super::super::input;
use super::super::output::Output;
use super::super::peer::{Context, actor};
use super::super::progress::Progress;
use super::connect::{ConnectedView, Mode, check};
use crate::wire::Wired;

/// Import one credential document, or a JSON array of them.
///
/// All documents are checked first; then they are imported one after the other. Where one is refused, those before it
/// stand, and those after it were not touched. A document:
///
/// {"name": "acme-1", "provider": "generic", "kind": "oauth2", "access_token": "…", "refresh_token": "…",
/// "expires_at": "2026-11-20T10:00:00Z", "client_id": "…", "client_secret": "…", "token_url": "https://…",
/// "scopes": ["…"], "chain": "…", "attributes": {}}
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The file; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    mode: Mode,
}

impl Import {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let (drafts, is_list) = self.read(context.settings.command.input_bytes_max)?;
        let out = context.out;
        let work = async |wired: &Wired| {
            check(&drafts, &wired.profiles)?;
            let mut views = Vec::with_capacity(drafts.len());
            let outcome = self.connect(wired, drafts, out, &mut views).await;
            match views.pop() {
                _ if !out.is_json() => {}
                Some(view) if !is_list => out.json(&view)?,
                None if !is_list => {}
                last => out.json(&ListView::whole(views.into_iter().chain(last)))?,
            }
            outcome
        };
        context.peer(work).await
    }

    fn read(&self, bytes_max: usize) -> Result<(Vec<Draft>, bool), Failure> {
        let text = input::read(&self.file, bytes_max)?;
        let place = if self.file.as_os_str() == "-" {
            "standard input".into()
        } else {
            self.file.display().to_string()
        };
        let documents =
            parse_credentials(text.as_bytes()).map_err(|error| Failure::from(error).within(&place))?;
        let drafts: Result<_, _> = documents.into_iter().map(CredentialDocument::into_draft).collect();
        Ok((drafts.map_err(|error| Failure::from(error).within(&place))?, text.trim_start().starts_with('[')))
    }

    async fn connect(
        &self,
        wired: &Wired,
        drafts: Vec<Draft>,
        out: Output,
        views: &mut Vec<ConnectedView>,
    ) -> Result<(), Failure> {
        let total = drafts.len();
        let progress = Progress::new("importing", total as u64);
        for (draft, done) in drafts.into_iter().zip(0_usize..) {
            let connected = wired.broker.connect(draft, self.mode.connect_mode(), &actor()).await;
            let connected = connected.map_err(|error| Failure::from(error).after(done, total))?;
            let view = ConnectedView::new(&connected, wired.broker.now());
            out.say(view.line())?;
            views.push(view);
            progress.reach(views.len() as u64);
        }
        Ok(())
    }
}
