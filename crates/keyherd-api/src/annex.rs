//! A door behind this one: it shares the listener, and its callers are recognised here.
//!
//! What it answers goes out as it is: no header of this door's is added, because the answer is another server's.

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tower::BoxError;

use crate::caller::Caller;
use crate::problem::Problem;

/// A request as an annex gets it. The caller's key is still in its headers.
pub type AnnexRequest = Request<AnnexBody>;

/// A body, whoever sends it.
pub type AnnexBody = UnsyncBoxBody<Bytes, BoxError>;

/// An answer of an annex: see [`reply`].
pub type Reply = Response<AnnexBody>;

/// See the module.
#[async_trait]
pub trait Annex: Send + Sync + 'static {
    /// Whether a path is its own.
    fn is_for(&self, path: &str) -> bool;

    /// Answers. Dropped, the caller has gone.
    async fn answer(&self, caller: Caller, request: AnnexRequest) -> Result<Reply, Problem>;
}

/// An answer whose body streams.
pub fn reply<B>(answer: Response<B>) -> Reply
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    answer.map(boxed)
}

/// A body as an annex has it, in a request and in an answer.
pub(crate) fn boxed<B>(body: B) -> AnnexBody
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    UnsyncBoxBody::new(body.map_err(Into::into))
}
