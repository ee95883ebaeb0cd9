//! What a caller gets: one allocation that holds the token and what it is.

use std::fmt;

use zeroize::optimization_barrier;

use crate::credential::{Chain, Credential};
use crate::ids::CredentialId;
use crate::time::Timestamp;

/// A valid access token of one credential. `Debug` shows no part of it; the memory is wiped on drop.
#[derive(Clone)]
pub struct Token {
    /// The access token, its type and the credential's name, one after the other: one allocation a handle.
    text: Wiped,
    type_at: u32,
    name_at: u32,
    expires_at: Option<Timestamp>,
    generation: u64,
    credential_id: CredentialId,
    pool_epoch: Option<u64>,
    cooling_until: Option<Timestamp>,
}

/// A text whose memory is wiped on drop, all at once: `Zeroizing` goes byte by byte, which for a long token takes longer
/// than all the rest of the hot path. Measured by the bench `hot_path`.
#[derive(Clone)]
struct Wiped(Box<str>);

impl Drop for Wiped {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_boxed_bytes();
        bytes.fill(0);
        // Without it the compiler may leave out what nobody reads.
        optimization_barrier(&*bytes);
    }
}

impl Token {
    /// The chain's current access token, as that credential's. `None`: there is none.
    pub(crate) fn of(credential: &Credential, chain: &Chain) -> Option<Self> {
        let token = chain.tokens.access_token.as_ref()?.expose();
        let (kind, name) = (chain.tokens.token_type.as_str(), credential.name.as_str());
        let mut text = String::with_capacity(token.len() + kind.len() + name.len());
        text.push_str(token);
        text.push_str(kind);
        text.push_str(name);
        Some(Self {
            text: Wiped(text.into_boxed_str()),
            type_at: u32::try_from(token.len()).ok()?,
            name_at: u32::try_from(token.len() + kind.len()).ok()?,
            expires_at: chain.tokens.expires_at,
            generation: chain.generation,
            credential_id: credential.id,
            pool_epoch: None,
            cooling_until: None,
        })
    }

    pub(crate) fn of_pool(self, epoch: u64) -> Self {
        Self { pool_epoch: Some(epoch), ..self }
    }

    pub(crate) fn cooling_until(self, until: Option<Timestamp>) -> Self {
        Self { cooling_until: until, ..self }
    }

    /// The access token itself.
    pub fn expose(&self) -> &str {
        self.text.0.get(..self.type_at as usize).unwrap_or_default()
    }

    /// `Bearer`, or what the provider said (RFC 6749, section 7.1).
    pub fn token_type(&self) -> &str {
        self.text.0.get(self.type_at as usize..self.name_at as usize).unwrap_or_default()
    }

    /// Whose it is.
    pub fn credential(&self) -> &str {
        self.text.0.get(self.name_at as usize..).unwrap_or_default()
    }

    /// When it ends; `None`: it does not.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// Whose it is, for reports: a name may be used again.
    pub fn credential_id(&self) -> CredentialId {
        self.credential_id
    }

    /// The pool's epoch, where a pool was asked for.
    pub fn pool_epoch(&self) -> Option<u64> {
        self.pool_epoch
    }

    /// Set where all of a pool's members rest: this one until then.
    pub fn rests_until(&self) -> Option<Timestamp> {
        self.cooling_until
    }

    /// Which generation of its chain it belongs to.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("credential", &self.credential())
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
