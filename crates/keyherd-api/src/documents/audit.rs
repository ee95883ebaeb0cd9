//! The audit log as it is shown.

use keyherd_core::audit::{Broken, Entry};
use keyherd_core::ports::store::Verified;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Moment;

/// The most entries that one request reads from the log's end.
pub const AUDIT_LAST_MAX: usize = 10_000;

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// Its place in the whole log.
    pub seq: i64,
    /// When, on the store's clock.
    pub at: Moment,
    /// What was done: `refresh`, `credential.create`, …
    pub action: String,
    /// By whom: `cli`, `admin`, `background`, …
    pub actor: String,
    /// To what: a name.
    pub subject: String,
    /// Codes, numbers, hashes. Never a secret.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// The process whose chain it belongs to: 16 hexadecimal digits.
    pub chain: String,
    /// Its place in that chain, from 1. Lines of requests that were written as one share it, and the hash.
    pub place: u64,
    /// The keyed hash over all of this and the chain's previous hash: 64 hexadecimal digits.
    pub hash: String,
}

impl From<Entry> for AuditView {
    fn from(entry: Entry) -> Self {
        Self {
            seq: entry.seq,
            at: entry.at.into(),
            detail: value(entry.detail),
            action: entry.action,
            actor: entry.actor,
            subject: entry.subject,
            chain: format!("{:016x}", entry.chain.as_i64()),
            place: entry.place,
            hash: hex(&entry.hash),
        }
    }
}

/// What a look through the whole audit log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// Whether every entry is as it was written.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// The first thing wrong, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<BrokenView>,
}

/// The first broken entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BrokenView {
    /// The entry, the first of those that were written as one with it, or the last one before what is missing; 0 where there
    /// is none.
    pub seq: i64,
    /// `edited`, `gap`, `truncated`; `unseen`: it has seen an entry of another process that is not there; `floor`: what is
    /// recorded of trimming the log was changed, and `seq` is the number through which it says that it was trimmed.
    pub kind: String,
    /// The same in words.
    pub problem: String,
}

impl From<Verified> for VerifyView {
    fn from(verified: Verified) -> Self {
        Self {
            ok: verified.broken.is_none(),
            entries: verified.entries,
            broken: verified.broken.map(BrokenView::from),
        }
    }
}

impl From<Broken> for BrokenView {
    fn from(broken: Broken) -> Self {
        let (kind, seq) = match broken {
            Broken::Edited { seq } | Broken::EditedAmong { seq, .. } => ("edited", seq),
            Broken::Gap { seq } => ("gap", seq),
            Broken::Truncated { seq } => ("truncated", seq),
            Broken::Unseen { seq } => ("unseen", seq),
            Broken::Floor { seq } => ("floor", seq),
        };
        Self { seq, kind: kind.into(), problem: broken.to_string() }
    }
}

/// The JSON that a store kept as text.
pub(super) fn value(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
