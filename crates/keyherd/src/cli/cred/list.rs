//! `keyherd cred list`: all credentials, page by page.

use clap::Args;
use comfy_table::{Cell, Table};
use keyherd_api::documents::CredentialView;
use keyherd_core::credential::Loaded;
use keyherd_core::ids::Name;
use keyherd_core::time::Timestamp;

use super::super::duration::brief;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::peer::Context;
use crate::wire::Wired;

/// Credentials read at once.
const PAGE: usize = 1_000;

/// List all credentials, in order of names. Secrets are never shown.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let out = context.out;
        let work = async |wired: &Wired| {
            let mut list = Listing::begin(out)?;
            let mut after: Option<Name> = None;
            loop {
                let page = wired.broker.list(after.as_ref(), PAGE).await?;
                list.page(&page.items, wired.broker.now())?;
                after = match page.next {
                    Some(_) => page.items.last().map(|last| last.credential.name.clone()),
                    None => return list.end(),
                };
            }
        };
        context.peer(work).await
    }
}

/// Written as it is read: memory does not grow with the number of credentials.
struct Listing {
    out: Output,
    shown: usize,
}

impl Listing {
    fn begin(out: Output) -> Result<Self, Failure> {
        if out.is_json() {
            out.raw("{\"items\":[")?;
        }
        Ok(Self { out, shown: 0 })
    }

    fn page(&mut self, items: &[Loaded], now: Timestamp) -> Result<(), Failure> {
        if self.out.is_json() {
            for loaded in items {
                let comma = if self.shown > 0 { "," } else { "" };
                let view =
                    serde_json::to_string(&CredentialView::new(loaded, now)).map_err(Failure::failed)?;
                self.out.raw(&format!("{comma}{view}"))?;
                self.shown += 1;
            }
            return Ok(());
        }
        if !items.is_empty() {
            self.out.show(&table(self.out, items, now))?;
        }
        self.shown += items.len();
        Ok(())
    }

    fn end(self) -> Result<(), Failure> {
        match (self.out.is_json(), self.shown) {
            (true, _) => self.out.raw("]}\n"),
            (false, 0) => self.out.line("no credentials yet: see 'keyherd cred import --help'"),
            (false, _) => Ok(()),
        }
    }
}

fn table(out: Output, items: &[Loaded], now: Timestamp) -> Table {
    let mut table = out.table(&["NAME", "PROVIDER", "KIND", "STATE", "GENERATION", "TOKEN ENDS"]);
    for loaded in items {
        let state = loaded.state(now);
        table.add_row([
            Cell::new(&loaded.credential.name),
            Cell::new(&loaded.chain.provider),
            Cell::new(loaded.chain.kind.as_str()),
            out.state(state),
            Cell::new(loaded.chain.generation),
            Cell::new(ends(loaded, now)),
        ]);
    }
    table
}

/// When the access token ends, as a person counts.
pub(super) fn ends(loaded: &Loaded, now: Timestamp) -> String {
    let tokens = &loaded.chain.tokens;
    match (&tokens.access_token, tokens.expires_at) {
        (None, _) => "no token yet".into(),
        (Some(_), None) => "never".into(),
        (Some(_), Some(end)) if now < end => format!("in {}", brief(now.until(end))),
        (Some(_), Some(end)) => format!("{} ago", brief(end.until(now))),
    }
}
