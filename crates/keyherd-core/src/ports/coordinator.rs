//! Waking others: a hint that something was committed. It never authorises anything, and it may be lost.

use async_trait::async_trait;

/// Tells other processes to look at the store, and says when to look.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Something was committed: wakes whoever waits in [`Coordinator::changed`], here and in other processes.
    fn announce(&self);

    /// Returns when the store may have changed since the last call returned; at worst after a bounded poll.
    async fn changed(&self);
}
