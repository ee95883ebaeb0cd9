//! The part of the schema that the audit log's anchors are in.

/// What entries have seen of other chains; the ends of chains, sealed, with when they moved. The trigger stays: it refuses
/// an entry that does not follow.
pub(super) const ANCHORS: &str = "
ALTER TABLE audit ADD COLUMN anchors BYTEA;
ALTER TABLE audit_heads ADD COLUMN seal BYTEA;
ALTER TABLE audit_heads ADD COLUMN at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_heads_at ON audit_heads (at);
";
