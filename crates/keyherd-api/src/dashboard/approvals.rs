//! Approvals: what is asked, how many wait, and the buttons that answer.

use std::time::Duration;

use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Redirect, Response};
use keyherd_core::approval::{Approval, Decision, Stage};
use keyherd_core::audit::Actor;
use keyherd_core::broker::AnswerError;
use keyherd_core::ids::ApprovalId;
use keyherd_core::time::Timestamp;
use maud::{Markup, html};
use serde_json::Value;

use super::fields::{Fields, Form};
use super::layout::{Failed, Tab, csrf};
use super::search::{self, Search};
use super::session::{Said, Signed};
use super::{draw, layout, login, words};
use crate::documents::ApprovalView;
use crate::problem::Problem;
use crate::state::State;

/// Open approvals on a page.
const OPEN_SHOWN: usize = 50;
/// Ended ones below them.
const ENDED_SHOWN: usize = 12;
/// Entries of the audit log that are looked through for those: the page is asked for each second.
const ENDED_DEPTH: i64 = 2_000;
/// How long "for a time" may be, as it is offered.
const TIMES: [(u64, &str); 5] =
    [(300, "5 minutes"), (900, "15 minutes"), (3_600, "1 hour"), (28_800, "8 hours"), (86_400, "1 day")];

/// `GET /ui/approvals`.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let after = fields.read("after", "an approval's id", ApprovalId::parse)?;
    let open = state.broker.approvals(Some(Stage::Open), after, OPEN_SHOWN).await?;
    let (ended, now) = (ended(&state).await?, state.broker.now());
    let content = html! {
        h1 { "Approvals" }
        section #open data-live=(if open.items.is_empty() { "" } else { "1000" }) aria-label="Open" {
            @for approval in &open.items {
                (card(&signed, approval, &ApprovalView::new(approval), now, "/ui/approvals"))
            }
            @if open.items.is_empty() { p.empty { "Nobody waits for an answer." } }
            @if let Some(next) = &open.next {
                p { a.button href={ "/ui/approvals?after=" (next) } { "Further ones" } }
            }
        }
        section.card #ended data-live="" {
            h2 { "Answered lately" }
            @if ended.is_empty() { p.muted { "None yet." } } @else { (ended_table(&ended, now)) }
        }
    };
    Ok(layout::page(&signed, Tab::Approvals, &content))
}

/// `POST /ui/approvals/answer`: one click.
pub(super) async fn answer(Extracted(state): Extracted<State>, form: Form) -> Result<Response, Failed> {
    let fields = &form.fields;
    let id = fields.text("id").and_then(ApprovalId::parse);
    let decision = fields.text("decision").and_then(Decision::parse);
    let (Some(id), Some(decision)) = (id, decision) else {
        return Err(Problem::invalid("the form names no approval, or no decision").into());
    };
    let time = fields.text("for_seconds").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let time = time.filter(|_| decision == Decision::AllowFor);
    let said = match state.broker.answer(id, decision, time, &Actor::new(login::ACTOR)).await {
        Ok(approval) => Said { is_good: true, text: released(&approval, decision) },
        Err(
            error @ (AnswerError::Already(_)
            | AnswerError::Time { .. }
            | AnswerError::Unfit(_)
            | AnswerError::NotFound(_)),
        ) => Said { is_good: false, text: error.to_string() },
        Err(error @ AnswerError::Store(_)) => return Err(Problem::from(error).into()),
    };
    state.sessions.say(&form.signed, said);
    Ok(Redirect::to(login::inside(fields.text("next"))).into_response())
}

fn released(approval: &Approval, decision: Decision) -> String {
    let waiters = words::counted(approval.waiters, "request");
    let how = words::decision(decision.as_str());
    format!(
        "{} is {how} {}: {waiters} answered.",
        approval.question.agent,
        headline(&ApprovalView::new(approval))
    )
}

/// An open approval, with its answers.
pub(super) fn card(
    signed: &Signed,
    approval: &Approval,
    view: &ApprovalView,
    now: Timestamp,
    back: &str,
) -> Markup {
    let may = |decision| approval.refuses(decision).is_none();
    let button = |decision: Decision, class: &str, text: &str| {
        html! { button.(class) type="submit" name="decision" value=(decision.as_str())
        id={ (view.id) "-" (decision.as_str()) } disabled[!may(decision)] { (text) } }
    };
    html! {
        article.card.approval aria-labelledby={ "q-" (view.id) } {
            .waiters { b { (words::count(view.waiters)) } span { (if view.waiters == 1 { "waits" } else { "wait" }) } }
            .asked {
                h3 id={ "q-" (view.id) } { (headline(view)) }
                p.muted { "asked by " b { (view.agent) } " " (words::ago(view.opened_at, now)) ", denied "
                    (words::countdown(view.expires_at, now)) " if nobody answers" }
                (details(view))
                (draw::timeline(view.opened_at.timestamp().as_millis(), view.expires_at.timestamp().as_millis(),
                    now.as_millis(), "Time left to answer"))
            }
            form.answers method="post" action="/ui/approvals/answer" data-quiet="" {
                (csrf(signed))
                input type="hidden" name="id" value=(view.id);
                input type="hidden" name="next" value=(back);
                .group {
                    (button(Decision::AllowOnce, "primary", "Allow once"))
                    span.joined {
                        (button(Decision::AllowFor, "", "Allow for"))
                        select name="for_seconds" aria-label="For how long" id={ (view.id) "-time" } {
                            @for (seconds, text) in TIMES { option value=(seconds) selected[seconds == 3_600] { (text) } }
                        }
                    }
                    (button(Decision::AlwaysAllow, "", "Always allow"))
                }
                .group {
                    (button(Decision::Deny, "danger", "Deny"))
                    (button(Decision::AlwaysDeny, "danger plain", "Always deny"))
                }
            }
        }
    }
}

/// What is asked, in a line.
fn headline(view: &ApprovalView) -> String {
    let text = |name: &str| view.question.get(name).and_then(Value::as_str);
    let port = view.question.get("port").and_then(Value::as_u64);
    match (text("host"), port) {
        (Some(host), Some(port)) => {
            let port = if port == 443 { String::new() } else { format!(":{port}") };
            let method = text("method").map(|method| format!("{method} ")).unwrap_or_default();
            format!("{method}{host}{port}{}", text("path").unwrap_or_default())
        }
        _ => view.key.clone().unwrap_or_else(|| "a question from outside".into()),
    }
}

/// What a tool gate shows, as it shows it.
fn details(view: &ApprovalView) -> Markup {
    let is_target = view.question.get("host").is_some() && view.question.get("port").is_some();
    html! {
        @if let Some(text) = view.question.as_str() {
            p.question { (text) }
        } @else if let Some(fields) = view.question.as_object().filter(|fields| !is_target && is_flat(fields)) {
            dl.question { @for (name, value) in fields { dt { (name) } dd { (words::plain(value)) } } }
        } @else if !is_target || view.key.is_some() {
            pre.question { (serde_json::to_string_pretty(&view.question).unwrap_or_default()) }
        }
    }
}

/// Whether it reads well as a list of names and values.
fn is_flat(fields: &serde_json::Map<String, Value>) -> bool {
    !fields.is_empty() && !fields.values().any(|value| value.is_object() || value.is_array())
}

/// The newest of those that ended, by the audit log: the store lists the oldest first.
async fn ended(state: &State) -> Result<Vec<ApprovalView>, Failed> {
    let actions = &["approval.answer", "approval.timeout", "approval.withdraw"];
    let wanted = Search { text: None, actions, depth: ENDED_DEPTH };
    let found = search::backwards(&*state.broker.ports().store, &wanted, None, ENDED_SHOWN).await?;
    let mut views = Vec::with_capacity(found.entries.len());
    for id in found.entries.iter().filter_map(|entry| ApprovalId::parse(&entry.subject)) {
        views.extend(state.broker.approval(id).await?.as_ref().map(ApprovalView::new));
    }
    Ok(views)
}

fn ended_table(views: &[ApprovalView], now: Timestamp) -> Markup {
    html! {
        table {
            thead { tr { th { "What" } th { "Agent" } th { "Answer" } th { "By" } th.number { "Requests" } th { "When" } } }
            tbody {
                @for view in views {
                    @let word = view.decision.as_deref().unwrap_or(&view.state);
                    tr {
                        td data-label="What" { b { (headline(view)) } }
                        td data-label="Agent" { (view.agent) }
                        td data-label="Answer" { span.pill.(words::tone(word)) { (words::decision(word)) } }
                        td data-label="By" { (view.answered_by.as_deref().unwrap_or("nobody")) }
                        td.number data-label="Requests" { (words::count(view.waiters)) }
                        td data-label="When" { @if let Some(at) = view.answered_at { (words::ago(at, now)) } }
                    }
                }
            }
        }
    }
}
