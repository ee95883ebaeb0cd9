//! The upstream: HTTPS that answers whoever shows the account's token; and an echo in the clear, for tunnels.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyherd_bench::Outcome;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::identity::{self, HTTP1, HTTP2};

/// The words that make this program one of them.
pub(crate) const UPSTREAM: &str = "upstream";
pub(crate) const ECHO: &str = "echo";
/// What it wants to see.
pub(crate) const TOKEN: &str = "token-of-the-account";
/// The length of an answer, in bytes.
const ANSWER_LEN: usize = 1_024;
/// How much of a long body's end is kept, in bytes: the token is in it.
const TAIL_LEN: usize = 256;
/// Of the echo, in bytes.
const ECHO_LEN: usize = 4 * 1_024;

/// Serves on a free port, which it prints, for the process's life.
pub(crate) async fn serve(words: &[String]) -> Outcome {
    let [folder, protocol] = words else { return Err("a folder and a protocol are wanted".into()) };
    let protocols = if protocol == "http2" { HTTP2 } else { HTTP1 };
    let acceptor = TlsAcceptor::from(identity::server(Path::new(folder), protocols)?);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(acceptor.clone(), stream));
    }
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let service = service_fn(|request| async move { Ok::<_, Infallible>(answer(request).await) });
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        let http = http2::Builder::new(TokioExecutor::new());
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }
}

/// 1 KiB of JSON, as from an API.
async fn answer(request: Request<Incoming>) -> Response<Full<Bytes>> {
    static TEXT: [u8; ANSWER_LEN] = {
        let mut text = [b'x'; ANSWER_LEN];
        (text[0], text[ANSWER_LEN - 1]) = (b'"', b'"');
        text
    };
    let is_sent = if request.method() == Method::POST {
        has_token(request.into_body()).await
    } else {
        let shown = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        shown.and_then(|value| value.strip_prefix("Bearer ")) == Some(TOKEN)
    };
    let mut answer = Response::new(Full::new(Bytes::from_static(&TEXT)));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !is_sent {
        *answer.status_mut() = StatusCode::FORBIDDEN;
    }
    answer
}

/// Whether a body ends in the account's token, within a few bytes.
async fn has_token(mut body: Incoming) -> bool {
    let mut tail = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.into_data().unwrap_or_default();
        tail.extend_from_slice(&data[data.len().saturating_sub(TAIL_LEN)..]);
        tail.drain(..tail.len().saturating_sub(TAIL_LEN));
    }
    tail.windows(TOKEN.len()).any(|at| at == TOKEN.as_bytes())
}

/// Says what it hears, on a free port, which it prints, for the process's life.
pub(crate) async fn echo() -> Outcome {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            let mut heard = [0; ECHO_LEN];
            while let Ok(len @ 1..) = stream.read(&mut heard).await {
                if stream.write_all(heard.get(..len).unwrap_or_default()).await.is_err() {
                    return;
                }
            }
        });
    }
}
