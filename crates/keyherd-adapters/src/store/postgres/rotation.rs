//! Who may rotate the master key: one process of the fleet at a time.
//!
//! Owns a lock that lives in a transaction, which is all that a pooler in transaction mode keeps together. The transaction
//! has looked at nothing and written nothing, so that it holds back no clean-up of the server's. It is kept alive by
//! being asked; a host that is gone or stopped loses it to `idle_in_transaction_session_timeout`. Never touches a key.

use std::sync::Arc;

use tokio::task::AbortHandle;

use super::engine::lock;
use super::fault::{explain, told};
use super::{OpenError, PostgresStore};
use crate::postgres::{Tx, WireError};

/// Asks for nothing but an answer.
const ALIVE: &str = "SELECT 1";
/// How often in its life the transaction is asked.
const ASKS_IN_LIFE: u32 = 3;

/// Held from before a new key is put into the key source until the old one is taken out of it: two rotations at once
/// would each take the other's key away. Dropping it frees the lock.
#[derive(Debug)]
pub struct Rotation {
    tx: Arc<Tx>,
    keeper: AbortHandle,
}

impl Rotation {
    /// Whether it is still held: the server may have ended the connection that it lives in, which is asked for. To be
    /// asked right before an old key is taken away.
    pub async fn is_held(&self) -> bool {
        !self.keeper.is_finished() && self.tx.query(ALIVE, &[]).await.is_ok()
    }
}

impl Drop for Rotation {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl PostgresStore {
    /// The right to rotate the master key: one process at a time. Waits as an opening does.
    ///
    /// # Errors
    /// [`OpenError::Rotating`] while another process rotates.
    pub async fn rotation(&self) -> Result<Rotation, OpenError> {
        // Apart from the lanes that the rotation works on: with one lane it would wait for itself.
        let wire = self.wire.apart(1);
        let refused = |error| match error {
            WireError::TimedOut(_) => OpenError::Rotating { place: wire.target().to_string() },
            error => explain(told(error, wire.target()), wire.target()).into(),
        };
        let tx = wire.begin_within(self.upgrade_timeout).await.map_err(refused)?;
        tx.query(lock::ROTATION, &[]).await.map_err(refused)?;
        let every = wire.idle_in_transaction_timeout() / ASKS_IN_LIFE;
        let tx = Arc::new(tx);
        let keeper = tokio::spawn(hold(Arc::clone(&tx), every)).abort_handle();
        Ok(Rotation { tx, keeper })
    }
}

/// Until the transaction has ended, which only a lost connection makes it.
async fn hold(tx: Arc<Tx>, every: std::time::Duration) {
    loop {
        tokio::time::sleep(every).await;
        if let Err(error) = tx.query(ALIVE, &[]).await {
            tracing::warn!(%error, "the lock of a key rotation was lost");
            return;
        }
    }
}
