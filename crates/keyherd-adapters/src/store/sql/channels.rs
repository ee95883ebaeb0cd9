//! Statements on channels and notices. A channel is sealed but for what is searched for and what is not decided by people.

pub(in crate::store) const CHANNELS: &str =
    "SELECT id, name, doc, delivered_at, failed_at, problem FROM channels ORDER BY name";

pub(in crate::store) const INSERT_CHANNEL: &str =
    "INSERT INTO channels (id, name, doc, position) VALUES ($1, $2, $3, 0)";

pub(in crate::store) const REMOVE_CHANNEL: &str = "DELETE FROM channels WHERE id = $1";

pub(in crate::store) const REMOVE_NOTICES: &str = "DELETE FROM notices WHERE channel = $1";

pub(in crate::store) const SEALED_CHANNELS: &str =
    "SELECT id, doc FROM channels WHERE id > $1 ORDER BY id LIMIT $2";

pub(in crate::store) const RESEAL_CHANNEL: &str = "UPDATE channels SET doc = $1 WHERE id = $2";

// --- notices ---

/// With a new approval `$1`, on every channel, due `$2`.
pub(in crate::store) const INSERT_NOTICES: &str = "INSERT INTO notices (approval, channel, due_at, attempts, announced, ended) \
     SELECT $1, c.id, $2, 0, FALSE, FALSE FROM channels c";

/// With an answer. Every row is written, so that whoever settles one meanwhile comes before or after, and sees it.
pub(in crate::store) const NOTICES_ENDED: &str = "UPDATE notices SET ended = TRUE, \
     due_at = CASE WHEN announced THEN $2 ELSE due_at END WHERE approval = $1";

pub(in crate::store) const NOTICES_DUE: &str = "SELECT approval, channel, due_at, attempts, announced, message FROM notices \
     WHERE channel = $1 AND due_at IS NOT NULL ORDER BY due_at, approval LIMIT $2";

pub(in crate::store) const HAS_NOTICE: &str =
    "SELECT COUNT(*) AS number FROM notices WHERE approval = $1 AND channel = $2";

/// `$5` is the time at which it was seen to be due, `$6` now.
pub(in crate::store) const TAKE_NOTICE: &str = "UPDATE notices SET hold = $1, due_at = $2, attempts = attempts + 1 \
     WHERE approval = $3 AND channel = $4 AND due_at = $5 AND due_at <= $6";

pub(in crate::store) const NOTICE_ANNOUNCED: &str = "UPDATE notices SET hold = NULL, announced = TRUE, attempts = 0, message = $1, \
     due_at = CASE WHEN ended THEN CAST($2 AS BIGINT) END WHERE approval = $3 AND channel = $4 AND hold = $5";

/// `$1` when it is due again, if it is.
pub(in crate::store) const NOTICE_SETTLED: &str = "UPDATE notices SET hold = NULL, due_at = $1 \
     WHERE approval = $2 AND channel = $3 AND hold = $4";

pub(in crate::store) const CHANNEL_DELIVERED: &str = "UPDATE channels SET delivered_at = $1 WHERE id = $2";

pub(in crate::store) const CHANNEL_FAILED: &str =
    "UPDATE channels SET failed_at = $1, problem = $2 WHERE id = $3";

pub(in crate::store) const NOTICES_TRIM: &str = "DELETE FROM notices WHERE NOT EXISTS \
     (SELECT 1 FROM approvals a WHERE a.id = notices.approval)";

// --- who listens ---

/// `$4` is now.
pub(in crate::store) const TAKE_EAR: &str = "UPDATE channels SET ear = $1, ear_until = $2 WHERE id = $3 \
     AND (ear IS NULL OR ear = $1 OR ear_until <= $4)";

pub(in crate::store) const EAR_POSITION: &str = "SELECT position AS number FROM channels WHERE id = $1";

pub(in crate::store) const MOVE_EAR: &str = "UPDATE channels SET position = $1 WHERE id = $2 AND ear = $3";

pub(in crate::store) const LEAVE_EAR: &str =
    "UPDATE channels SET ear = NULL, ear_until = NULL WHERE id = $1 AND ear = $2";
