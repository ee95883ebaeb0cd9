//! What the rules say of a request before any of it is sent, and where they ask, what a human says.
//!
//! Owns the words that a refused caller reads. Never decides: rules and humans do.

use std::time::Duration;

use keyherd_core::approval::{Approval, Stage};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Broker, Permit, PermittedBy};
use keyherd_core::policy::Target;

use crate::fault::Fault;

/// Waits for a word on that target, at most so long.
///
/// # Errors
/// It may not go, or nobody could be asked; with what decided that, where something did.
pub(crate) async fn consent(
    broker: &Broker,
    target: &Target<'_>,
    wait: Duration,
    actor: &Actor,
) -> Result<Permit, (Fault, Option<Permit>)> {
    let permitted = match broker.permit_at_hand(target) {
        Some(permit) => Ok(permit),
        // On the heap: most requests wait for nobody, and all are moved about with it.
        None => Box::pin(broker.permit(target, wait, actor)).await,
    };
    match permitted {
        Ok(permit) if permit.allows => Ok(permit),
        Ok(permit) => Err((refused(&permit, target.destination.host()), Some(permit))),
        Err(error) => Err((error.into(), None)),
    }
}

/// What a caller is told who may not.
pub(crate) fn refused(permit: &Permit, host: &str) -> Fault {
    match &permit.by {
        PermittedBy::Rule(id) => Fault::Denied(format!("rule {id} denies requests such as this to {host}")),
        PermittedBy::Remembered(id) => Fault::Denied(format!(
            "a human denied this to {host} for ever: 'keyherd rule remove {id}' forgets it"
        )),
        PermittedBy::Default => {
            Fault::Denied(format!("no rule allows {host}, and the default verdict is not 'allow'"))
        }
        PermittedBy::Approval(approval) => by_approval(approval, host),
        PermittedBy::NobodyInTime(_) => {
            Fault::Unanswered(format!("nobody answered in time whether this may go to {host}"))
        }
        PermittedBy::NoAgent => Fault::Denied(format!(
            "a human is asked on an agent's behalf before anything goes to {host}: use an agent's key"
        )),
    }
}

fn by_approval(approval: &Approval, host: &str) -> Fault {
    let id = approval.id;
    match approval.stage() {
        Stage::Answered => {
            let by = approval.answer.as_ref().and_then(|answer| answer.by.as_deref()).unwrap_or("a human");
            Fault::Denied(format!("{by} denied that this goes to {host} (approval {id})"))
        }
        Stage::Withdrawn => {
            Fault::Denied(format!("agent '{}' was revoked (approval {id})", approval.question.agent))
        }
        Stage::Open | Stage::TimedOut => Fault::Unanswered(format!(
            "nobody answered in time whether this may go to {host} (approval {id})"
        )),
    }
}
