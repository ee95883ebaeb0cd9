//! The tables of channels and notices: SQLite's, in PostgreSQL's types.

/// See SQLite's.
pub(super) const CHANNELS: &str = r#"
CREATE TABLE channels (
  id BIGINT PRIMARY KEY,
  name TEXT COLLATE "C" NOT NULL UNIQUE,
  doc BYTEA NOT NULL,
  position BIGINT NOT NULL,
  ear BIGINT,
  ear_until BIGINT,
  delivered_at BIGINT,
  failed_at BIGINT,
  problem TEXT
);
CREATE TABLE notices (
  approval BIGINT NOT NULL,
  channel BIGINT NOT NULL,
  due_at BIGINT,
  hold BIGINT,
  attempts BIGINT NOT NULL,
  announced BOOLEAN NOT NULL,
  ended BOOLEAN NOT NULL,
  message TEXT,
  PRIMARY KEY (approval, channel)
);
CREATE INDEX notices_due ON notices (channel, due_at, approval) WHERE due_at IS NOT NULL;
CREATE TRIGGER channels_fence_insert BEFORE INSERT ON channels FOR EACH ROW EXECUTE FUNCTION keyherd_fence_docs();
CREATE TRIGGER channels_fence_update BEFORE UPDATE OF doc ON channels FOR EACH ROW EXECUTE FUNCTION keyherd_fence_docs();
"#;
