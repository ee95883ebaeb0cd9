//! An upstream: small answers, and streams that say one thing and then nothing.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Outcome;

/// The length of its answers, in bytes.
pub const ANSWER_LEN: usize = 1_024;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves on a free port, which it prints, for the process's life.
///
/// # Errors
/// There is no free port.
pub async fn serve_upstream() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(&request)) });
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(request: &Request<Incoming>) -> Response<Body> {
    if request.uri().path() != "/stream" {
        static TEXT: [u8; ANSWER_LEN] = [b'x'; ANSWER_LEN];
        return Response::new(UnsyncBoxBody::new(Full::new(Bytes::from_static(&TEXT))));
    }
    let first = futures_util::stream::iter([Ok(Frame::data(Bytes::from_static(b"data: hello\n\n")))]);
    let body = StreamBody::new(futures_util::StreamExt::chain(first, futures_util::stream::pending()));
    let answer = Response::builder().header("content-type", "text/event-stream");
    answer.body(body.boxed_unsync()).unwrap_or_default()
}
