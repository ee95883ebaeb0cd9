//! The tables of channels and notices.

/// A channel is sealed in `doc`; who listens there (`ear`), from where, and how it went last, are not. A notice is due at
/// `due_at`; while a process has it in hand (`hold`) that is when it is not waited for any more.
pub(super) const CHANNELS: &str = "
CREATE TABLE channels (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  doc BLOB NOT NULL,
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
) WITHOUT ROWID;
CREATE INDEX notices_due ON notices (channel, due_at, approval) WHERE due_at IS NOT NULL;
CREATE TRIGGER channels_fence_insert BEFORE INSERT ON channels
WHEN substr(NEW.doc, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
CREATE TRIGGER channels_fence_update BEFORE UPDATE OF doc ON channels
WHEN NEW.doc IS NOT OLD.doc AND substr(NEW.doc, 2, 8) <> (SELECT key_id FROM installation)
BEGIN SELECT RAISE(ABORT, 'retired master key'); END;
";
