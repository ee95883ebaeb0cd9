//! Statements on pools: one row for each, one for each member, and one pointer.

macro_rules! pool_select {
    ($($rest:tt)+) => {
        concat!(
            "SELECT p.id, p.name, p.strategy, p.active, p.rotated, p.epoch, p.exhausted_until, p.created_at, \
             m.credential, n.name AS member FROM pools p JOIN pool_members m ON m.pool = p.id \
             JOIN credentials n ON n.id = m.credential ",
            $($rest)+
        )
    };
}

pub(in crate::store) const POOL: &str = pool_select!("WHERE p.name = $1 ORDER BY m.place");

pub(in crate::store) const POOL_BY_ID: &str = pool_select!("WHERE p.id = $1 ORDER BY m.place");

pub(in crate::store) const POOLS: &str = pool_select!(
    "WHERE p.name IN (SELECT name FROM pools WHERE name > $1 ORDER BY name LIMIT $2) ORDER BY p.name, m.place"
);

/// Who has the name of a pool to be made.
pub(in crate::store) const POOL_NAME: &str = "SELECT (SELECT n.id FROM credentials n WHERE n.name = $1) AS credential, \
     (SELECT p.id FROM pools p WHERE p.name = $1) AS pool";

/// A credential that is to be a member, and the pool that it is in.
pub(in crate::store) const CANDIDATE: &str = "SELECT n.id, p.name AS pool FROM credentials n \
     LEFT JOIN pool_members m ON m.credential = n.id LEFT JOIN pools p ON p.id = m.pool WHERE n.name = $1";

pub(in crate::store) const INSERT_POOL: &str = "INSERT INTO pools (id, name, strategy, active, rotated, epoch, created_at) \
     VALUES ($1, $2, $3, $4, $5, 0, $6)";

pub(in crate::store) const INSERT_MEMBER: &str =
    "INSERT INTO pool_members (credential, pool, place) VALUES ($1, $2, $3)";

pub(in crate::store) const REMOVE_MEMBERS: &str = "DELETE FROM pool_members WHERE pool = $1";

/// Only where the pointer is where it was when the edit was decided. Whom a person has chosen is no longer the chosen one
/// where the edit took it away.
pub(in crate::store) const CHANGE_POOL: &str = "UPDATE pools SET strategy = $1, rotated = rotated AND COALESCE(active = $2, FALSE), \
     active = $2, epoch = epoch + 1, \
     exhausted_until = NULL WHERE id = $3 AND epoch = $4";

pub(in crate::store) const TURN_POOL: &str = "UPDATE pools SET active = $1, rotated = $2, epoch = epoch + 1, \
     exhausted_until = NULL WHERE id = $3 AND epoch = $4 AND EXISTS \
     (SELECT 1 FROM pool_members m WHERE m.credential = $1 AND m.pool = pools.id)";

/// `$4` is now.
pub(in crate::store) const EXHAUST_POOL: &str = "UPDATE pools SET exhausted_until = $1 WHERE id = $2 AND epoch = $3 \
     AND (exhausted_until IS NULL OR exhausted_until <= $4)";

pub(in crate::store) const REMOVE_POOL: &str = "DELETE FROM pools WHERE id = $1";
