//! The part of the schema that the audit log's anchors and floors are in.

/// What entries have seen of other chains; the ends of chains, sealed, with when they moved. A transaction writes its
/// chain's end itself, once: the trigger did so for every entry.
pub(super) const ANCHORS: &str = "
DROP TRIGGER audit_head;
ALTER TABLE audit ADD COLUMN anchors BLOB;
ALTER TABLE audit_heads ADD COLUMN seal BLOB;
ALTER TABLE audit_heads ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_heads_at ON audit_heads (at);
";

/// Where chains begin whose oldest entries were cut, beside their ends; and where the log does.
pub(super) const FLOORS: &str = "
ALTER TABLE audit_heads ADD COLUMN floor_place BIGINT;
ALTER TABLE audit_heads ADD COLUMN floor_hash BLOB;
ALTER TABLE audit_heads ADD COLUMN floor_sees BOOLEAN;
ALTER TABLE audit_heads ADD COLUMN floor_seal BLOB;
CREATE TABLE audit_floor (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  seq BIGINT NOT NULL,
  seal BLOB NOT NULL
);
";

/// Nothing but the number: entries may carry several lines, which programs that know nothing of them would take for a hole
/// in the log.
pub(super) const LINES: &str = "";
