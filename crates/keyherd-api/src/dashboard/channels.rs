//! Channels: where approvals are announced, how it went there last, and what still waits to be sent.

use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Redirect, Response};
use keyherd_core::broker::{ChannelError, Tested};
use keyherd_core::channel::ListedChannel;
use keyherd_core::ids::ChannelId;
use keyherd_core::ports::StoreError;
use keyherd_core::time::Timestamp;
use maud::{Markup, html};

use super::fields::{Fields, Form};
use super::layout::{Failed, Tab, csrf};
use super::session::{Said, Signed};
use super::{layout, words};
use crate::documents::{ChannelView, Moment};
use crate::problem::Problem;
use crate::state::State;

/// Channels on a page.
const SHOWN: usize = 25;
/// Messages that are counted as waiting on one channel, at most.
const WAITING_COUNTED: usize = 100;

/// A channel, and what is still to be sent there.
struct Row {
    view: ChannelView,
    waiting: Option<Waiting>,
}

/// What was tried and is tried again.
struct Waiting {
    count: usize,
    /// There are more than were counted.
    has_more: bool,
    /// How often the first of them was tried.
    attempts: u32,
    next: Moment,
}

/// `GET /ui/channels`.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let after = fields.name("after")?;
    let listed = state.broker.channels().await?;
    let mut rest = listed.iter().filter(|one| after.as_ref().is_none_or(|after| one.channel.name > *after));
    let mut rows = Vec::new();
    for one in rest.by_ref().take(SHOWN) {
        rows.push(row(&state, one).await?);
    }
    let next = rest.next().and(rows.last()).map(|last| last.view.name.clone());
    let content = html! {
        h1 { "Channels" }
        section.card #channels data-live="5000" {
            @if rows.is_empty() {
                p.empty {
                    "There is none here: " code { "keyherd channel add webhook NAME --url URL" }
                    " makes one. Approvals are answered here all the same."
                }
            } @else { (table(&signed, &rows, state.broker.now())) }
            @if let Some(next) = next { p.more { a.button href={ "/ui/channels?after=" (next) } { "Further ones" } } }
        }
    };
    Ok(layout::page(&signed, Tab::Channels, &content))
}

/// `POST /ui/channels/test`: a message that asks nothing.
pub(super) async fn test(Extracted(state): Extracted<State>, form: Form) -> Result<Response, Failed> {
    let name = form.fields.name("name")?.ok_or_else(|| Problem::invalid("the form names no channel"))?;
    let said = match state.broker.test_channel(&name).await {
        Ok(Tested::Delivered) => {
            Said { is_good: true, text: format!("{name} has a message that asks nothing.") }
        }
        Ok(Tested::Failed(problem)) => {
            Said { is_good: false, text: format!("{name} was not reached: {problem}") }
        }
        Err(error @ ChannelError::NotFound(_)) => Said { is_good: false, text: error.to_string() },
        Err(error) => return Err(error.into()),
    };
    state.sessions.say(&form.signed, said);
    Ok(Redirect::to("/ui/channels").into_response())
}

async fn row(state: &State, listed: &ListedChannel) -> Result<Row, StoreError> {
    // Where nothing ever failed nothing waits for another try.
    let waiting = match listed.state.failed_at {
        Some(_) => waiting(state, listed.channel.id).await?,
        None => None,
    };
    Ok(Row { view: ChannelView::new(listed), waiting })
}

async fn waiting(state: &State, channel: ChannelId) -> Result<Option<Waiting>, StoreError> {
    let due = state.broker.ports().store.notices(channel, WAITING_COUNTED + 1).await?;
    let mut tried = due.iter().take(WAITING_COUNTED).filter(|notice| notice.attempts > 0);
    Ok(tried.next().map(|first| Waiting {
        count: 1 + tried.count(),
        has_more: due.len() > WAITING_COUNTED,
        attempts: first.attempts,
        next: first.due_at.into(),
    }))
}

fn table(signed: &Signed, rows: &[Row], now: Timestamp) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Name" } th { "Where" } th { "Who answers" } th { "State" } th { "Delivered" } th { "Failed" }
                th { span.visually-hidden { "Test" } }
            } }
            tbody { @for row in rows { (channel(signed, row, now)) } }
        }
    }
}

fn channel(signed: &Signed, Row { view, waiting }: &Row, now: Timestamp) -> Markup {
    let health = view.health();
    html! {
        tr id={ "channel-" (view.name) } {
            td data-label="Name" { b { (view.name) } " " span.muted { (view.kind) } }
            td data-label="Where" { (view.origin) @if let Some(chat) = view.chat { " " span.muted { "chat " (chat) } } }
            td data-label="Who answers" {
                @match &view.users {
                    Some(users) => { @for user in users { span.tag { (user) } " " } }
                    None => "the endpoint",
                }
            }
            td data-label="State" { span.pill.(words::tone(health)) { (words::health(health)) } }
            td data-label="Delivered" { (when(view.delivered_at, now)) }
            td data-label="Failed" { (when(view.failed_at, now)) }
            td.act {
                form method="post" action="/ui/channels/test" data-quiet="" {
                    (csrf(signed)) input type="hidden" name="name" value=(view.name);
                    button.plain type="submit" id={ "test-" (view.name) } aria-label={ "Test " (view.name) } { "Test" }
                }
            }
        }
        @if let Some(note) = note(view, waiting.as_ref(), now) { tr.note { td colspan="7" { (note) } } }
    }
}

fn when(at: Option<Moment>, now: Timestamp) -> Markup {
    html! { @match at { Some(at) => (words::ago(at, now)), None => span.muted { "never" } } }
}

/// What went wrong, while it is not over.
fn note(view: &ChannelView, waiting: Option<&Waiting>, now: Timestamp) -> Option<Markup> {
    let problem = view.problem.as_deref().filter(|_| view.health() == "failing");
    (problem.is_some() || waiting.is_some()).then(|| {
        html! {
            @if let Some(problem) = problem { b { (problem) } ". " }
            @if let Some(waiting) = waiting {
                @if waiting.has_more { "More than " }
                (words::counted(waiting.count as u64, "message")) " to be sent again: the first was tried "
                (words::counted(waiting.attempts.into(), "time")) ", next " (words::countdown(waiting.next, now)) "."
            } @else { "Nothing waits to be sent again." }
        }
    })
}
