//! The bodies of the door's answers, from wherever they come.

use bytes::Bytes;
use http::Response;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};

/// An answer's body, from wherever it comes.
pub type ForwardBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A body of any kind as one.
pub fn streaming<B>(body: B) -> ForwardBody
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// An answer without a body.
pub(super) fn empty() -> Response<ForwardBody> {
    Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync())
}
