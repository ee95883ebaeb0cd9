//! The part of the schema that the audit log's anchors and floors are in.

/// What entries have seen of other chains; the ends of chains, sealed, with when they moved. The trigger stays: it refuses
/// an entry that does not follow.
pub(super) const ANCHORS: &str = "
ALTER TABLE audit ADD COLUMN anchors BYTEA;
ALTER TABLE audit_heads ADD COLUMN seal BYTEA;
ALTER TABLE audit_heads ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_heads_at ON audit_heads (at);
";

/// Where chains begin whose oldest entries were cut, beside their ends; and where the log does.
pub(super) const FLOORS: &str = "
ALTER TABLE audit_heads ADD COLUMN floor_place BIGINT;
ALTER TABLE audit_heads ADD COLUMN floor_hash BYTEA;
ALTER TABLE audit_heads ADD COLUMN floor_sees BOOLEAN;
ALTER TABLE audit_heads ADD COLUMN floor_seal BYTEA;
CREATE TABLE audit_floor (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq BIGINT NOT NULL,
  seal BYTEA NOT NULL
);
";
