//! One request's line in the audit log: who, what, with which credential, by whose leave, and what came of it.
//!
//! Written once, whatever becomes of the request. Never holds a query, a header or a body; a path only without the
//! phantoms in it, and clipped.

use std::mem::take;
use std::sync::Arc;

use http::Method;
use keyherd_core::agent::Agent;
use keyherd_core::audit::{self, Actor};
use keyherd_core::broker::Permit;
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Found, Hit, Place as Within, Table, hits};

use super::gate::Gate;
use super::trail::Place;
use super::words;
use crate::detail::Detail;
use crate::fault::Fault;
use crate::forward::Dialled;

/// A line that has its place.
pub(super) struct Line {
    place: Option<Place>,
    actor: Actor,
    subject: Arc<str>,
    is_request: bool,
    detail: Detail,
}

impl Line {
    /// Of a connection, or of a request with that method. Waits for a place, where there is none.
    pub(super) async fn begun(
        gate: &Gate,
        agent: &Agent,
        dialled: Option<&Dialled>,
        request: Option<&Method>,
    ) -> Result<Self, Fault> {
        let place = gate.trail().place().await?;
        let mut detail = Detail::new();
        if let Some(method) = request {
            detail.say("method", method.as_str());
        }
        let subject = dialled.map(Dialled::shown).unwrap_or_default();
        Ok(Self {
            place: Some(place),
            actor: agent.actor.clone(),
            subject,
            is_request: request.is_some(),
            detail,
        })
    }

    /// The path, with names in the places of phantoms.
    pub(super) fn at(mut self, path: &str, table: &Table) -> Self {
        let mut shown = String::with_capacity(path.len());
        let mut from = 0;
        for Hit { span, what } in hits(table, Within::Path, path.as_bytes()) {
            shown.push_str(path.get(from..span.start).unwrap_or_default());
            match what {
                Found::Own(name) => shown.push_str(&format!("{{{name}}}")),
                Found::Foreign => shown.push_str("{}"),
            }
            from = span.end;
        }
        shown.push_str(path.get(from..).unwrap_or_default());
        self.detail.say("path", &words::shown(&shown));
        self
    }

    pub(super) fn passed(mut self, permit: &Permit) -> Self {
        self.detail.permitted(permit);
        self
    }

    /// Whose secrets it was sent with.
    pub(super) fn with<'n>(&mut self, names: impl Iterator<Item = &'n Name>) {
        self.detail.texts("credentials", names.map(Name::as_str));
    }

    pub(super) fn note(&mut self, key: &str, value: impl ToString + Copy) {
        self.detail.note(key, value);
    }

    pub(super) fn say(&mut self, key: &str, text: &str) {
        self.detail.say(key, text);
    }

    pub(super) fn ended(mut self, outcome: &str) {
        self.detail.say("outcome", outcome);
        self.write();
    }

    pub(super) fn refused(mut self, permit: Option<&Permit>, fault: &Fault) {
        if let Some(permit) = permit {
            self.detail.permitted(permit);
        }
        self.failed(fault);
    }

    pub(super) fn failed(mut self, fault: &Fault) {
        self.detail.failed(fault);
        self.write();
    }

    /// There is none: what it would be about tells of itself.
    pub(super) fn dropped(mut self) {
        self.place = None;
    }

    fn write(&mut self) {
        let Some(place) = self.place.take() else { return };
        let action = if self.is_request { "proxy.request" } else { "proxy.tunnel" };
        let detail = take(&mut self.detail).into_text();
        let (actor, subject) = (&*self.actor.0, &*self.subject);
        place.take(audit::Line { action, actor, subject, detail: &detail });
    }
}

impl Drop for Line {
    /// Whoever asked has left.
    fn drop(&mut self) {
        if self.place.is_some() {
            self.detail.say("outcome", "broken_off");
            self.write();
        }
    }
}
