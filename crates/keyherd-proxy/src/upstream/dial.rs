//! From a target to a connection that speaks HTTP: TCP, TLS, and the protocol that both sides know.
//!
//! Owns the one deadline over these steps. Certificates are verified, always: the configuration that does is given.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;

use super::line::Line;
use crate::body::Outgoing;
use crate::fault::Fault;
use crate::limits::{ExchangeLimits, HEADERS_AT_HAND};
use crate::target::Target;

/// What hyper needs for an HTTP/1 head, in bytes.
const HEAD_LEN_MIN: usize = 8 * 1024;
/// How much of one answer upstream may send ahead of a slow caller, and of all answers on one connection, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// An HTTP/2 connection with requests on it is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Makes TCP connections.
#[async_trait]
pub trait Reach: Send + Sync + 'static {
    /// One to that target, by its address where it was settled. An error that holds a [`Fault`] is told as that one.
    async fn reach(&self, target: &Target) -> io::Result<TcpStream>;
}

/// Straight to the first address that answers.
#[derive(Debug, Clone, Copy)]
pub struct Direct;

#[async_trait]
impl Reach for Direct {
    async fn reach(&self, target: &Target) -> io::Result<TcpStream> {
        match target.address() {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect((target.host().as_str(), target.port())).await,
        }
    }
}

/// How all connections are made.
pub(super) struct Way {
    reach: Arc<dyn Reach>,
    any: Arc<ClientConfig>,
    only_http1: Arc<ClientConfig>,
    pub(super) limits: ExchangeLimits,
}

/// A connection on which nothing was sent.
pub(super) enum Fresh {
    Http1(Line),
    Http2(http2::SendRequest<Outgoing>),
}

impl Way {
    pub(super) fn new(reach: Arc<dyn Reach>, tls: ClientConfig, limits: ExchangeLimits) -> Self {
        let offering = |mut config: ClientConfig, protocols: &[&[u8]]| {
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            Arc::new(config)
        };
        let any = offering(tls.clone(), &[b"h2", b"http/1.1"]);
        let only_http1 = offering(tls, &[b"http/1.1"]);
        Self { reach, any, only_http1, limits }
    }

    /// By when a connection that is wanted now has to be there.
    pub(super) fn end(&self) -> Instant {
        sleep(self.limits.connect_timeout).deadline()
    }

    pub(super) async fn dial(&self, target: &Target, only_http1: bool, end: Instant) -> Result<Fresh, Fault> {
        let unreachable = |problem| Fault::Unreachable { upstream: target.authority(), problem };
        let connecting = async {
            let stream = self.reach.reach(target).await;
            let stream =
                stream.map_err(|error| known(&error).unwrap_or_else(|| unreachable(error.to_string())))?;
            self.connect(stream, target, only_http1).await.map_err(unreachable)
        };
        timeout_at(end, Box::pin(connecting)).await.unwrap_or_else(|_elapsed| Err(self.late(target)))
    }

    /// It was not there by then.
    pub(super) fn late(&self, target: &Target) -> Fault {
        let problem = format!("it took longer than {} s", self.limits.connect_timeout.as_secs_f32());
        Fault::Unreachable { upstream: target.authority(), problem }
    }

    async fn connect(&self, stream: TcpStream, target: &Target, only_http1: bool) -> Result<Fresh, String> {
        // Without this a small request may wait for the acknowledgement of what was sent before it.
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        // Apart: what a plain connection takes while it is made must not be as much as the others do.
        match (target.is_tls(), target.is_http2()) {
            (true, _) => Box::pin(self.within_tls(stream, target, only_http1)).await,
            (false, true) => Box::pin(self.http2(stream)).await,
            (false, false) => self.http1(stream).await,
        }
    }

    async fn within_tls(
        &self,
        stream: TcpStream,
        target: &Target,
        only_http1: bool,
    ) -> Result<Fresh, String> {
        let name = ServerName::try_from(target.host().as_str().to_owned())
            .map_err(|_| "no certificate can name this host".to_owned())?;
        let config = if only_http1 { &self.only_http1 } else { &self.any };
        let secured = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        let stream = secured.map_err(|error| tls_problem(&error))?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => self.http2(stream).await,
            _ => self.http1(stream).await,
        }
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Fresh, String> {
        let mut http = http1::Builder::new();
        let head_len_max = self.limits.head_len_max.max(HEAD_LEN_MIN);
        http.max_buf_size(head_len_max).max_header_size(head_len_max);
        if self.limits.headers_max != HEADERS_AT_HAND {
            http.max_headers(self.limits.headers_max);
        }
        let (sender, connection) =
            http.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        Ok(Fresh::Http1(Line::new(sender, connection.with_upgrades())))
    }

    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Fresh, String> {
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(self.limits.head_len_max).unwrap_or(u32::MAX))
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT);
        let (sender, connection) =
            http.handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        Ok(Fresh::Http2(sender))
    }
}

/// What whoever reaches out knows better than by its words.
fn known(error: &io::Error) -> Option<Fault> {
    error.get_ref()?.downcast_ref::<Fault>().cloned()
}

/// What is wrong with its certificate stands in rustls' own words.
fn tls_problem(error: &io::Error) -> String {
    use rustls::{CertificateError, Error};
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match cause {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            format!("{error} (nobody trusted here signed it: a private authority is added with --ca-bundle)")
        }
        Some(Error::InvalidMessage(_)) => "it does not speak TLS there".to_owned(),
        _ => error.to_string(),
    }
}
