//! Rules: who may go where, tried on a request before it is made.

use axum::extract::State as Extracted;
use axum::response::{IntoResponse, Redirect, Response};
use keyherd_core::audit::Actor;
use keyherd_core::ids::RuleId;
use keyherd_core::time::Timestamp;
use maud::{Markup, html};

use super::fields::{Fields, Form};
use super::layout::{Failed, Tab, csrf};
use super::session::{Said, Signed};
use super::{layout, login, words};
use crate::documents::{RuleDocument, RuleTestDocument, RuleTestView, RuleView};
use crate::problem::Problem;
use crate::state::State;

/// Rules on a page.
const SHOWN: usize = 100;
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "CONNECT"];

/// `GET /ui/rules`; with a URL in the query, which rule decides it.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let from = fields.read("from", "a whole number", |text| text.parse::<usize>().ok())?.unwrap_or(0);
    let tested = tested(&state, &fields).await;
    let book = state.broker.rulebook().await?;
    let views: Vec<_> = book.rules.iter().rev().skip(from).take(SHOWN).map(RuleView::new).collect();
    let has_more = book.rules.len() > from.saturating_add(SHOWN);
    let now = state.broker.now();
    let content = html! {
        h1 { "Rules" }
        (tester(&fields, tested.as_ref()))
        section.card #rules data-live="" {
            p.over-table { "Where no rule says anything: " (words::pill(book.default.as_str())) }
            @if views.is_empty() { p.empty { "No rule is written." } } @else { (table(&signed, &views, now)) }
            @if has_more { p.more { a.button href={ "/ui/rules?from=" (from + SHOWN) } { "Older ones" } } }
        }
        (writer(&signed))
    };
    Ok(layout::page(&signed, Tab::Rules, &content))
}

/// `POST /ui/rules/add`.
pub(super) async fn add(Extracted(state): Extracted<State>, form: Form) -> Result<Response, Failed> {
    let text = |name: &str| form.fields.text(name).map(str::to_owned);
    let document = RuleDocument {
        verdict: text("verdict").unwrap_or_default(),
        host: text("host").unwrap_or_default(),
        agent: text("agent"),
        port: text("port").map(|port| port.parse().unwrap_or(0)),
        method: text("method"),
        path: text("path"),
    };
    let said = match document.into_rule() {
        Err(error) => Said { is_good: false, text: error.to_string() },
        Ok((verdict, scope)) => {
            let (_, is_new) = state.broker.add_rule(verdict, scope, &Actor::new(login::ACTOR)).await?;
            let text = if is_new { "The rule is written." } else { "A rule that says the same is there." };
            Said { is_good: true, text: text.into() }
        }
    };
    state.sessions.say(&form.signed, said);
    Ok(Redirect::to("/ui/rules").into_response())
}

/// `POST /ui/rules/remove`.
pub(super) async fn remove(Extracted(state): Extracted<State>, form: Form) -> Result<Response, Failed> {
    let id = form.fields.text("id").and_then(RuleId::parse);
    let id = id.ok_or_else(|| Problem::invalid("the form names no rule"))?;
    state.broker.remove_rule(id, &Actor::new(login::ACTOR)).await?;
    state.sessions.say(&form.signed, Said { is_good: true, text: "The rule is gone.".into() });
    Ok(Redirect::to("/ui/rules").into_response())
}

async fn tested(state: &State, fields: &Fields) -> Option<Result<RuleTestView, String>> {
    let url = fields.text("url")?.to_owned();
    let document = RuleTestDocument {
        method: fields.text("method").unwrap_or("GET").into(),
        url: if url.contains("://") { url } else { format!("https://{url}") },
        agent: fields.text("agent").map(str::to_owned),
        address: None,
    };
    let target = match document.into_target() {
        Ok(target) => target,
        Err(error) => return Some(Err(error.to_string())),
    };
    let explained = state.broker.explain(&target.target()).await;
    Some(explained.map(|found| RuleTestView::new(&found)).map_err(|error| error.to_string()))
}

fn tester(fields: &Fields, tested: Option<&Result<RuleTestView, String>>) -> Markup {
    let method = fields.text("method").unwrap_or("GET");
    html! {
        section.card #tester {
            h2 { "What would happen?" }
            form.tester method="get" action="/ui/rules" {
                label { "Method" select name="method" { @for one in METHODS { option selected[one == method] { (one) } } } }
                label.grow { "URL" input name="url" required placeholder="https://api.example.com/v1/things"
                    value=(fields.text("url").unwrap_or_default()) spellcheck="false"; }
                label { "Agent" input name="agent" placeholder="any" value=(fields.text("agent").unwrap_or_default()); }
                button.primary type="submit" { "Try" }
            }
            @match tested {
                None => {}
                Some(Err(problem)) => p.said.bad role="alert" { (problem) },
                Some(Ok(view)) => (outcome(view)),
            }
        }
    }
}

fn outcome(view: &RuleTestView) -> Markup {
    html! {
        .outcome role="status" {
            p { (words::pill(&view.verdict)) " " @if let Some(rule) = &view.rule { "by " b { (says(rule)) } ": " } (view.why) "." }
            @if !view.outranked.is_empty() {
                p.muted.small { "What matches too, and does not decide:" }
                ul.small { @for one in &view.outranked { li { (words::pill(&one.rule.verdict)) " " (says(&one.rule)) span.muted { ": " (one.why) } } } }
            }
        }
    }
}

fn says(rule: &RuleView) -> String {
    let method = rule.method.as_deref().map(|method| format!("{method} ")).unwrap_or_default();
    let port = rule.port.map(|port| format!(":{port}")).unwrap_or_default();
    match &rule.host {
        Some(host) => format!("{method}{host}{port}{}", rule.path.as_deref().unwrap_or_default()),
        None => rule.key.clone().unwrap_or_else(|| "a question from outside".into()),
    }
}

fn table(signed: &Signed, views: &[RuleView], now: Timestamp) -> Markup {
    html! {
        table {
            thead { tr { th { "Verdict" } th { "What" } th { "Agent" } th { "From" } th { span.visually-hidden { "Remove" } } } }
            tbody {
                @for view in views {
                    tr {
                        td data-label="Verdict" { (words::pill(&view.verdict)) }
                        td data-label="What" { b { (says(view)) } }
                        td data-label="Agent" { (view.agent.as_deref().unwrap_or("any")) }
                        td data-label="From" {
                            (view.created_by) ", " (words::ago(view.created_at, now))
                            @if view.remembered { " " span.tag { "answer" } }
                            @if let Some(until) = view.until { " ends " (words::countdown(until, now)) }
                        }
                        td.act {
                            form method="post" action="/ui/rules/remove" {
                                (csrf(signed)) input type="hidden" name="id" value=(view.id);
                                button.plain type="submit" aria-label={ "Remove " (says(view)) } { "Remove" }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn writer(signed: &Signed) -> Markup {
    html! {
        section.card {
            h2 { "Write a rule" }
            form.tester method="post" action="/ui/rules/add" {
                (csrf(signed))
                label { "Verdict" select name="verdict" { option { "ask" } option { "allow" } option { "deny" } } }
                label.grow { "Host" input name="host" required placeholder="*.example.com, 10.0.0.0/8, **" spellcheck="false"; }
                label { "Port" input name="port" inputmode="numeric" placeholder="any" size="6"; }
                label { "Method" select name="method" { option value="" { "any" } @for one in METHODS { option { (one) } } } }
                label { "Path" input name="path" placeholder="any" spellcheck="false"; }
                label { "Agent" input name="agent" placeholder="any" spellcheck="false"; }
                button.primary type="submit" { "Write" }
            }
        }
    }
}
