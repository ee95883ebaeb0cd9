//! The phantoms of agents that are kept: drawn from the installation's own key, so that every process has the same ones
//! at any time, and no store holds them.
//!
//! Nobody without that key can guess one: they are as random as a keyed hash (HMAC-SHA-256). They last as long as the
//! agent's incarnation, through every refresh, rotation and failover, and are worthless once it is revoked. Agents that
//! are not kept have a random incarnation of their own, and so never the phantoms of another one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::mint::{Claims, mint};
use super::shape::{BadPhantom, Phantom, Shape};
use crate::agent::Agent;
use crate::ids::Name;
use crate::ports::{Entropy, TokenSigner};
use crate::secret::Hasher;

/// How long clients may think that a synthetic JWT lasts: longer than any of them.
const JWT_LIFE: Duration = Duration::from_secs(50 * 365 * 24 * 60 * 60);

/// An agent's phantom for a credential or pool: the same one every time.
///
/// # Errors
/// [`BadPhantom`]: as [`mint`].
pub fn phantom_of(
    hasher: &Hasher,
    agent: &Agent,
    name: &Name,
    shape: &Shape,
    signer: &dyn TokenSigner,
) -> Result<Phantom, BadPhantom> {
    drawn(hasher, agent, &format!("{name}\n"), shape, signer)
}

/// What an agent gets where a provider tells a client who logged in: a JWT that stands for nothing, and is no phantom of the
/// agent's own.
///
/// # Errors
/// [`BadPhantom`]: as [`mint`].
pub fn id_token_of(
    hasher: &Hasher,
    agent: &Agent,
    name: &Name,
    signer: &dyn TokenSigner,
) -> Result<Phantom, BadPhantom> {
    drawn(hasher, agent, &format!("{name}\nid_token\n"), &Shape::Jwt, signer)
}

/// `what`: lines. No name has a line end in it, so that no two are the same.
fn drawn(
    hasher: &Hasher,
    agent: &Agent,
    what: &str,
    shape: &Shape,
    signer: &dyn TokenSigner,
) -> Result<Phantom, BadPhantom> {
    let claims = Claims { issued_at: agent.created_at, expires_at: agent.created_at + JWT_LIFE };
    let seed = format!("{}\n{what}", agent.id.as_i64());
    mint(shape, claims, &Drawn { hasher: hasher.clone(), seed, block: AtomicU64::new(0) }, signer)
}

/// A keyed hash in counter mode, as a source of random bytes.
struct Drawn {
    hasher: Hasher,
    seed: String,
    block: AtomicU64,
}

impl Entropy for Drawn {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let number = self.block.fetch_add(1, Ordering::Relaxed);
            let block = self.hasher.labelled(b"phantom", format!("{}{number}", self.seed).as_bytes());
            chunk.copy_from_slice(block.as_bytes().get(..chunk.len()).unwrap_or_default());
        }
    }
}
