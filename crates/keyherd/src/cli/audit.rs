//! `keyherd audit`: the log of every change, hash-chained.

use clap::Subcommand;
use keyherd_api::documents::AuditView;

use super::failure::Failure;
use super::output::Output;
use super::peer::Context;
use super::progress::{self, Progress};
use crate::peer::Peer;

/// Entries read at once.
const BATCH: usize = 1_000;
/// The most entries that `tail` shows.
const TAIL_MAX: u64 = 100_000;

/// The audit log: every change, hash-chained. It holds no secret.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Show the last entries
    Tail {
        /// How many
        #[arg(short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=TAIL_MAX))]
        count: u64,
    },
    /// Check every entry's hash, order and end; names the first broken one
    Verify,
    /// Write all entries to standard output, as JSON Lines
    Export,
}

impl Audit {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let out = context.out;
        let work = async |peer: &dyn Peer| match self {
            Self::Tail { count } => tail(peer, out, usize::try_from(count).unwrap_or(BATCH)).await,
            Self::Verify => verify(peer, out).await,
            Self::Export => export(peer, out).await,
        };
        context.peer(work).await
    }
}

async fn tail(peer: &dyn Peer, out: Output, count: usize) -> Result<(), Failure> {
    peer.tail(count).await?.iter().try_for_each(|entry| show(out, entry))
}

fn show(out: Output, entry: &AuditView) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(entry);
    }
    let AuditView { seq, at, action, actor, subject, detail, .. } = entry;
    let at = at.to_string();
    out.line(format_args!("{seq:>6}  {at:<24}  {actor:<10}  {action:<20}  {subject}  {detail}"))
}

async fn verify(peer: &dyn Peer, out: Output) -> Result<(), Failure> {
    let view = progress::waiting("checking the audit log", peer.verify()).await?;
    if out.is_json() {
        out.json(&view)?;
    }
    match view.broken {
        None => out.say(format_args!("{} entries, each as it was written", view.entries)),
        Some(broken) => Err(Failure::failed(format!(
            "the audit log is broken: {}: keep a copy of the store, and compare it with an export or a backup",
            broken.problem
        ))),
    }
}

async fn export(peer: &dyn Peer, out: Output) -> Result<(), Failure> {
    let progress = Progress::new("exporting", 0);
    let (mut after, mut done) = (0, 0);
    loop {
        let entries = peer.entries(after, BATCH).await?;
        let Some(last) = entries.last() else { return Ok(()) };
        after = last.seq;
        done += entries.len() as u64;
        let mut lines = String::new();
        for entry in entries {
            lines.push_str(&serde_json::to_string(&entry).map_err(Failure::failed)?);
            lines.push('\n');
        }
        out.raw(&lines)?;
        progress.reach(done);
    }
}
