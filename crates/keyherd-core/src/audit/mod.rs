//! The audit log's entries and how they are chained: pure, keyed, one chain per process.
//!
//! Never holds a secret: subjects are names, details are codes, numbers and hashes.

mod anchor;
mod chain;
mod floor;
mod sheaf;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;

pub use self::anchor::{Anchor, Anchors};
pub use self::chain::{Broken, ChainKey, Content, Head, Link, Verifier};
pub use self::floor::{AUDIT_TRIM, Cut, Floor, Floors, LogFloor, Retention};
pub use self::sheaf::{Line, Sheaf};
use crate::ids::OwnerId;
use crate::time::Timestamp;

/// Who acts: `cli`, `admin`, `background`, `agent:NAME`, …
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Actor(pub Arc<str>);

impl Actor {
    /// Who works by command on the store itself: in a process that ends with the command, and whose figures nobody reads.
    pub const BY_COMMAND: &str = "cli";

    /// An actor of that name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }
}

/// An entry as a verb writes it: the store adds the time, the place in the chain and the hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    /// What was done: `credential.create`, `refresh`, …
    pub action: &'static str,
    /// By whom.
    pub actor: Actor,
    /// To what: a name.
    pub subject: String,
    /// Codes, numbers, hashes. Never a secret.
    pub detail: Value,
}

/// A note as the log has it: its detail is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextNote {
    /// What was done.
    pub action: Cow<'static, str>,
    /// By whom.
    pub actor: Actor,
    /// To what.
    pub subject: Arc<str>,
    /// A JSON object's text, of what [`Note::detail`] may hold.
    pub detail: Arc<str>,
    /// When. `None`: as it is written.
    pub at: Option<Timestamp>,
}

impl From<Note> for TextNote {
    fn from(note: Note) -> Self {
        let Note { action, actor, subject, detail } = note;
        Self {
            action: action.into(),
            actor,
            subject: subject.into(),
            detail: detail.to_string().into(),
            at: None,
        }
    }
}

/// An entry as it stands in the log. It may carry several lines: see [`Entry::unbound`].
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in the whole log, given by the store.
    pub seq: i64,
    /// The process whose chain it belongs to.
    pub chain: OwnerId,
    /// Its place in that chain, from 1.
    pub place: u64,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// What was done.
    pub action: String,
    /// By whom.
    pub actor: String,
    /// To what.
    pub subject: String,
    /// Codes, numbers, hashes, as JSON text exactly as it was hashed.
    pub detail: String,
    /// What its process had seen of the others' chains; a chain that sees any says so in its first entry.
    pub anchors: Option<Anchors>,
    /// The keyed hash over all of the above and the chain's previous hash.
    pub hash: [u8; 32],
}

/// Writes a text as a JSON string: every request's line has several.
pub fn push_json(into: &mut String, text: &str) {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    // What most are; without a branch for each byte.
    if text.bytes().fold(true, |so_far, byte| so_far & is_plain(byte)) {
        into.reserve(text.len() + 2);
        into.push('"');
        into.push_str(text);
        into.push('"');
    } else {
        into.push_str(&Value::from(text).to_string());
    }
}
