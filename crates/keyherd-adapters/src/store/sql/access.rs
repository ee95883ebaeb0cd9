//! Statements on agents and bindings: what is searched for stands in the clear, all else in `doc`, sealed.

pub(in crate::store) const AGENTS: &str = "SELECT id, name, doc FROM agents ORDER BY name";

pub(in crate::store) const AGENT_OF_NAME: &str = "SELECT id FROM agents WHERE name = $1";

pub(in crate::store) const COUNT_AGENTS: &str = "SELECT COUNT(*) AS number FROM agents";

pub(in crate::store) const INSERT_AGENT: &str = "INSERT INTO agents (id, name, doc) VALUES ($1, $2, $3)";

pub(in crate::store) const INSERT_ALLOWED: &str = "INSERT INTO agent_names (name, agent) VALUES ($1, $2)";

pub(in crate::store) const REMOVE_AGENT: &str = "DELETE FROM agents WHERE id = $1";

/// What humans answered to it: who has its name next was never answered. Before it is removed.
pub(in crate::store) const FORGET_ANSWERS: &str = "DELETE FROM rules WHERE kind IS NOT NULL AND agent = \
     (SELECT name FROM agents WHERE id = $1)";

macro_rules! questions_of {
    () => {
        "stage = 'open' AND expires_at > $2 AND agent = (SELECT name FROM agents WHERE id = $1)"
    };
}

/// What it has asked and nobody has answered. `$2` is now.
pub(in crate::store) const QUESTIONS_OF: &str =
    concat!("SELECT id, agent FROM approvals WHERE ", questions_of!(), " ORDER BY opened_at, id");

/// These end with who asked them. `$3`: who revoked it.
pub(in crate::store) const WITHDRAW_QUESTIONS: &str = concat!(
    "UPDATE approvals SET stage = 'withdrawn', answered_by = $3, answered_at = $2 WHERE ",
    questions_of!()
);

pub(in crate::store) const REMOVE_ALLOWED: &str = "DELETE FROM agent_names WHERE agent = $1";

pub(in crate::store) const BINDINGS: &str = "SELECT id, name, doc FROM bindings";

pub(in crate::store) const BINDINGS_OF: &str =
    "SELECT id, name, doc FROM bindings WHERE name = $1 ORDER BY id";

pub(in crate::store) const COUNT_BINDINGS: &str = "SELECT COUNT(*) AS number FROM bindings";

pub(in crate::store) const INSERT_BINDING: &str = "INSERT INTO bindings (id, name, doc) VALUES ($1, $2, $3)";

pub(in crate::store) const REMOVE_BINDING: &str = "DELETE FROM bindings WHERE id = $1";

/// Who would miss the credential or pool of a name.
pub(in crate::store) const USER_OF_NAME: &str = concat!("SELECT ", users!("$1"));

pub(in crate::store) const SEALED_AGENTS: &str =
    "SELECT id, doc FROM agents WHERE id > $1 ORDER BY id LIMIT $2";

pub(in crate::store) const RESEAL_AGENT: &str = "UPDATE agents SET doc = $1 WHERE id = $2";

pub(in crate::store) const SEALED_BINDINGS: &str =
    "SELECT id, doc FROM bindings WHERE id > $1 ORDER BY id LIMIT $2";

pub(in crate::store) const RESEAL_BINDING: &str = "UPDATE bindings SET doc = $1 WHERE id = $2";
