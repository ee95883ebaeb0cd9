//! `keyherd pool`: credentials that stand in for one another under one name.

use clap::Subcommand;
use comfy_table::Cell;
use keyherd_api::documents::{CoolingView, MemberView, Moment, PoolDocument, PoolPatchDocument, PoolView};
use keyherd_core::ids::Name;
use keyherd_core::pool::Strategy;
use keyherd_core::time::Timestamp;
use serde::Serialize;

use super::duration::brief;
use super::failure::Failure;
use super::output::Output;
use super::peer::Context;
use crate::peer::Peer;

/// Pools read at once.
const PAGE: usize = 100;

/// Pools: credentials that stand in for one another under one name.
#[derive(Debug, Subcommand)]
pub(crate) enum Pool {
    /// Make a pool; its first member is the active one
    ///
    /// With 'failover' the active member serves until it rests, then the next one does, and stays. With 'round_robin' and
    /// 'least_recently_used' every request has another turn, counted by each process for itself.
    Create {
        /// What callers ask for; no credential may have the same name
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// The credentials, in order, with commas between them
        #[arg(long, value_name = "A,B", value_delimiter = ',', required = true, value_parser = Name::parse)]
        members: Vec<Name>,
        /// failover, round_robin or least_recently_used
        #[arg(long, value_name = "S", default_value = "failover", value_parser = strategy)]
        strategy: Strategy,
    },
    /// List the pools
    List,
    /// Show who is active, and how each member stands: in which state, until when, and why
    Status {
        /// The pool
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
    /// Make the next member the active one, for everyone
    Rotate {
        /// The pool
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// This member instead
        #[arg(long, value_name = "M", value_parser = Name::parse)]
        to: Option<Name>,
    },
    /// Add a member, at the end
    Add {
        /// The pool
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// The credential; it may be in no pool yet
        #[arg(value_parser = Name::parse)]
        member: Name,
    },
    /// Drop a member; it stays as a credential
    Drop {
        /// The pool
        #[arg(value_parser = Name::parse)]
        name: Name,
        /// The member
        #[arg(value_parser = Name::parse)]
        member: Name,
    },
    /// Remove a pool; its members stay as credentials
    Remove {
        /// The pool
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
}

#[derive(Serialize)]
struct Pools {
    items: Vec<PoolView>,
}

impl Pool {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let out = context.out;
        context.peer(async move |peer: &dyn Peer| self.on(peer, out).await).await
    }

    async fn on(self, peer: &dyn Peer, out: Output) -> Result<(), Failure> {
        match self {
            Self::Create { name, members, strategy } => {
                let members = members.iter().map(ToString::to_string).collect();
                let strategy = Some(strategy.as_str().into());
                let document = PoolDocument { name: name.to_string(), members, strategy };
                told(out, &peer.create_pool(document).await?, "is made")
            }
            Self::List => list(peer, out).await,
            Self::Status { name } => show(out, &peer.pool(&name).await?, peer.now()),
            Self::Rotate { name, to } => {
                told(out, &peer.rotate_pool(&name, to.as_ref()).await?, "is rotated")
            }
            Self::Add { name, member } => {
                let patch =
                    PoolPatchDocument { add: Some(member.to_string()), ..PoolPatchDocument::default() };
                told(out, &peer.change_pool(&name, patch).await?, "is changed")
            }
            Self::Drop { name, member } => {
                let patch =
                    PoolPatchDocument { drop: Some(member.to_string()), ..PoolPatchDocument::default() };
                told(out, &peer.change_pool(&name, patch).await?, "is changed")
            }
            Self::Remove { name } => {
                peer.remove_pool(&name).await?;
                if out.is_json() {
                    return out.json(&Removed { removed: name.as_str() });
                }
                out.line(format_args!("pool {name} is removed; its members stay as credentials"))
            }
        }
    }
}

fn strategy(word: &str) -> Result<Strategy, &'static str> {
    Strategy::parse(word).ok_or("must be failover, round_robin or least_recently_used")
}

fn told(out: Output, view: &PoolView, how: &str) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(view);
    }
    let PoolView { name, active, .. } = view;
    out.line(format_args!("pool {name} {how}: {}; active: {active}", member_names(view)))
}

fn member_names(view: &PoolView) -> String {
    view.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(", ")
}

async fn list(peer: &dyn Peer, out: Output) -> Result<(), Failure> {
    let (mut items, mut after) = (Vec::new(), None);
    loop {
        let page = peer.pools(after.as_ref(), PAGE).await?;
        items.extend(page.items);
        after = match page.next {
            Some(next) => Some(Name::parse(&next).map_err(Failure::failed)?),
            None => break,
        };
    }
    if out.is_json() {
        return out.json(&Pools { items });
    }
    if items.is_empty() {
        return out.line("no pools yet: see 'keyherd pool create --help'");
    }
    let mut table = out.table(&["NAME", "STRATEGY", "ACTIVE", "MEMBERS"]);
    for view in items {
        let members = member_names(&view);
        table.add_row([view.name, view.strategy, view.active, members]);
    }
    out.show(&table)
}

fn show(out: Output, view: &PoolView, now: Timestamp) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(view);
    }
    let chosen = if view.rotated { ", chosen by hand" } else { "" };
    out.line(format_args!("pool {} ({}); active: {}{chosen}", view.name, view.strategy, view.active))?;
    if let Some(until) = view.cooling_until {
        out.line(format_args!("all members rest: the first recovers {}", ends(until, now)))?;
    }
    let mut table = out.table(&["", "MEMBER", "STATE", "UNTIL", "WHY"]);
    for member in &view.members {
        let mark = if member.name == view.active { "*" } else { "" };
        let MemberView { name, state, until, why, .. } = member;
        table.add_row([
            Cell::new(mark),
            Cell::new(name),
            out.state(state),
            Cell::new(until.map(|until| ends(until, now)).unwrap_or_default()),
            Cell::new(why.as_deref().unwrap_or_default()),
        ]);
        for CoolingView { until, reason, scope } in &member.cooling_scopes {
            let scope = scope.as_deref().unwrap_or_default();
            table.add_row([
                Cell::new(""),
                Cell::new(format_args!("  {scope}")),
                out.state("cooling"),
                Cell::new(ends(*until, now)),
                Cell::new(reason),
            ]);
        }
    }
    out.show(&table)
}

/// The time, and how far off it is.
fn ends(until: Moment, now: Timestamp) -> String {
    format!("{until} (in {})", brief(now.until(until.timestamp())))
}
