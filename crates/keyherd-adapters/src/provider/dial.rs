//! From a URL to a connection that is ready for its one request: name, address, proxy, TLS.
//!
//! Owns the order of these steps and the one deadline over all of them. Never sends a byte of a request.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use keyherd_core::provider::is_loopback;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

use super::Failure;
use super::proxy::EgressProxy;
use super::tls::Tls;

/// How many of a name's addresses are tried.
pub const ADDRESSES_MAX: usize = 16;

/// How long one address has before the next one is tried beside it (RFC 8305, section 5, recommends this).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection, encrypted or to this machine.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Makes connections.
#[derive(Debug)]
pub(super) struct Dialer {
    tls: Tls,
    proxy: Option<EgressProxy>,
}

impl Dialer {
    pub(super) fn new(tls: Tls, proxy: Option<EgressProxy>) -> Self {
        Self { tls, proxy }
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.tls
    }

    /// A failure's detail names host and port.
    pub(super) async fn dial(&self, url: &Url, timeout: Duration) -> Result<Box<dyn Stream>, Failure> {
        let stage = Stage::default();
        let dialled = tokio::time::timeout(timeout, Box::pin(self.connect(url, &stage))).await;
        let dialled =
            dialled.unwrap_or_else(|_| Err(Failure::new("connect_timeout", stage.unfinished(timeout))));
        dialled.map_err(|failure| Failure {
            detail: format!("{}: {}", authority(url), failure.detail),
            ..failure
        })
    }

    async fn connect(&self, url: &Url, stage: &Stage) -> Result<Box<dyn Stream>, Failure> {
        let local = is_loopback(url);
        let secure = match url.scheme() {
            "https" => true,
            "http" if local => false,
            _ => return Err(Failure::new("bad_request", "only https leaves this machine")),
        };
        let reach = self.reach(url, local && !secure, stage);
        if !secure {
            return Ok(Box::new(reach.await?));
        }
        // Loading the roots takes the first call some milliseconds: the way there takes as long.
        let (stream, config) = tokio::try_join!(reach, self.tls.config())?;
        stage.enter("the TLS handshake");
        Ok(Box::new(secured(stream, config, url).await?))
    }

    /// A TCP connection, by the egress proxy where there is one. Without a bound on time.
    pub(super) async fn reach(
        &self,
        url: &Url,
        here_only: bool,
        stage: &Stage,
    ) -> Result<TcpStream, Failure> {
        match &self.proxy {
            Some(proxy) if !is_loopback(url) => self.through(proxy, url, stage).await,
            _ => open(url, here_only, stage).await,
        }
    }

    async fn through(&self, proxy: &EgressProxy, url: &Url, stage: &Stage) -> Result<TcpStream, Failure> {
        let via = |failure: Failure| {
            let detail = format!("by proxy {}: {}", authority(proxy.url()), failure.detail);
            Failure { code: "proxy_failed", detail }
        };
        let stream = open(proxy.url(), false, stage).await.map_err(via)?;
        stage.enter("the proxy's answer");
        proxy.tunnel(stream, &authority(url)).await.map_err(via)
    }
}

/// What was being done, for the detail of a timeout.
#[derive(Default)]
pub(super) struct Stage(Mutex<&'static str>);

impl Stage {
    fn enter(&self, stage: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    fn unfinished(&self, timeout: Duration) -> String {
        let stage = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{stage} took longer than {timeout:?}")
    }
}

/// A TCP connection to a URL's host. `here_only`: to this machine or not at all, whatever the name resolves to.
async fn open(url: &Url, here_only: bool, stage: &Stage) -> Result<TcpStream, Failure> {
    stage.enter("resolving the name");
    let mut addresses = resolve(url).await?;
    if here_only {
        addresses.retain(|address| address.ip().is_loopback());
    }
    if addresses.is_empty() {
        return Err(Failure::new(
            "dns_failed",
            if here_only { "it is not this machine" } else { "it has no address" },
        ));
    }
    stage.enter("connecting");
    let stream = race(interleaved(addresses), TcpStream::connect).await;
    // Without this the one small request waits for the acknowledgement of the handshake's last part.
    let ready = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
    ready.map_err(|error| Failure::new("connect_failed", error.to_string()))
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, Failure> {
    let port = url.port_or_known_default().unwrap_or(443);
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Ipv6(ip)) => return Ok(vec![(ip, port).into()]),
        Some(Host::Domain(name)) => name,
        None => return Err(Failure::new("bad_request", "its URL has no host")),
    };
    let found = tokio::net::lookup_host((name, port)).await;
    Ok(found.map_err(|error| Failure::new("dns_failed", error.to_string()))?.collect())
}

/// The resolver's order within each family, the families by turns (RFC 8305, section 4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let longest = first.len().max(second.len());
    let turns = (0..longest).flat_map(|turn| [first.get(turn), second.get(turn)]);
    turns.flatten().copied().take(ADDRESSES_MAX).collect()
}

/// The first address that answers. The next one is tried when one fails, or beside one that is slow.
async fn race<T, F>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> F) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        running.extend(waiting.next().map(&connect));
        tokio::select! {
            Some(done) = running.next() => match done {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
            else => return Err(last),
        }
    }
}

async fn secured(
    stream: TcpStream,
    config: Arc<ClientConfig>,
    url: &Url,
) -> Result<TlsStream<TcpStream>, Failure> {
    let name = server_name(url);
    let name = name.ok_or_else(|| Failure::new("tls_failed", "no certificate can name this host"))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| tls_failed(&error))
}

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).ok(),
        Host::Ipv4(ip) => Some(ServerName::IpAddress(IpAddr::V4(ip).into())),
        Host::Ipv6(ip) => Some(ServerName::IpAddress(IpAddr::V6(ip).into())),
    }
}

fn tls_failed(error: &io::Error) -> Failure {
    use rustls::{CertificateError, Error};
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let advice = match cause {
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            " (nobody trusted here signed it: a private authority is added with --ca-bundle)"
        }
        // Its first words were none of TLS'.
        Some(Error::InvalidMessage(_)) => {
            return Failure::new(
                "not_tls",
                "it does not speak TLS there: is the port right, and is it https?",
            );
        }
        _ => "",
    };
    Failure::new("tls_failed", format!("{error}{advice}"))
}

fn authority(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or(443))
}

#[cfg(test)]
mod tests;
