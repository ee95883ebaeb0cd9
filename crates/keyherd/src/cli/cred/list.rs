//! `keyherd cred list`: all credentials, page by page.

use clap::Args;
use comfy_table::{Cell, Table};
use keyherd_api::documents::{CredentialView, Moment};
use keyherd_core::ids::Name;
use keyherd_core::time::Timestamp;

use super::super::duration::brief;
use super::super::failure::Failure;
use super::super::output::Output;
use super::super::peer::Context;
use crate::peer::Peer;

/// Credentials read at once.
const PAGE: usize = 1_000;

/// List all credentials, in order of names. Secrets are never shown.
#[derive(Debug, Args)]
pub(crate) struct List {}

impl List {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let out = context.out;
        let work = async |peer: &dyn Peer| {
            let mut list = Listing::begin(out)?;
            let mut after: Option<Name> = None;
            loop {
                let page = peer.list(after.as_ref(), PAGE).await?;
                list.page(&page.items, peer.now())?;
                after = match page.next {
                    Some(next) => Some(Name::parse(&next).map_err(Failure::failed)?),
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

    fn page(&mut self, items: &[CredentialView], now: Timestamp) -> Result<(), Failure> {
        if self.out.is_json() {
            for view in items {
                let comma = if self.shown > 0 { "," } else { "" };
                let view = serde_json::to_string(view).map_err(Failure::failed)?;
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

fn table(out: Output, items: &[CredentialView], now: Timestamp) -> Table {
    let mut table = out.table(&["NAME", "PROVIDER", "KIND", "STATE", "GENERATION", "TOKEN ENDS"]);
    for view in items {
        table.add_row([
            Cell::new(&view.name),
            Cell::new(&view.provider),
            Cell::new(&view.kind),
            out.state(&view.state),
            Cell::new(view.generation),
            Cell::new(ends(view, now)),
        ]);
    }
    table
}

/// When the access token ends, as a person counts.
pub(super) fn ends(view: &CredentialView, now: Timestamp) -> String {
    match view.expires_at.map(Moment::timestamp) {
        _ if !view.has_access_token => "no token yet".into(),
        None => "never".into(),
        Some(end) if now < end => format!("in {}", brief(now.until(end))),
        Some(end) => format!("{} ago", brief(end.until(now))),
    }
}
