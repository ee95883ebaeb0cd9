//! How many credentials stand how: the exceptions are counted through their indexes, the rest is what is left.
//!
//! The words are those of [`keyherd_core::credential::State`], decided in the same order. The cost follows what is not
//! active, and one pass over the smallest index of all credentials.

use std::collections::BTreeMap;

use keyherd_core::credential::State;
use keyherd_core::time::Timestamp;

use super::SqlStore;
use crate::store::fault::Fault;
use crate::store::statement::query;

/// `CROSS JOIN` keeps SQLite to the order that is written: from the few exceptions to whom they are about.
pub(in crate::store) const CENSUS: &str = "
WITH odd (id) AS (
  SELECT id FROM credentials WHERE disabled
  UNION SELECT id FROM credentials WHERE cooldown_until > $1
  UNION SELECT n.id FROM chains c JOIN credentials n ON n.chain = c.id WHERE c.trouble IS NOT NULL
  UNION SELECT n.id FROM client_blocks b CROSS JOIN chains c CROSS JOIN credentials n
    WHERE c.client_hash = b.client_hash AND c.token_origin = b.origin AND n.chain = c.id
  UNION SELECT n.id FROM client_blocks b CROSS JOIN clients k CROSS JOIN chains c CROSS JOIN credentials n
    WHERE k.client_hash = b.client_hash AND c.client_name = k.name AND c.provider = k.provider
    AND c.token_origin = b.origin AND n.chain = c.id
)
SELECT CASE
    WHEN n.disabled THEN 'disabled'
    WHEN n.cooldown_until > $1 THEN 'cooling'
    WHEN c.trouble = 'verdict' AND c.verdict_hash = c.spend_hash THEN 'reauth_required'
    WHEN b.code IS NOT NULL THEN 'blocked'
    WHEN c.trouble = 'uncertain' THEN 'uncertain'
    WHEN c.trouble = 'backoff' AND c.trouble_until > $1 THEN 'unavailable'
    ELSE 'active'
  END AS word, COUNT(*) AS count, (SELECT COUNT(*) FROM credentials) AS total
FROM odd CROSS JOIN credentials n CROSS JOIN chains c
LEFT JOIN clients k ON k.provider = c.provider AND k.name = c.client_name
LEFT JOIN client_blocks b ON b.client_hash = COALESCE(k.client_hash, c.client_hash) AND b.origin = c.token_origin
WHERE n.id = odd.id AND c.id = n.chain
GROUP BY word
UNION ALL SELECT '', 0, COUNT(*) FROM credentials
";

impl SqlStore {
    pub(super) async fn count_states(&self, now: Timestamp) -> Result<Vec<(String, u64)>, Fault> {
        let rows = self.engine.read(query(CENSUS).bind(now.as_millis())).await?;
        let mut counts = BTreeMap::<String, u64>::new();
        let (mut total, mut odd) = (0, 0);
        for row in rows {
            let (word, count) =
                (row.try_get("word")?, u64::try_from(row.try_get::<i64>("count")?).unwrap_or(0));
            total = u64::try_from(row.try_get::<i64>("total")?).unwrap_or(0);
            odd += count;
            *counts.entry(word).or_default() += count;
        }
        *counts.entry(State::Active.as_str().to_owned()).or_default() += total.saturating_sub(odd);
        counts.retain(|_, count| *count > 0);
        Ok(counts.into_iter().collect())
    }
}
