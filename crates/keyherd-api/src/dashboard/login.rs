//! Logging in with the admin token, and out.

use axum::extract::{Extension, State as Extracted};
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use keyherd_core::audit::{Actor, Note};
use maud::{Markup, html};
use serde_json::Value;

use super::fields::{Form, OpenForm};
use super::{PREFIX, assets, layout, session};
use crate::hosts::Arrival;
use crate::state::State;

/// How the dashboard's person is named in the audit log.
pub(super) const ACTOR: &str = "dashboard";

/// The page of those who are not logged in.
pub(super) fn page(status: StatusCode, next: &str, problem: Option<&str>) -> Response {
    layout::bare(status, "Log in", &form(next, problem))
}

fn form(next: &str, problem: Option<&str>) -> Markup {
    html! {
        main.login {
            form.card.stack method="post" action="/ui/login" {
                p.brand { img src=(assets::at("mark.svg")) alt="" width="40" height="40"; span { "keyherd" } }
                h1 { "Log in" }
                p.muted { "However many ask, it happens once." }
                @if let Some(problem) = problem { p.said.bad role="alert" { (problem) } }
                label for="token" { "Admin token" }
                input #token type="password" name="token" autocomplete="current-password" required autofocus
                    spellcheck="false";
                input type="hidden" name="next" value=(next);
                button.primary type="submit" { "Log in" }
                p.muted.small { "It stands in the file " code { "admin.token" } " of the server's data folder." }
                p.muted.small.links {
                    a href="/healthz" { "/healthz" } a href="/readyz" { "/readyz" } a href="/openapi.json" { "/openapi.json" }
                }
            }
        }
    }
}

/// Compares the token, and begins a session.
pub(super) async fn log_in(
    Extracted(state): Extracted<State>,
    Extension(arrival): Extension<Arrival>,
    OpenForm(fields): OpenForm,
) -> Response {
    let next = inside(fields.text("next"));
    if !state.callers.is_admin(fields.text("token").unwrap_or_default()) {
        return page(StatusCode::UNAUTHORIZED, next, Some("That is not this server's admin token."));
    }
    let note = Note {
        action: "dashboard.login",
        actor: Actor::new(ACTOR),
        subject: "session".into(),
        detail: Value::Null,
    };
    // Who comes in is written down, and who cannot be written down still has to see what is wrong with the store.
    if let Err(error) = state.broker.ports().store.append(note).await {
        tracing::warn!(%error, "a login could not be written to the audit log");
    }
    let value = state.sessions.begin(&*state.broker.ports().entropy, state.uptime(), &state.limits);
    let cookie = session::handed_out(&value, state.limits.session_life, arrival.is_tls);
    ([(SET_COOKIE, cookie)], Redirect::to(next)).into_response()
}

/// Ends the session.
pub(super) async fn log_out(Extracted(state): Extracted<State>, form: Form) -> Response {
    state.sessions.end(&form.signed);
    let gone = session::handed_out("", std::time::Duration::ZERO, false);
    ([(SET_COOKIE, gone)], Redirect::to("/")).into_response()
}

/// Where to go on: a page of ours, whatever was asked for.
pub(super) fn inside(next: Option<&str>) -> &str {
    let fits = |next: &&str| next.starts_with(PREFIX) && !next.contains(['\\', '\r', '\n']);
    next.filter(fits).unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn a_login_leads_to_this_server_alone() {
        for (next, expected) in [
            (None, "/"),
            (Some("/ui/audit?q=a"), "/ui/audit?q=a"),
            (Some("//evil.example/"), "/"),
            (Some("https://evil.example/ui/"), "/"),
            (Some("/ui/\\evil"), "/"),
            (Some("/v1/agents"), "/"),
        ] {
            assert_eq!(inside(next), expected, "{next:?}");
        }
    }
}
