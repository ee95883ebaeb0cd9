//! Looking once more whether a request may go: it may have waited for its token for long, and what allowed it be gone.
//!
//! Which question that is the door knows. Travels in the request's extensions, and no further than the exchange.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::fault::Fault;

type Answer = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send>>;

/// A door's question about one request, asked after each wait for a token.
#[derive(Clone)]
pub struct Recheck(Arc<dyn Fn() -> Answer + Send + Sync>);

impl Recheck {
    /// `ask` fails where the request may not go any more.
    pub fn new<T>(ask: impl Fn() -> T + Send + Sync + 'static) -> Self
    where
        T: Future<Output = Result<(), Fault>> + Send + 'static,
    {
        Self(Arc::new(move || -> Answer { Box::pin(ask()) }))
    }

    pub(crate) async fn ask(&self) -> Result<(), Fault> {
        (self.0)().await
    }
}

impl fmt::Debug for Recheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recheck(…)")
    }
}
