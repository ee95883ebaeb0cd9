//! Credentials: state, generation, the access token's life, and where something is wrong, what to do.

use axum::extract::State as Extracted;
use axum::response::Response;
use keyherd_core::credential::Loaded;
use keyherd_core::ids::Name;
use keyherd_core::ports::StoreError;
use keyherd_core::time::Timestamp;
use maud::{Markup, html};
use url::form_urlencoded;

use super::fields::Fields;
use super::layout::{Failed, Tab};
use super::session::Signed;
use super::{draw, layout, words};
use crate::documents::CredentialView;
use crate::state::State;

/// Credentials on a page.
const SHOWN: usize = 50;

/// `GET /ui/credentials`.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let begins = fields.text("q").and_then(|text| Name::parse(text).ok());
    let after = fields.text("after").and_then(|text| Name::parse(text).ok());
    let (found, next) = part(&state, begins.as_ref(), after).await?;
    let now = state.broker.now();
    let content = html! {
        .title { h1 { "Credentials" } }
        form.search role="search" method="get" action="/ui/credentials" {
            label.visually-hidden for="q" { "Names that begin with" }
            input #q type="search" name="q" value=(fields.text("q").unwrap_or_default()) placeholder="A name, or how it begins";
            button type="submit" { "Find" }
        }
        section.card #list data-live="5000" {
            @if found.is_empty() { p.empty { "There is none here: " code { "keyherd cred import FILE" } " brings one in." } }
            @else { (table(&found, now)) }
            @if let Some(next) = next { p.more { a.button href=(further(&next, fields.text("q"))) { "Further ones" } } }
        }
    };
    Ok(layout::page(&signed, Tab::Credentials, &content))
}

/// Those after a name, or those that begin so; and the last one where there are more.
async fn part(
    state: &State,
    begins: Option<&Name>,
    after: Option<Name>,
) -> Result<(Vec<Loaded>, Option<String>), StoreError> {
    let store = &state.broker.ports().store;
    let mut found = Vec::new();
    if let (Some(begins), None) = (begins, &after) {
        // It stands before all that are longer.
        found.extend(store.credential(begins).await?);
    }
    let start = after.as_ref().or(begins);
    let fits =
        |one: &Loaded| begins.is_none_or(|begins| one.credential.name.as_str().starts_with(begins.as_str()));
    let listed = store.credentials(start, SHOWN + 1).await?;
    found.extend(listed.into_iter().take_while(fits));
    let next =
        (found.len() > SHOWN).then(|| found.get(SHOWN - 1).map(|last| last.credential.name.to_string()));
    found.truncate(SHOWN);
    Ok((found, next.flatten()))
}

fn further(next: &str, begins: Option<&str>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("after", next);
    if let Some(begins) = begins {
        query.append_pair("q", begins);
    }
    format!("/ui/credentials?{}", query.finish())
}

fn table(found: &[Loaded], now: Timestamp) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Name" } th { "State" } th.number { "Generation" } th.wide { "Access token" } th { "Provider" }
            } }
            tbody { @for loaded in found { (row(&CredentialView::new(loaded, now), now)) } }
        }
    }
}

fn row(view: &CredentialView, now: Timestamp) -> Markup {
    html! {
        tr {
            td data-label="Name" { b { (view.name) } @if let Some(chain) = &view.chain { " " span.muted { "chain " (chain) } } }
            td data-label="State" { (words::pill(&view.state)) }
            td.number data-label="Generation" { (view.generation) }
            td.wide data-label="Access token" { (life(view, now)) }
            td data-label="Provider" { (view.provider) @if view.kind != "oauth2" { " " span.muted { (view.kind.replace('_', " ")) } } }
        }
        @if let Some(note) = note(view, now) { tr.note { td colspan="5" { (note) } } }
    }
}

fn life(view: &CredentialView, now: Timestamp) -> Markup {
    let from = view.refreshed_at.unwrap_or(view.created_at).timestamp().as_millis();
    html! {
        @match view.expires_at {
            Some(at) => {
                (draw::timeline(from, at.timestamp().as_millis(), now.as_millis(), "Life of the access token"))
                span.small.muted { (if at.timestamp() > now { "ends " } else { "ended " }) (words::countdown(at, now)) @if view.expires_assumed { " (assumed)" } }
            }
            None if view.has_access_token => span.small.muted { "does not end" },
            None => span.small.muted { "none yet" },
        }
    }
}

fn note(view: &CredentialView, now: Timestamp) -> Option<Markup> {
    if let Some(trouble) = &view.trouble {
        return Some(html! {
            b { (trouble.code) } ": " (trouble.what_to_do)
            @if let Some(at) = trouble.retry_at.or(trouble.next_probe_at) { ". Next try " (words::countdown(at, now)) }
        });
    }
    let rests = view.cooling.iter().chain(&view.cooling_scopes);
    let rests: Vec<_> = rests.collect();
    (!rests.is_empty()).then(|| {
        html! { @for rest in rests { span.rest {
            @if let Some(scope) = &rest.scope { (scope) " " } "rests (" (rest.reason) "), back " (words::countdown(rest.until, now)) " "
        } } }
    })
}
