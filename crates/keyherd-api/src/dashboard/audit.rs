//! The audit log: the newest first, searched, and verified.

use axum::extract::State as Extracted;
use axum::response::Response;
use keyherd_core::time::Timestamp;
use maud::{Markup, html};
use url::form_urlencoded;

use super::fields::Fields;
use super::layout::{Failed, Tab};
use super::search::{self, Found, Search};
use super::session::Signed;
use super::{layout, words};
use crate::documents::{AuditView, VerifyView};
use crate::state::State;

/// Entries on a page.
const SHOWN: usize = 50;
/// The longest text that is searched for, in characters.
const TEXT_LEN_MAX: usize = 200;

/// `GET /ui/audit`.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    shown(&state, &signed, &fields, None).await
}

/// `GET /ui/audit/verify`: the same, after a look at every entry.
pub(super) async fn verified(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let _turn = state.verifying.lock().await;
    let found = VerifyView::from(state.broker.ports().store.verify().await?);
    shown(&state, &signed, &fields, Some(&found)).await
}

async fn shown(
    state: &State,
    signed: &Signed,
    fields: &Fields,
    verified: Option<&VerifyView>,
) -> Result<Response, Failed> {
    let text: Option<String> = fields.text("q").map(|text| text.chars().take(TEXT_LEN_MAX).collect());
    let number = |text: &str| text.parse::<i64>().ok().filter(|before| *before > 0);
    let before = fields.read("before", "an entry's number", number)?;
    let search = Search { text: text.as_deref(), actions: &[], depth: search::LOOKED_AT_MAX };
    let found = search::backwards(&*state.broker.ports().store, &search, before, SHOWN).await?;
    let now = state.broker.now();
    let content = html! {
        .title { h1 { "Audit" } (verifier()) }
        @if let Some(found) = verified { (verdict(found)) }
        form.search role="search" method="get" action="/ui/audit" {
            label.visually-hidden for="q" { "Search the log" }
            input #q type="search" name="q" value=(text.as_deref().unwrap_or_default()) maxlength=(TEXT_LEN_MAX)
                placeholder="An action, an agent, a credential, a host …";
            button type="submit" { "Search" }
        }
        (list(found, text.as_deref(), before.is_none() && verified.is_none(), now))
    };
    Ok(layout::page(signed, Tab::Audit, &content))
}

fn verifier() -> Markup {
    html! { a.button href="/ui/audit/verify" { "Verify every entry" } }
}

fn verdict(found: &VerifyView) -> Markup {
    let entries = words::counted(found.entries, "entry").replace("entrys", "entries");
    html! {
        @match &found.broken {
            None => p.said.good role="status" #verdict { (entries) " verified: each is as it was written, and none is missing." },
            Some(broken) => p.said.bad role="alert" #verdict { "After a look at " (entries) ": " (broken.problem) "." },
        }
    }
}

fn list(found: Found, text: Option<&str>, is_live: bool, now: Timestamp) -> Markup {
    let (before, oldest) = (found.before, found.oldest);
    let views: Vec<_> = found.entries.into_iter().map(AuditView::from).collect();
    html! {
        section.card #entries data-live=[is_live.then_some("")] {
            @if views.is_empty() {
                p.muted { "Nothing was found" @if let (Some(oldest), Some(_)) = (oldest, before) { ", back to entry " (oldest) } "." }
            } @else {
                (table(&views, now))
            }
            @if let Some(before) = before {
                p.more { a.button href=(earlier(before, text)) { "Farther back" } }
            }
        }
    }
}

fn earlier(before: i64, text: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("before", &before.to_string());
    if let Some(text) = text {
        query.append_pair("q", text);
    }
    format!("/ui/audit?{}", query.finish())
}

/// Entries as a table.
pub(super) fn table(views: &[AuditView], now: Timestamp) -> Markup {
    html! {
        table.log {
            thead { tr { th { "When" } th { "What" } th { "Whom" } th { "By" } th { "More" } } }
            tbody {
                @for view in views {
                    tr id={ "entry-" (view.seq) } {
                        td data-label="When" { (words::ago(view.at, now)) }
                        td data-label="What" { code { (view.action) } }
                        td data-label="Whom" { (view.subject) }
                        td data-label="By" { (view.actor) }
                        td.detail data-label="More" { (words::short(&view.detail)) }
                    }
                }
            }
        }
    }
}
