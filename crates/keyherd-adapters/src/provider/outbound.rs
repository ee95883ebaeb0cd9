//! The way to upstreams: the same names, addresses, egress proxy and trust as towards providers.
//!
//! Never speaks HTTP: what is said on a connection is the proxy's.

use std::io;
use std::net::SocketAddr;

use rustls::ClientConfig;
use tokio::net::TcpStream;
use url::Url;

use super::dial::{Dialer, Stage};
use super::{BadCaBundle, HttpOptions, tls};

/// Makes connections for others.
#[derive(Debug)]
pub struct Outbound {
    dialer: Dialer,
}

impl Outbound {
    /// Reads the CA bundle, if there is one.
    ///
    /// # Errors
    /// [`BadCaBundle`] names the file.
    pub fn new(options: HttpOptions) -> Result<Self, BadCaBundle> {
        let tls = tls::Tls::new(options.ca_bundle.as_deref())?;
        Ok(Self { dialer: Dialer::new(tls, options.egress_proxy) })
    }

    /// A TCP connection to a URL's host and port, by the egress proxy where there is one. A plain one is to this machine.
    ///
    /// # Errors
    /// What failed, in words.
    pub async fn reach(&self, url: &Url) -> io::Result<TcpStream> {
        let reached = self.dialer.reach(url, url.scheme() == "http", &Stage::default()).await;
        reached.map_err(|failure| io::Error::other(failure.detail))
    }

    /// A TCP connection to just that address.
    ///
    /// # Errors
    /// The system's.
    pub async fn reach_address(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }

    /// How a server's certificate is verified. Reads the system's roots, some hundred files, when it is first called.
    ///
    /// # Errors
    /// The roots cannot be used.
    pub async fn tls(&self) -> io::Result<ClientConfig> {
        let config = self.dialer.tls().config().await;
        config.map(|config| ClientConfig::clone(&config)).map_err(|failure| io::Error::other(failure.detail))
    }
}
