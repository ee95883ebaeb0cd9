//! One request's line in the audit log, at the gateway: who, what, with which credential, by whose leave, and what came
//! of it.
//!
//! Written once, whatever becomes of the request. It is text from the beginning, because every request makes one. Never
//! holds a query, a header or a body; a path only clipped.

use std::mem::take;

use keyherd_core::audit::{Actor, TextNote};
use keyherd_core::broker::{Permit, PermittedBy};
use keyherd_core::ids::Name;

use crate::fault::Fault;
use crate::order::Served;
use crate::swapper::{Place, Trail, words};

/// What a line takes at first, in bytes: most need no more.
const LINE_LEN: usize = 256;

/// A line that has its place.
pub(super) struct Line {
    place: Option<Place>,
    actor: Actor,
    subject: String,
    detail: Vec<u8>,
    /// Whose token was used last.
    pub(super) served: Option<Served>,
}

impl Line {
    /// Waits for a place, where there is none.
    pub(super) async fn begun(trail: &Trail, actor: Actor, name: &Name) -> Result<Self, Fault> {
        let place = Some(trail.place().await?);
        let mut line =
            Self { place, actor, subject: String::new(), detail: Vec::with_capacity(LINE_LEN), served: None };
        line.note("name", name.as_str());
        Ok(line)
    }

    /// What upstream is to get.
    pub(super) fn about(&mut self, upstream: &str, method: &http::Method, path: &str) {
        self.subject = upstream.to_owned();
        self.note("method", method.as_str());
        self.note("path", &words::shown(path));
    }

    pub(super) fn permitted(&mut self, permit: &Permit) {
        self.note("verdict", words::verdict(permit));
        if permit.by == PermittedBy::Default {
            return self.note("by", words::BY_DEFAULT);
        }
        self.key("by");
        let _ = serde_json::to_writer(&mut self.detail, &words::by(permit));
    }

    pub(super) fn answered(mut self, status: u16) {
        self.ended("answered", Some(status));
    }

    pub(super) fn failed(mut self, fault: &Fault) {
        self.ended(words::outcome(fault), None);
    }

    /// Nothing was asked for.
    pub(super) fn denied(mut self) {
        self.ended("denied", None);
    }

    fn ended(&mut self, outcome: &str, status: Option<u16>) {
        if let Some(served) = self.served.take() {
            self.note("credential", &served.credential);
        }
        if let Some(status) = status {
            self.key("status");
            let _ = serde_json::to_writer(&mut self.detail, &status);
        }
        self.note("outcome", outcome);
        self.write();
    }

    fn note(&mut self, key: &str, text: &str) {
        self.key(key);
        // Into memory, which cannot fail.
        let _ = serde_json::to_writer(&mut self.detail, text);
    }

    fn key(&mut self, key: &str) {
        self.detail.extend_from_slice(if self.detail.is_empty() { b"{\"" } else { b",\"" });
        self.detail.extend_from_slice(key.as_bytes());
        self.detail.extend_from_slice(b"\":");
    }

    fn write(&mut self) {
        let Some(place) = self.place.take() else { return };
        self.detail.push(b'}');
        let detail = String::from_utf8(take(&mut self.detail)).unwrap_or_default();
        let (actor, subject) = (Actor(take(&mut self.actor.0)), take(&mut self.subject));
        place.send(TextNote { action: "gateway.request", actor, subject, detail });
    }
}

impl Drop for Line {
    /// Whoever asked has left.
    fn drop(&mut self) {
        if self.place.is_some() {
            self.ended("broken_off", None);
        }
    }
}
