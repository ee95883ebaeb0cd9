//! A chain in good health, for the tables of this room.

use std::time::Duration;

use super::{RefreshBounds, Rules};
use crate::credential::{Chain, Client, Kind, Tokens, Trouble};
use crate::ids::ChainId;
use crate::provider::{Profile, Rotates};
use crate::secret::TokenHash;
use crate::time::Timestamp;

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_000_000_000_000);

pub(super) const fn hash() -> TokenHash {
    TokenHash::from_bytes([9; 32])
}

/// Bounds by default, a provider that rotates, and ten seconds of grace.
pub(super) fn rules() -> Rules {
    let profile =
        Profile { rotates: Rotates::Always, reuse_grace: Duration::from_secs(10), ..Profile::default() };
    Rules::new(&RefreshBounds::default(), &profile)
}

/// Half an hour old, with an hour to go.
pub(super) fn chain() -> Chain {
    Chain {
        id: ChainId::from_i64(1),
        revision: 4,
        generation: 3,
        name: None,
        provider: "generic".into(),
        kind: Kind::OAuth2,
        client: Client::default(),
        token_url: None,
        resource: None,
        scopes: Vec::new(),
        tokens: Tokens {
            access_token: Some("access".into()),
            token_type: "Bearer".into(),
            expires_at: Some(NOW + Duration::from_secs(3600)),
            expires_assumed: false,
            issued_at: NOW - Duration::from_secs(1800),
            refresh_token: Some("refresh".into()),
            refresh_expires_at: None,
            scopes: vec!["mail".into()],
        },
        spend_hash: Some(hash()),
        refreshed_at: None,
        minted_by_rejection: false,
        trouble: Trouble::None,
        claim: None,
        block: None,
        due_at: None,
    }
}
