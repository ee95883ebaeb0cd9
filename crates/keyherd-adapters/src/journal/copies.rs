//! The journal with sealed copies in Redis: what a host received before it vanished, any other host can commit.
//!
//! Owns the copies. This machine's journal is what counts: a copy is made beside it, within a bound, and its failure is
//! nobody's error. Sealed as the files are; Redis sees a keyed hash and ciphertext.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;
use keyherd_core::ids::ChainId;
use keyherd_core::ports::{Aged, Journal, JournalEntry, JournalError};
use keyherd_core::refresh::RefreshBounds;
use keyherd_core::secret::TokenHash;
use keyherd_core::time::{Timestamp, millis};

use super::FileJournal;
use super::document::parse_hash;
use crate::coordinator::RedisLink;

/// Names that Redis looks at in one step of a scan, about.
const SCAN_COUNT: u32 = 200;

/// Bounds of the copies.
#[derive(Debug, Clone)]
pub struct CopyOptions {
    /// How long a copy is kept. Longer than a journal keeps what was committed, so that a store that lost its last commits
    /// can be rolled forward from copies as well.
    pub kept: Duration,
    /// How long Redis may take for one.
    pub answer_timeout: Duration,
    /// The largest that is copied, in bytes.
    pub len_max: usize,
    /// How long a key may take to come here that a copy is sealed under. After that the copy is none: what nobody can open
    /// must not keep a credential from being refreshed.
    pub sealed_patience: Duration,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            kept: Duration::from_secs(25 * 60 * 60),
            answer_timeout: Duration::from_millis(100),
            len_max: 1 << 20,
            sealed_patience: RefreshBounds::default().owner_recovery,
        }
    }
}

/// A [`Journal`] on this machine, with copies elsewhere.
#[derive(Clone)]
pub struct CopiedJournal {
    local: FileJournal,
    link: Arc<RedisLink>,
    options: CopyOptions,
}

impl CopiedJournal {
    /// Copies what is written to `local` from now on.
    pub fn new(local: FileJournal, link: Arc<RedisLink>, options: CopyOptions) -> Self {
        Self { local, link, options }
    }

    fn key(&self, spent: &TokenHash) -> String {
        self.link.key("answer", &spent.to_hex())
    }

    async fn copy(&self, entry: &JournalEntry) {
        let sealed = self.local.sealed(entry).await;
        let Some(sealed) = sealed.ok().filter(|sealed| sealed.len() <= self.options.len_max) else { return };
        let mut set = redis::cmd("SET");
        set.arg(self.key(&entry.spent)).arg(sealed).arg("PX").arg(millis(self.options.kept));
        let _ = self.link.ask_within::<redis::Value>(&set, self.options.answer_timeout).await;
    }

    /// One that was damaged is none: what follows is what would follow without Redis. One under a key that is not here
    /// is an error while it is young, because the key may come.
    async fn copied(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        let mut get = redis::cmd("GET");
        get.arg(self.key(spent));
        let found = self.link.ask_within::<Option<Vec<u8>>>(&get, self.options.answer_timeout).await;
        let Some(sealed) = found.flatten() else { return Ok(None) };
        match self.local.opened(spent, sealed).await {
            Ok(entry) => Ok(Some(entry)),
            Err(error @ JournalError::Unreadable { .. }) => {
                tracing::warn!(%error, "a copy in Redis is of no use");
                Ok(None)
            }
            Err(error @ JournalError::Sealed { .. }) if !self.is_young(spent).await => {
                tracing::warn!(%error, "a copy in Redis is of no use");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a copy was made a moment ago, by the rest of its time. One that says otherwise was not made here.
    async fn is_young(&self, spent: &TokenHash) -> bool {
        let mut rest = redis::cmd("PTTL");
        rest.arg(self.key(spent));
        let rest = self.link.ask_within::<i64>(&rest, self.options.answer_timeout).await;
        let rest = rest.and_then(|rest| u64::try_from(rest).ok()).map(Duration::from_millis);
        let age = rest.and_then(|rest| self.options.kept.checked_sub(rest));
        age.is_some_and(|age| age < self.options.sealed_patience)
    }

    /// Puts every copy of this installation that can be opened here under the first key, whichever host made it. Returns
    /// how many: a Redis that does not answer is nobody's error.
    pub async fn reseal_copies(&self) -> usize {
        self.link.tried().await;
        let prefix = self.link.key("answer", "");
        let (mut cursor, mut resealed) = (0_u64, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{prefix}*")).arg("COUNT").arg(SCAN_COUNT);
            let page = self.link.ask_within::<(u64, Vec<String>)>(&scan, self.options.answer_timeout).await;
            let Some((next, keys)) = page else { return resealed };
            for key in keys {
                let spent = key.strip_prefix(&prefix).and_then(parse_hash);
                let done = match spent {
                    Some(spent) => self.reseal_copy(&spent).await,
                    None => None,
                };
                resealed += usize::from(done.is_some());
            }
            if next == 0 {
                return resealed;
            }
            cursor = next;
        }
    }

    /// `None`: it is as it was.
    async fn reseal_copy(&self, spent: &TokenHash) -> Option<()> {
        let mut get = redis::cmd("GET");
        get.arg(self.key(spent));
        let found = self.link.ask_within::<Option<Vec<u8>>>(&get, self.options.answer_timeout).await;
        let old = found.flatten().filter(|copy| !self.local.is_current(copy))?;
        let entry = self.local.opened(spent, old).await.ok()?;
        let mut set = redis::cmd("SET");
        set.arg(self.key(spent)).arg(self.local.sealed(&entry).await.ok()?).arg("XX").arg("KEEPTTL");
        self.link.ask_within::<redis::Value>(&set, self.options.answer_timeout).await.map(drop)
    }
}

#[async_trait]
impl Journal for CopiedJournal {
    /// The copy is made at the same time, whether or not this machine can keep the answer.
    async fn write(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        join(self.local.write(entry), self.copy(entry)).await.0
    }

    async fn find(&self, spent: &TokenHash) -> Result<Option<JournalEntry>, JournalError> {
        match self.local.find(spent).await? {
            None => self.copied(spent).await,
            found => Ok(found),
        }
    }

    /// Another host may have spent the same token later: an older answer here, or one that does not open, does not hide
    /// its copy.
    async fn find_for(
        &self,
        spent: &TokenHash,
        chain: ChainId,
        generation: u64,
    ) -> Result<Option<JournalEntry>, JournalError> {
        let is_it = |entry: &JournalEntry| entry.answers(chain, generation);
        let here = match self.local.find(spent).await {
            Ok(Some(entry)) if is_it(&entry) => return Ok(Some(entry)),
            Ok(_) => Ok(None),
            Err(error @ JournalError::Unreadable { .. }) => Err(error),
            Err(error) => return Err(error),
        };
        match self.copied(spent).await? {
            Some(entry) if is_it(&entry) => Ok(Some(entry)),
            _ => here,
        }
    }

    /// The copy stays for its time, as committed entries do.
    async fn committed(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.local.committed(spent).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<TokenHash>, JournalError> {
        self.local.pending(limit).await
    }

    async fn aged(&self, now: Timestamp, keep: Duration, limit: usize) -> Result<Vec<Aged>, JournalError> {
        self.local.aged(now, keep, limit).await
    }

    async fn forget(&self, spent: &TokenHash) -> Result<(), JournalError> {
        self.local.forget(spent).await
    }
}
