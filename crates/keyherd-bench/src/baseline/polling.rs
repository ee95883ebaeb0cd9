//! A coordinator as the studied peers have none: nobody is told of a commit, everybody looks at the store at a beat.

use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ports::Coordinator;

/// Looks every so often.
#[derive(Debug, Clone, Copy)]
pub struct Polling(pub Duration);

#[async_trait]
impl Coordinator for Polling {
    fn announce(&self) {}

    async fn changed(&self) {
        tokio::time::sleep(self.0).await;
    }
}
