//! The frame of every page: its head, its way around, and the headers that keep it to itself.

use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};
use maud::{DOCTYPE, Markup, html};

use super::assets;
use super::fields::CSRF;
use super::session::{Said, Signed};
use crate::problem::Problem;

/// Our own script, style and pictures; forms to us; nothing inline, nothing from elsewhere, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Which page somebody is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    Approvals,
    Credentials,
    Pools,
    Agents,
    Rules,
    Channels,
    Audit,
}

const TABS: [(Tab, &str, &str); 8] = [
    (Tab::Overview, "/", "Overview"),
    (Tab::Approvals, "/ui/approvals", "Approvals"),
    (Tab::Credentials, "/ui/credentials", "Credentials"),
    (Tab::Pools, "/ui/pools", "Pools"),
    (Tab::Agents, "/ui/agents", "Agents"),
    (Tab::Rules, "/ui/rules", "Rules"),
    (Tab::Channels, "/ui/channels", "Channels"),
    (Tab::Audit, "/ui/audit", "Audit"),
];

/// A page for somebody who is logged in.
pub(super) fn page(signed: &Signed, tab: Tab, content: &Markup) -> Response {
    let title = TABS.iter().find(|(one, ..)| *one == tab).map_or("", |(_, _, title)| *title);
    let body = html! {
        a.skip href="#content" { "Skip to the content" }
        header.top {
            a.brand href="/" { img src=(assets::at("mark.svg")) alt="" width="26" height="26"; span { "keyherd" } }
            nav aria-label="Pages" {
                @for (one, path, name) in TABS {
                    a href=(path) aria-current=[(one == tab).then_some("page")] { (name) }
                }
            }
            form method="post" action="/ui/logout" { (csrf(signed)) button.plain type="submit" { "Log out" } }
        }
        main #content {
            #said { @if let Some(said) = &signed.said { (line(said)) } }
            (content)
        }
        footer.muted.small { "keyherd " (crate::VERSION) span #connection role="status" {} }
    };
    framed(StatusCode::OK, title, "page", &body)
}

/// A page of somebody who is not.
pub(super) fn bare(status: StatusCode, title: &str, content: &Markup) -> Response {
    framed(status, title, "login", content)
}

/// A page that says what is wrong.
pub(super) fn notice(status: StatusCode, title: &str, text: &str) -> Response {
    let content = html! {
        main.login { .card.stack { h1 { (title) } p { (text) } p { a.button href="/" { "To the start" } } } }
    };
    framed(status, title, "notice", &content)
}

/// What went wrong, as a page.
fn problem(problem: &Problem) -> Response {
    let (code, status) = problem.code().parts();
    notice(status, &format!("This did not work ({code})"), problem.detail())
}

/// What every form carries.
pub(super) fn csrf(signed: &Signed) -> Markup {
    html! { input type="hidden" name=(CSRF) value=(signed.csrf); }
}

fn line(said: &Said) -> Markup {
    let kind = if said.is_good { "said good" } else { "said bad" };
    html! { p class=(kind) role="status" { (said.text) } }
}

fn framed(status: StatusCode, title: &str, kind: &str, body: &Markup) -> Response {
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="keyherd-kind" content=(kind);
                title { (title) " · keyherd" }
                link rel="icon" href=(assets::at("mark.svg")) type="image/svg+xml";
                link rel="stylesheet" href=(assets::at("app.css"));
                script defer src=(assets::at("app.js")) {}
            }
            body { (body) }
        }
    };
    let headers = [
        (CONTENT_SECURITY_POLICY, POLICY),
        // Browsers send the origin along with forms only where this is not "no-referrer".
        (REFERRER_POLICY, "same-origin"),
        (CACHE_CONTROL, "no-store"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    let headers = headers.map(|(name, value)| (name, HeaderValue::from_static(value)));
    (status, headers, axum::response::Html(document.into_string())).into_response()
}

/// What went wrong on the way to a page.
pub(crate) struct Failed(Problem);

impl<E> From<E> for Failed
where
    Problem: From<E>,
{
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        problem(&self.0)
    }
}
