//! One request's line in the audit log, at the gateway: who, what, with which credential, by whose leave, and what came
//! of it.
//!
//! Written once, whatever becomes of the request.

use std::mem::take;
use std::sync::Arc;

use keyherd_core::audit::{self, Actor};
use keyherd_core::broker::Permit;
use keyherd_core::ids::Name;

use crate::detail::Detail;
use crate::fault::Fault;
use crate::forward::Dialled;
use crate::order::Served;
use crate::swapper::{Place, Trail, words};

/// A line that has its place.
pub(super) struct Line {
    place: Option<Place>,
    actor: Actor,
    subject: Arc<str>,
    detail: Detail,
    /// Whose token was used last.
    pub(super) served: Option<Served>,
}

impl Line {
    /// Waits for a place, where there is none.
    pub(super) async fn begun(trail: &Trail, actor: Actor, name: Option<&Name>) -> Result<Self, Fault> {
        let place = trail.place().await?;
        let mut detail = Detail::new();
        name.iter().for_each(|name| detail.say("name", name.as_str()));
        Ok(Self { place: Some(place), actor, subject: Arc::default(), detail, served: None })
    }

    /// What upstream is to get.
    pub(super) fn about(&mut self, upstream: &Dialled, method: &http::Method, path: &str) {
        self.subject = upstream.shown();
        self.asked(method, path);
    }

    /// What was asked for, where nobody knows what upstream would get.
    pub(super) fn asked(&mut self, method: &http::Method, path: &str) {
        self.detail.say("method", method.as_str());
        self.detail.say("path", &words::shown(path));
    }

    pub(super) fn permitted(&mut self, permit: &Permit) {
        self.detail.permitted(permit);
    }

    pub(super) fn answered(mut self, status: u16) {
        self.detail.note("status", status);
        self.ended("answered");
    }

    pub(super) fn failed(mut self, fault: &Fault) {
        self.detail.failed(fault);
        self.write();
    }

    fn ended(&mut self, outcome: &str) {
        self.detail.say("outcome", outcome);
        self.write();
    }

    fn write(&mut self) {
        let Some(place) = self.place.take() else { return };
        if let Some(served) = self.served.take() {
            self.detail.say("credential", served.credential());
        }
        place.take(audit::Line {
            action: "gateway.request",
            actor: &self.actor.0,
            subject: &self.subject,
            detail: &take(&mut self.detail).into_text(),
        });
    }
}

impl Drop for Line {
    /// Whoever asked has left.
    fn drop(&mut self) {
        if self.place.is_some() {
            self.ended("broken_off");
        }
    }
}
