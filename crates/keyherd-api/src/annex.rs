//! A door behind this one: it shares the listener, and its callers are recognised here.
//!
//! What it answers goes out as it is: no header of this door's is added, because the answer is another server's.

use async_trait::async_trait;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::Request;
use http_body_util::combinators::UnsyncBoxBody;
use tower::BoxError;

use crate::caller::Caller;
use crate::problem::Problem;

/// A request as an annex gets it. The caller's key is still in its headers.
pub type AnnexRequest = Request<UnsyncBoxBody<Bytes, BoxError>>;

/// An answer of an annex: see [`reply`].
pub type Reply = Response;

/// See the module.
#[async_trait]
pub trait Annex: Send + Sync + 'static {
    /// Whether a path is its own.
    fn is_for(&self, path: &str) -> bool;

    /// Answers. Dropped, the caller has gone.
    async fn answer(&self, caller: Caller, request: AnnexRequest) -> Result<Reply, Problem>;
}

/// An answer whose body streams.
pub fn reply<B>(answer: http::Response<B>) -> Reply
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    answer.map(Body::new)
}
