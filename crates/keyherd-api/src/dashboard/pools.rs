//! Pools: which member serves, and when the others are back.

use axum::extract::State as Extracted;
use axum::response::Response;
use keyherd_core::time::Timestamp;
use maud::{Markup, html};

use super::fields::Fields;
use super::layout::{Failed, Tab};
use super::session::Signed;
use super::{layout, words};
use crate::documents::{MemberView, PoolView};
use crate::state::State;

/// Pools on a page.
const SHOWN: usize = 25;
/// Members shown of each.
const MEMBERS_SHOWN: usize = 24;

/// `GET /ui/pools`.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let after = fields.name("after")?;
    let found = state.broker.pools(after.as_ref(), SHOWN).await?;
    let now = state.broker.now();
    let mut views = Vec::with_capacity(found.items.len());
    for pool in found.items {
        views.push(PoolView::new(&state.broker.status_of(pool).await?, now));
    }
    let content = html! {
        h1 { "Pools" }
        section.pools #pools data-live="5000" {
            @for view in &views { (pool(view, now)) }
            @if views.is_empty() {
                p.empty { "There is none here: " code { "keyherd pool create NAME --members A,B" } " makes one." }
            }
        }
        @if let Some(next) = &found.next { p { a.button href={ "/ui/pools?after=" (next) } { "Further ones" } } }
    };
    Ok(layout::page(&signed, Tab::Pools, &content))
}

fn pool(view: &PoolView, now: Timestamp) -> Markup {
    let rest = view.members.len().saturating_sub(MEMBERS_SHOWN);
    html! {
        article.card id={ "pool-" (view.name) } {
            h2 { (view.name) }
            p.muted {
                (view.strategy.replace('_', " ")) " · moved " (words::counted(view.epoch, "time"))
                @if view.rotated { " · by hand" }
            }
            @if let Some(at) = view.cooling_until {
                p.said.bad { "All members rest: the first is back " (words::countdown(at, now)) "." }
            }
            ol.members {
                @for one in view.members.iter().take(MEMBERS_SHOWN) { (member(one, one.name == view.active, now)) }
                @if rest > 0 { li.muted { "and " (rest) " more" } }
            }
        }
    }
}

fn member(view: &MemberView, is_active: bool, now: Timestamp) -> Markup {
    html! {
        li.active[is_active] aria-current=[is_active.then_some("true")] {
            span.dot.(words::tone(&view.state)) {}
            span.name { (view.name) }
            @if is_active { span.tag { "serves" } }
            span.state {
                @match (&view.why, view.until) {
                    (Some(why), Some(until)) if view.state == "cooling" => {
                        (why.replace('_', " ")) ", back " b { (words::countdown(until, now)) }
                    }
                    (Some(why), _) => { (view.state.replace('_', " ")) " (" (why) ")" }
                    (None, _) => (view.state.replace('_', " ")),
                }
            }
            @for scope in &view.cooling_scopes {
                span.state { (scope.scope.as_deref().unwrap_or_default()) " rests, back " (words::countdown(scope.until, now)) }
            }
        }
    }
}
