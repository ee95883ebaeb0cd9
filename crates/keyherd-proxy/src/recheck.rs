//! Looking once more whether a request may go: it may have waited for its token for long, and what allowed it be gone.
//!
//! Which question that is the door knows.

use async_trait::async_trait;

use crate::fault::Fault;

/// A door's question about one request, asked after each wait for a human or a token.
#[async_trait]
pub trait Recheck: Send + Sync {
    /// Fails where the request may not go any more.
    async fn ask(&self) -> Result<(), Fault>;
}
