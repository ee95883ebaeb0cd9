//! What a door asks of the exchange, and what was really used for it.

use std::sync::Arc;

use keyherd_core::audit::Actor;
use keyherd_core::broker::{Report, Token};
use keyherd_core::ids::{CredentialId, Name};
use keyherd_core::upstream::Evidence;

use crate::inject::Inject;
use crate::revoked::EndsWith;
use crate::target::Target;

/// One request's order: whose credential goes where, and how.
#[derive(Clone)]
pub struct Order {
    /// A credential or a pool. `None`: nobody's token is asked for, and the answer is not judged.
    pub name: Option<Name>,
    /// Who asks.
    pub actor: Actor,
    /// The upstream.
    pub target: Target,
    /// Where the token stands in the request.
    pub inject: Arc<dyn Inject>,
    /// The part of the account that is used, such as a model, where the caller names one.
    pub scope: Option<String>,
    /// What becomes of the credentials that the caller sent itself.
    pub own: Own,
    /// The agent that asks, where it can be revoked: what lasts of the exchange ends then.
    pub ends_with: Option<EndsWith>,
}

/// The caller's own credentials: `Authorization` and `x-api-key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// They are keys to keyherd, and end here.
    End,
    /// They are the caller's business with upstream.
    Pass,
}

/// The token that was used, the last one where there were several: a pool's member's, or the credential's itself.
#[derive(Debug, Clone)]
pub struct Served(pub(crate) Token);

impl Served {
    /// Whose it is.
    pub fn credential(&self) -> &str {
        self.0.credential()
    }

    pub(crate) fn token(&self) -> &str {
        self.0.expose()
    }
}

/// What was injected into one try: reports are about this and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(crate) credential: Name,
    pub(crate) id: CredentialId,
    pub(crate) generation: u64,
    pub(crate) pool_epoch: Option<u64>,
}

impl Used {
    /// `None`: the token's name is none, which no store gives.
    pub(crate) fn of(token: &Token) -> Option<Self> {
        Some(Self {
            credential: Name::parse(token.credential()).ok()?,
            id: token.credential_id(),
            generation: token.generation(),
            pool_epoch: token.pool_epoch(),
        })
    }

    pub(crate) fn report(&self, order: &Order, evidence: Evidence) -> Report {
        Report {
            name: order.name.clone().unwrap_or_else(|| self.credential.clone()),
            credential: self.credential.clone(),
            incarnation: Some(self.id),
            generation: self.generation,
            pool_epoch: self.pool_epoch,
            scope: order.scope.clone(),
            evidence,
        }
    }
}
