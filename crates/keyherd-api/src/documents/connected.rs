//! What became of a credential document that was handed in.

use keyherd_core::broker::Connected;
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::CredentialView;

/// A credential as it stands now, and what became of its document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConnectedView {
    /// How it stands.
    #[serde(flatten)]
    pub credential: CredentialView,
    /// `created`, `joined`, `replaced` or `kept`.
    pub outcome: String,
    /// What of the document was not taken, and the way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl ConnectedView {
    /// `handed_in`: the document's refresh token.
    pub fn new(connected: &Connected, handed_in: Option<&Secret>, now: Timestamp) -> Self {
        let outcome = match connected {
            Connected::Created(_) => "created",
            Connected::Joined(_) => "joined",
            Connected::Replaced(_) => "replaced",
            Connected::Kept(_) => "kept",
        };
        Self {
            credential: CredentialView::new(connected.loaded(), now),
            outcome: outcome.into(),
            note: note(connected, handed_in),
        }
    }
}

/// Joining a chain never replaces its tokens: who hands in other ones learns that they were not taken.
fn note(connected: &Connected, handed_in: Option<&Secret>) -> Option<String> {
    let Connected::Joined(loaded) = connected else { return None };
    let tokens = &loaded.chain.tokens;
    handed_in.filter(|given| tokens.refresh_token.as_ref() != Some(given))?;
    let name = &loaded.credential.name;
    Some(format!(
        "its refresh token was not taken: the chain has another one, and keeps it; to put this one in its place for all \
         members, 'keyherd cred import FILE --replace' or PUT /v1/credentials/{name}/tokens"
    ))
}
