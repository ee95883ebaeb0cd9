//! The dashboard: pages for the person who looks after an installation, rendered here, live by the events' stream.
//!
//! Owns its sessions and its own words for what it shows; what it shows are the same views that REST gives. Never holds
//! an admin token longer than it takes to compare it, never loads anything from elsewhere, and has no inline script or
//! style: its policy forbids both.

mod agents;
mod approvals;
mod assets;
mod audit;
mod channels;
mod charts;
mod credentials;
mod draw;
mod fields;
mod layout;
mod live;
mod login;
mod overview;
mod pools;
mod rules;
mod samples;
mod search;
mod session;
mod words;

use axum::Router;
use axum::routing::{get, post};

pub(crate) use self::overview::{__path_index, index};
pub(crate) use self::samples::Samples;
pub(crate) use self::session::Sessions;
use crate::state::State;

/// What all paths of the dashboard but `/` begin with.
const PREFIX: &str = "/ui/";

/// Where a page hears that something has changed.
const LIVE: &str = "/ui/live";

/// Whether a path is the dashboard's, which knows people by their sessions.
pub(crate) fn is_for(path: &str) -> bool {
    path == "/" || path.starts_with(PREFIX)
}

/// Pages and what they send, beside `/`.
pub(crate) fn router() -> Router<State> {
    Router::new()
        .route("/ui/login", post(login::log_in))
        .route("/ui/logout", post(login::log_out))
        .route("/ui/approvals", get(approvals::page))
        .route("/ui/approvals/answer", post(approvals::answer))
        .route("/ui/credentials", get(credentials::page))
        .route("/ui/pools", get(pools::page))
        .route("/ui/agents", get(agents::page))
        .route("/ui/rules", get(rules::page))
        .route("/ui/rules/add", post(rules::add))
        .route("/ui/rules/remove", post(rules::remove))
        .route("/ui/channels", get(channels::page))
        .route("/ui/channels/test", post(channels::test))
        .route("/ui/audit", get(audit::page))
        .route("/ui/audit/verify", get(audit::verified))
        .route(LIVE, get(live::listen))
        .route("/ui/assets/{name}", get(assets::asset))
}
