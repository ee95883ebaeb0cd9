//! What audit lines of requests say, in the same words at every door.

use std::borrow::Cow;

use keyherd_core::broker::{Permit, PermittedBy};
use serde_json::{Value, json};

use crate::fault::Fault;

/// How much of a path is written, in characters.
const PATH_SHOWN_MAX: usize = 256;

/// A path as it is written: clipped, and without what moves a cursor.
pub(crate) fn shown(path: &str) -> Cow<'_, str> {
    if path.len() <= PATH_SHOWN_MAX && !path.contains(char::is_control) {
        return Cow::Borrowed(path);
    }
    path.chars().filter(|c| !c.is_control()).take(PATH_SHOWN_MAX).collect()
}

/// What became of whether it may go.
pub(crate) fn verdict(permit: &Permit) -> &'static str {
    if permit.allows { "allow" } else { "deny" }
}

/// By what, or by whose answer.
pub(crate) fn by(permit: &Permit) -> Value {
    match &permit.by {
        PermittedBy::Rule(id) => json!({"rule": id.to_string()}),
        PermittedBy::Remembered(id) => json!({"remembered": id.to_string()}),
        PermittedBy::Default => json!("default"),
        PermittedBy::Approval(approval) => {
            let human = approval.answer.as_ref().filter(|answer| answer.decision.is_some());
            let human = human.and_then(|answer| answer.by.clone());
            json!({"approval": approval.id.to_string(), "answered_by": human})
        }
        PermittedBy::NobodyInTime(id) => json!({"unanswered": id.map(|id| id.to_string())}),
        PermittedBy::NoAgent => json!("nobody"),
    }
}

/// What became of a request that got no answer.
pub(crate) fn outcome(fault: &Fault) -> &'static str {
    match fault {
        Fault::Denied(_) | Fault::Undialled(_) => "denied",
        Fault::Unanswered(_) => "approval_timeout",
        Fault::Refused { .. }
        | Fault::Engine(_)
        | Fault::Busy(_)
        | Fault::Unasked(_)
        | Fault::BadMethod(_)
        | Fault::BadRequest(_)
        | Fault::NotFound(_) => "refused",
        _ => "failed",
    }
}
