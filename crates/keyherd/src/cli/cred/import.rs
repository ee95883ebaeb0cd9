//! `keyherd cred import`: documents in, all of them checked before the first is connected.

use std::path::PathBuf;

use clap::Args;
use keyherd_api::documents::{ConnectedView, CredentialDocument, ListView, parse_credentials};
use keyherd_core::broker::ConnectMode;

use super::super::failure::Failure;
use super::super::input;
use super::super::output::Output;
use super::super::peer::Context;
use super::super::progress::Progress;
use super::connect::{Mode, check, line, listed};
use crate::peer::Peer;

/// Import one credential document, or a JSON array of them.
///
/// All documents and their names are checked first, and nothing is imported where one cannot be. Then they are imported
/// one after the other; should the store refuse one, it is said which stand and which were not touched. A document that
/// names an existing chain joins it: the chain's tokens stay as they are. A document:
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
        let (documents, is_list) = self.read(context.settings.command.input_bytes_max)?;
        let (out, mode) = (context.out, self.mode.connect_mode());
        let work = async |peer: &dyn Peer| {
            check(&documents, mode, peer).await.map_err(|failure| failure.within(self.place()))?;
            let mut views = Vec::with_capacity(documents.len());
            if documents.is_empty() {
                out.say("0 credentials imported: the array is empty")?;
            }
            let outcome = connect(peer, documents, mode, out, &mut views).await;
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

    fn read(&self, bytes_max: usize) -> Result<(Vec<CredentialDocument>, bool), Failure> {
        let text = input::read(&self.file, bytes_max)?;
        let documents = parse_credentials(text.as_bytes());
        let documents = documents.map_err(|error| Failure::from(error).within(self.place()))?;
        Ok((documents, text.trim_start().starts_with('[')))
    }

    fn place(&self) -> String {
        match self.file.as_os_str() == "-" {
            true => "standard input".into(),
            false => self.file.display().to_string(),
        }
    }
}

async fn connect(
    peer: &dyn Peer,
    documents: Vec<CredentialDocument>,
    mode: ConnectMode,
    out: Output,
    views: &mut Vec<ConnectedView>,
) -> Result<(), Failure> {
    let names: Vec<String> = documents.iter().map(|document| document.name.clone()).collect();
    let progress = Progress::new("importing", names.len() as u64);
    for (document, done) in documents.into_iter().zip(0_usize..) {
        let connected = peer.connect(document, mode).await;
        let view = connected.map_err(|failure| failure.noting(stands(&names, done)))?;
        out.say(line(&view))?;
        views.push(view);
        progress.reach(views.len() as u64);
    }
    Ok(())
}

/// Which of several were imported before one was refused, and which were not.
fn stands(names: &[String], done: usize) -> String {
    let (imported, left) = names.split_at(done);
    match (names.len(), done) {
        (..2, _) => String::new(),
        (_, 0) => format!(" (none of {} was imported)", names.len()),
        _ => format!(
            " (imported: {}; not imported: {}; once that is mended, run it again with --if-absent)",
            listed(imported),
            listed(left)
        ),
    }
}
