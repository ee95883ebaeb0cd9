//! The part of the schema that the audit log's anchors are in.

/// What entries have seen of other chains; the ends of chains, sealed, with when they moved. A transaction writes its
/// chain's end itself, once: the trigger did so for every entry.
pub(super) const ANCHORS: &str = "
DROP TRIGGER audit_head;
ALTER TABLE audit ADD COLUMN anchors BLOB;
ALTER TABLE audit_heads ADD COLUMN seal BLOB;
ALTER TABLE audit_heads ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_heads_at ON audit_heads (at);
";
