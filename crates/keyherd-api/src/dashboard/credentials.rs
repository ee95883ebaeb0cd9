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
/// Credentials read at once where a state is looked for, and looked at for one page.
const BATCH: usize = 500;
const LOOKED_AT_MAX: usize = 2_000;
/// What is offered to look for.
const STATES: [&str; 7] =
    ["active", "cooling", "disabled", "reauth_required", "uncertain", "blocked", "unavailable"];

/// What is asked for: names that begin so, in that state, after that name.
struct Wanted<'a> {
    begins: Option<&'a str>,
    state: Option<&'a str>,
    after: Option<Name>,
}

/// Credentials of a page, and from which name on there may be more.
struct Part {
    found: Vec<Loaded>,
    next: Option<String>,
}

/// `GET /ui/credentials`.
pub(super) async fn page(
    Extracted(state): Extracted<State>,
    signed: Signed,
    fields: Fields,
) -> Result<Response, Failed> {
    let wanted = Wanted {
        begins: fields.text("q"),
        state: fields.read("state", "a state", |text| STATES.into_iter().find(|one| *one == text))?,
        after: fields.name("after")?,
    };
    let now = state.broker.now();
    let Part { found, next } = wanted.part(&state, now).await?;
    let content = html! {
        .title { h1 { "Credentials" } }
        (finder(&wanted))
        section.card #list data-live=[wanted.state.is_none().then_some("5000")] {
            @if found.is_empty() {
                p.empty {
                    @if next.is_some() { "None among those that were looked at." }
                    @else { "There is none here: " code { "keyherd cred import FILE" } " brings one in." }
                }
            } @else { (table(&found, now)) }
            @if let Some(next) = next { p.more { a.button href=(wanted.further(&next)) { "Further ones" } } }
        }
    };
    Ok(layout::page(&signed, Tab::Credentials, &content))
}

fn finder(wanted: &Wanted<'_>) -> Markup {
    html! {
        form.search role="search" method="get" action="/ui/credentials" {
            label.visually-hidden for="q" { "Names that begin with" }
            input #q type="search" name="q" value=(wanted.begins.unwrap_or_default()) placeholder="A name, or how it begins";
            label.visually-hidden for="state" { "In the state" }
            select #state name="state" {
                option value="" { "any state" }
                @for one in STATES { option value=(one) selected[wanted.state == Some(one)] { (one.replace('_', " ")) } }
            }
            button type="submit" { "Find" }
        }
    }
}

impl Wanted<'_> {
    /// Names stand in order. States are in no order: so many credentials are looked at, and then a person is asked.
    async fn part(&self, state: &State, now: Timestamp) -> Result<Part, StoreError> {
        let store = &state.broker.ports().store;
        let Ok(begins) = self.begins.map(Name::parse).transpose() else {
            // No name begins so.
            return Ok(Part { found: Vec::new(), next: None });
        };
        let fits = |one: &Loaded| self.state.is_none_or(|state| one.state(now).as_str() == state);
        let mut found = Vec::new();
        if let (Some(begins), None) = (&begins, &self.after) {
            // It stands before all that are longer.
            found.extend(store.credential(begins).await?.filter(fits));
        }
        let mut at = self.after.clone().or_else(|| begins.clone());
        let batch = if self.state.is_some() { BATCH } else { SHOWN + 1 };
        let mut looked_at = 0;
        loop {
            let part = store.credentials(at.as_ref(), batch).await?;
            let is_last = part.len() < batch;
            for one in part {
                let name = one.credential.name.as_str();
                if begins.as_ref().is_some_and(|begins| !name.starts_with(begins.as_str())) {
                    return Ok(Part { found, next: None });
                }
                if found.len() == SHOWN && fits(&one) {
                    return Ok(Part { found, next: at.map(|name| name.to_string()) });
                }
                at = Some(one.credential.name.clone());
                looked_at += 1;
                found.extend(Some(one).filter(fits));
            }
            if is_last || looked_at >= LOOKED_AT_MAX {
                return Ok(Part { found, next: at.filter(|_| !is_last).map(|name| name.to_string()) });
            }
        }
    }

    fn further(&self, next: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("after", next);
        for (name, value) in [("q", self.begins), ("state", self.state)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("/ui/credentials?{}", query.finish())
    }
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
