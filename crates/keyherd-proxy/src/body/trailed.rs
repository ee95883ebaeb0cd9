//! A body whose trailers are changed as they pass.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// See the module.
pub(crate) struct Trailed<B, F> {
    body: B,
    change: F,
}

impl<B, F: Fn(&mut HeaderMap)> Trailed<B, F> {
    pub(crate) fn new(body: B, change: F) -> Self {
        Self { body, change }
    }
}

impl<B, F> Body for Trailed<B, F>
where
    B: Body<Data = Bytes> + Unpin,
    F: Fn(&mut HeaderMap) + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        let mut next = ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let Some(Ok(frame)) = &mut next
            && let Some(trailers) = frame.trailers_mut()
        {
            (this.change)(trailers);
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
