//! Reading what an agent sends through its tunnel: TLS in our own name, or HTTP in the clear.
//!
//! Owns that CONNECT, SNI, `Host` and `:authority` agree: a request for which they do not is answered with 421, and
//! goes nowhere.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use http::header::{HOST, HeaderMap};
use http::{Request, Response, uri};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use keyherd_core::agent::Agent;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::arrived::Arrived;
use super::body::ForwardBody;
use super::dialled::{BadDialled, Dialled};
use super::door::Forward;
use super::http1::{builder, origin_form, to_its_end};
use super::parts::{Asked, Away, Scheme, TurnedAway};
use super::prefixed::{Begins, Prefixed};
use crate::body::Received;
use crate::fault::Fault;
use crate::tls::{Hello, HelloError, Protocols, Together};

/// The first byte of a TLS handshake (RFC 8446, section 5.1).
const HANDSHAKE: u8 = 22;

/// What is known of a connection's requests before they come.
#[derive(Clone)]
struct Line {
    asked: Asked,
    /// TLS named somebody else.
    misdirected: Option<Arc<str>>,
}

/// Reads a connection to its end.
pub(super) async fn read(door: &Forward, mut stream: Prefixed<Arrived>, agent: Arc<Agent>, dialled: Dialled) {
    let asked = |scheme| Asked { agent, dialled, scheme };
    match door.in_time(stream.first()).await {
        Ok(Some(HANDSHAKE)) => encrypted(door, stream, asked(Scheme::Https)).await,
        Ok(Some(_)) => in_clear(door, stream, asked(Scheme::Http)).await,
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "a tunnel without a first byte"),
    }
}

/// HTTP/1.1, or HTTP/2 with prior knowledge. What is neither ends here at once: nobody could judge it.
async fn in_clear(door: &Forward, mut stream: Prefixed<Arrived>, asked: Asked) {
    let begins = door.in_time(stream.begins()).await;
    let line = Line { asked, misdirected: None };
    match begins {
        Ok(Begins::Http1) => over_http1(door, stream, &line).await,
        Ok(Begins::Http2) => over_http2(door, stream, &line).await,
        Ok(Begins::Otherwise) => {
            tracing::debug!("neither TLS nor HTTP where requests are to be read");
            let Asked { agent, dialled, .. } = &line.asked;
            let turned = TurnedAway { agent, dialled: Some(dialled), request: None, away: Away::NotHttp };
            door.0.parts.answers.turned_away(&turned).await;
        }
        Err(error) => tracing::debug!(%error, "a tunnel without a beginning"),
    }
}

async fn encrypted(door: &Forward, stream: Prefixed<Arrived>, asked: Asked) {
    // What a handshake takes, and what comes of it, is on the heap: it would be moved about, and kept for as long as the
    // connection lasts.
    match door.in_time(Box::pin(handshake(door, stream, asked))).await {
        Ok((stream, line)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => {
            over_http2(door, stream, &line).await;
        }
        Ok((stream, line)) => over_http1(door, stream, &line).await,
        Err(error) => tracing::debug!(%error, "an agent's TLS handshake failed: does it trust 'keyherd ca'?"),
    }
}

/// A name in TLS that is not the dialled one gets its connection, so that it can be told.
async fn handshake(
    door: &Forward,
    stream: Prefixed<Arrived>,
    asked: Asked,
) -> Result<(Box<TlsStream<Together<Prefixed<Arrived>>>>, Line), HelloError> {
    let hello = Hello::read(stream).await?;
    let (host, misdirected) = match hello.check(asked.dialled.host.as_str()) {
        Err(HelloError::Mismatch { named, dialled }) => {
            let detail = format!("TLS names '{named}', and '{dialled}' was dialled");
            (named, Some(detail.into()))
        }
        _ => (asked.dialled.host.to_string(), None),
    };
    let config = door.0.parts.leaves.config(&host, Protocols::Http2);
    let config = config.map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok((Box::new(hello.answer(config).await?), Line { asked, misdirected }))
}

async fn over_http1<S>(door: &Forward, stream: S, line: &Line)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let service = service_fn(|request| async { Ok::<_, Infallible>(answer(door, line, request).await) });
    let serving = builder(door).serve_connection(TokioIo::new(stream), service).with_upgrades();
    to_its_end(door, pin!(serving), |serving| serving.graceful_shutdown()).await;
}

async fn over_http2<S>(door: &Forward, stream: S, line: &Line)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let limits = &door.0.parts.limits;
    let (inner, line) = (door.clone(), line.clone());
    let service = service_fn(move |request| {
        let (door, line) = (inner.clone(), line.clone());
        async move { Ok::<_, Infallible>(answer(&door, &line, request).await) }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head_len_max).unwrap_or(u32::MAX));
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    to_its_end(door, pin!(serving), |serving| serving.graceful_shutdown()).await;
}

async fn answer(door: &Forward, line: &Line, mut request: Request<Incoming>) -> Response<ForwardBody> {
    let Line { asked, misdirected } = line;
    let Asked { agent, dialled, scheme } = asked;
    let checked = match misdirected {
        Some(detail) => Err(Fault::Misdirected(detail.to_string())),
        None => {
            let authority = request.uri().authority().map(uri::Authority::as_str);
            check(request.headers(), authority, dialled, *scheme)
        }
    };
    if let Err(fault) = checked {
        let told = Some((request.method(), request.uri().path()));
        return door.turn_away(agent, Some(dialled), told, fault).await;
    }
    *request.uri_mut() = origin_form(request.uri());
    door.0.parts.answers.answer(asked.clone(), Received::request(request)).await
}

/// Whether all that a request names is what was dialled, and it names something. Says what does not.
pub(super) fn check(
    headers: &HeaderMap,
    authority: Option<&str>,
    dialled: &Dialled,
    scheme: Scheme,
) -> Result<(), Fault> {
    let misdirected = |detail| Err(Fault::Misdirected(detail));
    let hosts = headers.get_all(HOST).into_iter().map(|value| value.to_str().unwrap_or_default());
    let mut named = authority.into_iter().chain(hosts).peekable();
    if named.peek().is_none() {
        return misdirected(format!("the request names no host, and '{dialled}' was dialled"));
    }
    match named.find(|named| !dialled.is_named_by(named, scheme.port())) {
        // It may be somebody's name and password, which are repeated to nobody.
        Some(other) if other.contains('@') => misdirected(BadDialled::Userinfo.to_string()),
        Some(other) => {
            misdirected(format!("the request names '{}', and '{dialled}' was dialled", other.escape_debug()))
        }
        None => Ok(()),
    }
}
