//! A body as it is received, whoever sends it: it has ended where its sender says so.
//!
//! Owns that difference over HTTP/2, where hyper takes a reset, or the end of the connection, with NO_ERROR for an end. Such a
//! body would pass for whole on a connection on which only its end says how long it is.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::{BodyError, Incoming};

/// See the module.
pub struct Received<B = hyper::body::Incoming> {
    body: B,
    is_http2: bool,
}

/// It ended before its end.
#[derive(Debug, thiserror::Error)]
#[error("the body ended before its end")]
struct CutShort;

impl<B> Received<B> {
    /// The body of a request.
    pub fn request(request: Request<B>) -> Request<Self> {
        let is_http2 = request.version() == Version::HTTP_2;
        request.map(|body| Self { body, is_http2 })
    }

    /// The body of an answer.
    pub fn response(response: Response<B>) -> Response<Self> {
        let is_http2 = response.version() == Version::HTTP_2;
        response.map(|body| Self { body, is_http2 })
    }
}

impl Received<Incoming> {
    /// A request whose body stays of the same type.
    pub fn boxed(request: Request<Incoming>) -> Request<Incoming> {
        match request.version() {
            Version::HTTP_2 => Self::request(request).map(BodyExt::boxed_unsync),
            _ => request,
        }
    }
}

impl<B> Body for Received<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // Only a whole one ends so (RFC 9113, section 8.1).
        let is_cut_short = next.is_none() && self.is_http2 && !self.body.is_end_stream();
        Poll::Ready(match is_cut_short {
            true => Some(Err(CutShort.into())),
            false => next.map(|frame| frame.map_err(Into::into)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::time::Duration;

    use http_body_util::Empty;
    use hyper::server::conn::http2;
    use hyper::service::service_fn;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::AsyncWriteExt;
    use tokio::sync::{Notify, mpsc};
    use tokio::time::timeout;

    use super::*;

    /// A connection's beginning, and half of a request: SETTINGS, HEADERS of `POST https://a/`, DATA (RFC 9113, section 6).
    const HALF: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
        \0\0\0\x04\0\0\0\0\0\
        \0\0\x06\x01\x04\0\0\0\x01\x83\x87\x84\x41\x01a\
        \0\0\x04\0\0\0\0\0\x01half";

    /// Whether that request's body passes for whole when the caller says so much more, and may go then.
    async fn is_whole(end: &[u8], goes: bool) -> bool {
        let (mut ours, theirs) = tokio::io::duplex(65_536);
        let (has_begun, (outcome, mut outcomes)) = (Arc::new(Notify::new()), mpsc::channel(1));
        let begun = Arc::clone(&has_begun);
        let service = service_fn(move |request| {
            let (begun, outcome) = (Arc::clone(&begun), outcome.clone());
            async move {
                let mut body = Received::request(request).into_body();
                body.frame().await.expect("is there").expect("is whole");
                begun.notify_one();
                outcome.send(body.collect().await.is_ok()).await.expect("is heard");
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let builder = http2::Builder::new(TokioExecutor::new());
        tokio::spawn(builder.serve_connection(TokioIo::new(theirs), service));
        ours.write_all(HALF).await.expect("is read");
        has_begun.notified().await;
        ours.write_all(end).await.expect("is read");
        if goes {
            ours.shutdown().await.expect("is open");
        }
        outcomes.recv().await.expect("has one")
    }

    #[tokio::test]
    async fn over_http2_only_what_says_so_has_ended() {
        let ends: [(&str, &[u8], bool); 5] = [
            ("the last DATA", b"\0\0\0\0\x01\0\0\0\x01", true),
            ("trailers", b"\0\0\x05\x01\x05\0\0\0\x01\0\x01a\x01b", true),
            ("RST_STREAM, NO_ERROR", b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\0", false),
            ("GOAWAY, NO_ERROR", b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", false),
            ("nothing", b"", false),
        ];
        for (name, end, wanted) in ends {
            let is_whole =
                timeout(Duration::from_secs(20), is_whole(end, !wanted)).await.expect("takes no 20 s");
            assert_eq!(is_whole, wanted, "{name}");
        }
    }
}
