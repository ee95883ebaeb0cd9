//! One request's line in the audit log: who, what, with which credential, by whose leave, and what came of it.
//!
//! Written once, whatever becomes of the request. Never holds a query, a header or a body; a path only without the
//! phantoms in it, and clipped.

use keyherd_core::audit::{Actor, Note};
use keyherd_core::broker::{Permit, PermittedBy};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Found, Hit, Place, Table, hits};
use serde_json::{Map, Value, json};
use tokio::sync::mpsc::OwnedPermit;

use super::gate::{Gate, Wish};
use crate::fault::Fault;

/// How much of a path is written, in characters.
const PATH_SHOWN_MAX: usize = 256;

/// A line that has its place.
pub(super) struct Line {
    place: Option<OwnedPermit<Note>>,
    actor: Actor,
    subject: String,
    is_request: bool,
    detail: Map<String, Value>,
}

impl Line {
    pub(super) async fn begun(gate: &Gate, wish: Wish<'_>) -> Result<Self, Fault> {
        let place = Some(gate.trail().place().await?);
        let mut detail = Map::new();
        if let Some((method, _)) = wish.request {
            detail.insert("method".into(), method.as_str().into());
        }
        let is_request = wish.request.is_some();
        Ok(Self { place, actor: wish.agent.actor(), subject: wish.dialled.to_string(), is_request, detail })
    }

    /// The path, with names in the places of phantoms.
    pub(super) fn at(mut self, path: &str, table: &Table) -> Self {
        let mut shown = String::with_capacity(path.len());
        let mut from = 0;
        for Hit { span, what } in hits(table, Place::Path, path.as_bytes()) {
            shown.push_str(path.get(from..span.start).unwrap_or_default());
            match what {
                Found::Own(name) => shown.push_str(&format!("{{{name}}}")),
                Found::Foreign => shown.push_str("{}"),
            }
            from = span.end;
        }
        shown.push_str(path.get(from..).unwrap_or_default());
        let shown: String = shown.chars().filter(|c| !c.is_control()).take(PATH_SHOWN_MAX).collect();
        self.note("path", shown);
        self
    }

    pub(super) fn passed(mut self, permit: &Permit) -> Self {
        self.verdict(permit);
        self
    }

    /// Whose secrets it was sent with.
    pub(super) fn with<'n>(&mut self, names: impl Iterator<Item = &'n Name>) {
        let names: Vec<&str> = names.map(Name::as_str).collect();
        if !names.is_empty() {
            self.note("credentials", names);
        }
    }

    pub(super) fn note(&mut self, key: &str, value: impl Into<Value>) {
        self.detail.insert(key.into(), value.into());
    }

    pub(super) fn ended(mut self, outcome: &str) {
        self.note("outcome", outcome);
        self.write();
    }

    pub(super) fn refused(mut self, permit: Option<&Permit>, fault: &Fault) {
        if let Some(permit) = permit {
            self.verdict(permit);
        }
        self.failed(fault);
    }

    pub(super) fn failed(mut self, fault: &Fault) {
        if matches!(fault, Fault::Undialled(_)) {
            // Whatever the rules say: the address had the last word.
            self.note("verdict", "deny");
            self.note("by", "address");
        }
        let outcome = match fault {
            Fault::Denied(_) | Fault::Undialled(_) => "denied",
            Fault::Unanswered(_) => "approval_timeout",
            Fault::Refused { .. } | Fault::Engine(_) | Fault::Busy(_) | Fault::Unasked(_) => "refused",
            _ => "failed",
        };
        self.note("outcome", outcome);
        self.write();
    }

    /// There is none: what it would be about tells of itself.
    pub(super) fn dropped(mut self) {
        self.place = None;
    }

    fn verdict(&mut self, permit: &Permit) {
        self.note("verdict", if permit.allows { "allow" } else { "deny" });
        let by = match &permit.by {
            PermittedBy::Rule(id) => json!({"rule": id.to_string()}),
            PermittedBy::Remembered(id) => json!({"remembered": id.to_string()}),
            PermittedBy::Default => json!("default"),
            PermittedBy::Approval(approval) => {
                let human = approval.answer.as_ref().and_then(|answer| answer.by.clone());
                json!({"approval": approval.id.to_string(), "answered_by": human})
            }
            PermittedBy::NobodyInTime(id) => json!({"unanswered": id.map(|id| id.to_string())}),
            PermittedBy::NoAgent => json!("nobody"),
        };
        self.note("by", by);
    }

    fn write(&mut self) {
        let Some(place) = self.place.take() else { return };
        let action = if self.is_request { "proxy.request" } else { "proxy.tunnel" };
        place.send(Note {
            action,
            actor: self.actor.clone(),
            subject: std::mem::take(&mut self.subject),
            detail: Value::Object(std::mem::take(&mut self.detail)),
        });
    }
}

impl Drop for Line {
    /// Whoever asked has left.
    fn drop(&mut self) {
        if self.place.is_some() {
            self.note("outcome", "broken_off");
            self.write();
        }
    }
}
