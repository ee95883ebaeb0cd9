//! Agents: who may use what.

use axum::extract::State as Extracted;
use axum::response::Response;
use maud::{Markup, html};

use super::fields::Fields;
use super::layout::{Failed, Tab};
use super::session::Signed;
use super::{layout, words};
use crate::documents::AgentView;
use crate::state::State;

/// Agents on a page.
const SHOWN: usize = 100;

/// `GET /ui/agents`.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let after = fields.name("after")?;
    let agents = state.broker.agents().await?;
    let mut rest = agents.iter().filter(|agent| after.as_ref().is_none_or(|after| agent.name > *after));
    let views: Vec<_> = rest.by_ref().take(SHOWN).map(AgentView::new).collect();
    let next = rest.next().and(views.last()).map(|last| last.name.clone());
    let content = html! {
        h1 { "Agents" }
        section.card #agents data-live="" {
            @if views.is_empty() {
                p.empty { "There is none here: " code { "keyherd agent create NAME --allow A,B" } " makes one." }
            } @else { (table(&views, state.broker.now())) }
            @if let Some(next) = next { p.more { a.button href={ "/ui/agents?after=" (next) } { "Further ones" } } }
        }
    };
    Ok(layout::page(&signed, Tab::Agents, &content))
}

fn table(views: &[AgentView], now: keyherd_core::time::Timestamp) -> Markup {
    html! {
        table {
            thead { tr { th { "Name" } th { "May use" } th { "Tokens" } th { "Made" } } }
            tbody {
                @for view in views {
                    tr {
                        td data-label="Name" { b { (view.name) } }
                        td data-label="May use" {
                            @for name in &view.allow { span.tag { (name) } " " }
                            @if view.allow.is_empty() { span.muted { "nothing" } }
                        }
                        td data-label="Tokens" {
                            @if view.may.is_empty() { span.muted { "never sees one" } } @else { span.pill.warn { "may have them" } }
                        }
                        td data-label="Made" { (words::ago(view.created_at, now)) }
                    }
                }
            }
        }
    }
}
