//! Looking through the audit log from its end, so much at a time.
//!
//! The log has no index by word, and no look at it may cost more than a bounded number of entries: whoever wants to see
//! farther back says so.

use keyherd_core::audit::Entry;
use keyherd_core::ports::{Store, StoreError};

/// Entries read at once.
const BATCH: i64 = 1_000;
/// Entries looked at in one search that a person asked for.
pub(super) const LOOKED_AT_MAX: i64 = 20_000;

/// What is looked for.
pub(super) struct Search<'a> {
    /// A word in action, actor, subject or detail, in any case.
    pub(super) text: Option<&'a str>,
    /// One of these actions; none: any.
    pub(super) actions: &'a [&'a str],
    /// Entries looked at, at most.
    pub(super) depth: i64,
}

/// What was found, the newest first.
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    /// Where to go on, before that entry.
    pub(super) before: Option<i64>,
    /// How far back it looked: the oldest entry that it saw.
    pub(super) oldest: Option<i64>,
}

impl Search<'_> {
    fn fits(&self, entry: &Entry) -> bool {
        let is_wanted = self.actions.is_empty() || self.actions.contains(&entry.action.as_str());
        let has = |word: &str| {
            let texts = [&entry.action, &entry.actor, &entry.subject, &entry.detail];
            texts.iter().any(|text| text.to_lowercase().contains(word))
        };
        is_wanted && self.text.is_none_or(|text| has(&text.to_lowercase()))
    }
}

/// The newest that fit, at most so many, among those before `before`.
pub(super) async fn backwards(
    store: &dyn Store,
    search: &Search<'_>,
    before: Option<i64>,
    limit: usize,
) -> Result<Found, StoreError> {
    let end = match before {
        Some(before) => before,
        None => store.tail(1).await?.last().map_or(1, |last| last.seq.saturating_add(1)),
    };
    // A log that was trimmed begins at a higher number than 1.
    let first = store.entries(0, 1).await?.first().map_or(1, |first| first.seq);
    let floor = end.saturating_sub(search.depth).max(first);
    let (mut at, mut entries) = (end, Vec::new());
    // The first page of a log that is not searched wants no more than it shows.
    let batch = if search.text.is_none() && search.actions.is_empty() {
        i64::try_from(limit).unwrap_or(BATCH)
    } else {
        BATCH
    };
    while at > floor {
        let start = at.saturating_sub(batch).max(floor);
        let part = store.entries(start - 1, usize::try_from(at - start).unwrap_or(0)).await?;
        for entry in part.into_iter().filter(|entry| entry.seq < at).rev().filter(|entry| search.fits(entry))
        {
            if entries.len() == limit {
                let before = entries.last().map(|last: &Entry| last.seq);
                return Ok(Found { entries, before, oldest: before });
            }
            entries.push(entry);
        }
        at = start;
    }
    Ok(Found { before: (at > first).then_some(at), oldest: Some(at), entries })
}
