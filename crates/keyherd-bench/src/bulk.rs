//! Credentials by the hundred thousand, as one import brings them in. Owns what such a row looks like; never writes it.

use std::time::Duration;

use keyherd_adapters::system::SystemClock;
use keyherd_core::credential::{Draft, Tokens};
use keyherd_core::ids::{ChainId, CredentialId};
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::NewCredential;
use keyherd_core::time::Timestamp;

use crate::{Installation, Outcome, credential};

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The credential `acme-NUMBER`: its token is a day old, ends at `expires_at` and is due at `due_at`.
pub fn imported(
    installation: &Installation,
    number: usize,
    token_url: &str,
    expires_at: Timestamp,
    due_at: Timestamp,
) -> Outcome<NewCredential> {
    let fields = credential(&format!("acme-{number}"), number as u64, token_url);
    let draft = Draft::parse(fields)?;
    let tokens = Tokens {
        access_token: Some("x".repeat(100).into()),
        token_type: "Bearer".into(),
        expires_at: Some(expires_at),
        expires_assumed: false,
        issued_at: SystemClock.now() - DAY,
        refresh_token: draft.refresh_token.clone(),
        refresh_expires_at: None,
        scopes: Vec::new(),
    };
    let hasher = &installation.store.installation().hasher;
    // Ascending, so that each row lies beside the one before it: random ones would each touch a page of their own.
    let id = i64::try_from(number)? + 1;
    Ok(NewCredential {
        id: CredentialId::from_i64(id),
        chain: ChainId::from_i64(id),
        spend_hash: draft.refresh_token.as_ref().map(|token| hasher.token(token)),
        due_at: Some(due_at),
        draft,
        tokens,
    })
}
