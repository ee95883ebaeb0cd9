//! The tables of rules and approvals.

/// A rule is a written one, or an answer that is remembered: then `kind` says about what. `approvals_same` is not
/// unique: a question whose time has ended keeps no other one from being asked.
pub(super) const RULES_AND_APPROVALS: &str = "
CREATE TABLE policy (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  default_verdict TEXT NOT NULL
);
CREATE TABLE rules (
  id INTEGER PRIMARY KEY,
  fingerprint BLOB NOT NULL UNIQUE,
  verdict TEXT NOT NULL,
  agent TEXT,
  host TEXT,
  port BIGINT,
  method TEXT,
  path TEXT,
  kind TEXT,
  question_key TEXT,
  question TEXT,
  until BIGINT,
  approval BIGINT,
  created_at BIGINT NOT NULL,
  created_by TEXT NOT NULL
);
CREATE INDEX rules_until ON rules (until) WHERE until IS NOT NULL;

CREATE TABLE approvals (
  id INTEGER PRIMARY KEY,
  same BLOB NOT NULL,
  counted_as TEXT NOT NULL,
  agent TEXT NOT NULL,
  host TEXT,
  port BIGINT,
  method TEXT,
  path TEXT,
  kind TEXT NOT NULL,
  question_key TEXT,
  question TEXT,
  coalesces BOOLEAN NOT NULL,
  rule BIGINT,
  opened_at BIGINT NOT NULL,
  expires_at BIGINT NOT NULL,
  stage TEXT NOT NULL,
  decision TEXT,
  until BIGINT,
  answered_by TEXT,
  answered_at BIGINT,
  waiters BIGINT NOT NULL
);
CREATE INDEX approvals_same ON approvals (same) WHERE stage = 'open';
CREATE INDEX approvals_open ON approvals (expires_at) WHERE stage = 'open';
CREATE INDEX approvals_place ON approvals (opened_at, id);
CREATE INDEX approvals_counted ON approvals (counted_as, opened_at);
CREATE INDEX approvals_ended ON approvals (answered_at) WHERE answered_at IS NOT NULL;
CREATE TABLE approval_waiters (
  approval BIGINT NOT NULL,
  owner BIGINT NOT NULL,
  waiters BIGINT NOT NULL,
  at BIGINT NOT NULL,
  PRIMARY KEY (approval, owner)
) WITHOUT ROWID;
";
