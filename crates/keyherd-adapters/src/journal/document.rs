//! What stands in a journal file: a short clear head, then the sealed entry.
//!
//! Owns the document's fields. The head (chain and generation, 8 bytes each, big-endian) is what the sealed part is
//! bound to, so it cannot be changed unnoticed. The spent token's hash is inside: an entry under another one's name is
//! refused. Never touches a file, and lets nothing of a document into an error.

use std::borrow::Cow;

use keyherd_core::credential::Tokens;
use keyherd_core::ids::{ChainId, ClaimId};
use keyherd_core::ports::{JournalEntry, JournalError};
use keyherd_core::secret::{Secret, TokenHash};
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::seal::{Context, KeyId, Keyring};

/// The clear head, in bytes.
pub(super) const HEAD_LEN: usize = 16;

/// Room for everything in a document but the secrets and scopes.
const FRAME_LEN: usize = 1_024;

/// Seals entries for one installation, and opens them.
#[derive(Debug, Clone)]
pub(super) struct Sealer {
    pub(super) keyring: Keyring,
    pub(super) installation: [u8; 16],
}

impl Sealer {
    /// A file's content.
    pub(super) fn seal(&self, entry: &JournalEntry) -> Result<Vec<u8>, JournalError> {
        let text = text_of(&Document::of(entry))?;
        let context = self.context(entry.chain, entry.generation);
        let sealed =
            self.keyring.seal(&context, &text).map_err(|error| JournalError::Io(error.to_string()))?;
        let head = [entry.chain.as_i64().to_be_bytes(), entry.generation.to_be_bytes()];
        Ok([head.as_flattened(), &sealed].concat())
    }

    /// The entry in a file. `name` is what an error calls it.
    pub(super) fn open(
        &self,
        spent: &TokenHash,
        name: &str,
        file: &[u8],
    ) -> Result<JournalEntry, JournalError> {
        let entry = self.entry(file).map_err(|problem| unreadable(name, problem))?;
        if entry.spent == *spent { Ok(entry) } else { Err(unreadable(name, "it is another token's entry")) }
    }

    /// Whether a file is under the key that seals now.
    pub(super) fn is_current(&self, file: &[u8]) -> bool {
        key_of(file) == Some(self.keyring.sealing())
    }

    /// The key that a file is under, if it is not here.
    pub(super) fn lacks_key(&self, file: &[u8]) -> Option<KeyId> {
        key_of(file).filter(|key| !self.keyring.holds(*key))
    }

    fn entry(&self, file: &[u8]) -> Result<JournalEntry, Cow<'static, str>> {
        let (chain, generation, sealed) = split(file).ok_or("it is cut off")?;
        let opened = self.keyring.open(&self.context(chain, generation), sealed);
        let text = opened.map_err(|error| error.to_string())?;
        // A JSON error may quote what it stumbled over.
        let document: Document<'_> =
            serde_json::from_slice(&text).map_err(|_| "it was written by another version of keyherd")?;
        document.into_entry(chain, generation).ok_or("the hash in it is none".into())
    }

    fn context(&self, chain: ChainId, generation: u64) -> Context<'_> {
        Context { installation: &self.installation, kind: "journal", row: chain.as_i64(), generation }
    }
}

/// The sealed part. Times are milliseconds since 1970 on the store's clock.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    spent: Cow<'a, str>,
    claim: i64,
    access_token: Option<Cow<'a, str>>,
    token_type: Cow<'a, str>,
    expires_at: Option<i64>,
    expires_assumed: bool,
    issued_at: i64,
    refresh_token: Option<Cow<'a, str>>,
    refresh_expires_at: Option<i64>,
    scopes: Cow<'a, [String]>,
    minted_by_rejection: bool,
    received_at: i64,
}

impl<'a> Document<'a> {
    fn of(entry: &'a JournalEntry) -> Self {
        let tokens = &entry.tokens;
        Self {
            spent: entry.spent.to_hex().into(),
            claim: entry.claim.as_i64(),
            access_token: tokens.access_token.as_ref().map(|token| token.expose().into()),
            token_type: tokens.token_type.as_str().into(),
            expires_at: tokens.expires_at.map(Timestamp::as_millis),
            expires_assumed: tokens.expires_assumed,
            issued_at: tokens.issued_at.as_millis(),
            refresh_token: tokens.refresh_token.as_ref().map(|token| token.expose().into()),
            refresh_expires_at: tokens.refresh_expires_at.map(Timestamp::as_millis),
            scopes: tokens.scopes.as_slice().into(),
            minted_by_rejection: entry.minted_by_rejection,
            received_at: entry.received_at.as_millis(),
        }
    }

    fn into_entry(self, chain: ChainId, generation: u64) -> Option<JournalEntry> {
        let secret = |text: Cow<'_, str>| Secret::from(text.into_owned());
        let tokens = Tokens {
            access_token: self.access_token.map(secret),
            token_type: self.token_type.into_owned(),
            expires_at: self.expires_at.map(Timestamp::from_millis),
            expires_assumed: self.expires_assumed,
            issued_at: Timestamp::from_millis(self.issued_at),
            refresh_token: self.refresh_token.map(secret),
            refresh_expires_at: self.refresh_expires_at.map(Timestamp::from_millis),
            scopes: self.scopes.into_owned(),
        };
        Some(JournalEntry {
            chain,
            claim: ClaimId::from_i64(self.claim),
            generation,
            spent: parse_hash(&self.spent)?,
            tokens,
            minted_by_rejection: self.minted_by_rejection,
            received_at: Timestamp::from_millis(self.received_at),
        })
    }

    fn len_about(&self) -> usize {
        let secrets = self.access_token.as_ref().map_or(0, |t| t.len())
            + self.refresh_token.as_ref().map_or(0, |t| t.len());
        FRAME_LEN
            + secrets
            + self.token_type.len()
            + self.scopes.iter().map(|scope| scope.len() + 3).sum::<usize>()
    }
}

/// The hash that [`TokenHash::to_hex`] wrote.
pub(super) fn parse_hash(hex: &str) -> Option<TokenHash> {
    let canonical = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; 32];
    for (byte, at) in bytes.iter_mut().zip((0..64).step_by(2)).filter(|_| canonical) {
        *byte = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    canonical.then(|| TokenHash::from_bytes(bytes))
}

/// Allocated once, with room for all: a buffer that grew would leave secrets behind, unwiped.
fn text_of(document: &Document<'_>) -> Result<Zeroizing<Vec<u8>>, JournalError> {
    let mut text = Zeroizing::new(Vec::with_capacity(document.len_about()));
    serde_json::to_writer(&mut *text, document)
        .map_err(|_| JournalError::Io("an entry cannot be written".into()))?;
    Ok(text)
}

fn key_of(file: &[u8]) -> Option<KeyId> {
    split(file).and_then(|(_, _, sealed)| Keyring::key_of(sealed))
}

fn split(file: &[u8]) -> Option<(ChainId, u64, &[u8])> {
    let (chain, rest) = file.split_first_chunk()?;
    let (generation, sealed) = rest.split_first_chunk()?;
    Some((ChainId::from_i64(i64::from_be_bytes(*chain)), u64::from_be_bytes(*generation), sealed))
}

/// Whose answer a file is, from its clear head alone: a hint until the rest was opened.
pub(super) fn head_of(file: &[u8; HEAD_LEN]) -> Option<(ChainId, u64)> {
    split(file).map(|(chain, generation, _)| (chain, generation))
}

fn unreadable(name: &str, problem: impl Into<String>) -> JournalError {
    JournalError::Unreadable { name: name.to_owned(), problem: problem.into() }
}
