//! `keyherd approval`: what waits for a human, and the human's answer.

mod watch;

use std::time::Duration;

use clap::Subcommand;
use comfy_table::{Cell, Color};
use keyherd_api::documents::{AnswerDocument, ApprovalView, ListView};
use keyherd_core::ids::ApprovalId;
use keyherd_core::time::Timestamp;

use super::duration;
use super::failure::Failure;
use super::peer::Context;
use crate::peer::Peer;

/// What waits for a human.
#[derive(Debug, Subcommand)]
pub(crate) enum Approval {
    /// List the open approvals, the oldest first
    List {
        /// Those that have ended too, as long as they are kept
        #[arg(long)]
        all: bool,
    },
    /// Allow: those who wait, or later ones too
    Allow {
        /// The approval: see 'keyherd approval list'
        #[arg(value_parser = parse_id)]
        id: ApprovalId,
        /// Later ones too, for so long, as in 90s, 10m or 1h30m
        #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse, conflicts_with = "always")]
        time: Option<Duration>,
        /// Later ones too, always
        #[arg(long)]
        always: bool,
    },
    /// Deny: those who wait, or later ones too
    Deny {
        /// The approval: see 'keyherd approval list'
        #[arg(value_parser = parse_id)]
        id: ApprovalId,
        /// Later ones too, always
        #[arg(long)]
        always: bool,
    },
    /// Show approvals as they open, and answer them with keys
    Watch,
}

impl Approval {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let answer = |decision: &str, time: Option<Duration>| AnswerDocument {
            decision: decision.into(),
            for_seconds: time.map(|time| time.as_secs().max(1)),
        };
        match self {
            Self::List { all } => context.peer(async |peer: &dyn Peer| list(&context, peer, all).await).await,
            Self::Allow { id, time: Some(time), .. } => {
                give(&context, id, answer("allow_for", Some(time))).await
            }
            Self::Allow { id, always: true, .. } => give(&context, id, answer("always_allow", None)).await,
            Self::Allow { id, .. } => give(&context, id, answer("allow_once", None)).await,
            Self::Deny { id, always: true } => give(&context, id, answer("always_deny", None)).await,
            Self::Deny { id, .. } => give(&context, id, answer("deny", None)).await,
            Self::Watch => watch::run(&context).await,
        }
    }
}

async fn give(context: &Context, id: ApprovalId, answer: AnswerDocument) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        let view = peer.answer(&id.to_string(), answer).await?;
        if context.out.is_json() { context.out.json(&view) } else { context.out.line(answered(&view)) }
    };
    context.peer(work).await
}

async fn list(context: &Context, peer: &dyn Peer, all: bool) -> Result<(), Failure> {
    let state = (!all).then_some("open");
    let mut items = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = peer.approvals(state, after.as_deref()).await?;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if context.out.is_json() {
        return context.out.json(&ListView::whole(items));
    }
    if items.is_empty() {
        return context.out.line("nothing waits for an answer");
    }
    let now = peer.now();
    let mut table = context.out.table(&["ID", "STATE", "AGENT", "QUESTION", "WAITERS", "ENDS"]);
    for view in &items {
        let color = if view.state == "open" { Color::Yellow } else { Color::DarkGrey };
        table.add_row([
            Cell::new(&view.id),
            context.out.colored(state_of(view), color),
            Cell::new(&view.agent),
            Cell::new(question(view)),
            Cell::new(view.waiters),
            Cell::new(ends(view, now)),
        ]);
    }
    context.out.show(&table)
}

/// What an answer did, in a line.
fn answered(view: &ApprovalView) -> String {
    let count = match view.waiters {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    };
    let until = view.until.map_or_else(String::new, |until| format!(" until {until}"));
    let ended = if view.decision.is_some() { "is answered" } else { "has ended" };
    format!("approval {} {ended}: {}{until}, for {count}", view.id, state_of(view))
}

fn state_of(view: &ApprovalView) -> String {
    view.decision.clone().unwrap_or_else(|| view.state.clone())
}

/// A question in a line: its target, or its JSON.
fn question(view: &ApprovalView) -> String {
    let field = |name: &str| view.question.get(name).and_then(|value| value.as_str());
    let port = view.question.get("port").and_then(serde_json::Value::as_u64);
    match (field("host"), port, view.key.is_none() && view.rule.is_some()) {
        (Some(host), Some(port), true) => {
            let (method, path) = (field("method").unwrap_or_default(), field("path").unwrap_or_default());
            format!("{method} {host}:{port}{path}").trim().to_owned()
        }
        _ => line(&view.question.to_string()),
    }
}

/// Fit for a terminal: an agent's words must not steer it.
fn line(text: &str) -> String {
    const LEN_MAX: usize = 160;
    let short: String = text.chars().filter(|c| !c.is_control()).take(LEN_MAX).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

fn ends(view: &ApprovalView, now: Timestamp) -> String {
    match view.state.as_str() {
        "open" => format!("in {}", duration::brief(now.until(view.expires_at.timestamp()))),
        _ => view.answered_at.map_or_else(String::new, |at| at.to_string()),
    }
}

fn parse_id(text: &str) -> Result<ApprovalId, String> {
    ApprovalId::parse(text).ok_or_else(|| "ten digits of 0-9 and a-f: see 'keyherd approval list'".to_owned())
}
