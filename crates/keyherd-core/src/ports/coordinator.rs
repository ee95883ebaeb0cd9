//! Waking others, and keeping them from trying what one is at: hints. It never authorises anything; what it says may be
//! lost, late or wrong.

use async_trait::async_trait;

use crate::ids::ChainId;

/// Whether to try for a chain's claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Try: nobody else is known to be at it, or nobody can say.
    Try,
    /// Another process is at it: wait for its commit, within the usual bounds, and look at the store then.
    Wait,
}

/// Tells other processes to look at the store, and says when to look.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Something was committed: wakes whoever waits in [`Coordinator::changed`], here and in other processes.
    fn announce(&self);

    /// The same of one chain, which may be named to them: who waits for it need not read first what else is new.
    fn announce_chain(&self, _chain: ChainId) {
        self.announce();
    }

    /// Chains that other processes named since the last call. A hint like all the rest: some may be missing, some may be
    /// none of this installation's.
    fn named(&self) -> Vec<ChainId> {
        Vec::new()
    }

    /// Returns when the store may have changed since the last call returned; at worst after a bounded poll.
    async fn changed(&self);

    /// Asked before a claim is tried for. What it says saves the store some work and is not relied upon.
    async fn turn(&self, _chain: ChainId) -> Turn {
        Turn::Try
    }

    /// The chain that [`Coordinator::turn`] let this process try for is done with, however it ended.
    async fn done(&self, _chain: ChainId) {}

    /// What is wrong with it, one line each: for readiness and for people. Everything works without it, only slower.
    async fn trouble(&self) -> Vec<String> {
        Vec::new()
    }
}
