//! Dialling what was judged, and nothing else: a name is looked up once, and the addresses that the judgement let
//! through are the ones that are dialled (no DNS rebinding).

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::address::{NotDialled, dialable, is_here, is_ours};
use super::dialled::Dialled;
use super::parts::Leave;
use crate::fault::Fault;

/// Makes connections to what agents dial.
#[derive(Debug, Clone)]
pub struct Dialler {
    listeners: Vec<SocketAddr>,
    neighbours: Option<Arc<dyn Neighbours>>,
    connect_timeout: Duration,
    addresses_max: usize,
}

/// keyherd's other processes on this machine.
pub trait Neighbours: Debug + Send + Sync {
    /// Where they listen now. Asked about connections that stay on this machine, and only about these.
    fn listeners(&self) -> Vec<SocketAddr>;
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// None of its addresses may be dialled.
    #[error(transparent)]
    Refused(#[from] NotDialled),
    /// None of them answers.
    #[error("{dialled} cannot be reached: {source}")]
    Unreachable {
        /// Who.
        dialled: String,
        /// Why the last one failed.
        source: io::Error,
    },
    /// It took too long.
    #[error("{0} took too long to reach")]
    Late(String),
}

impl From<DialError> for Fault {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Refused(why) => Self::Undialled(why),
            DialError::Late(host) => Self::Late(host),
            DialError::Unreachable { dialled, source } => {
                Self::Unreachable { upstream: dialled, problem: source.to_string() }
            }
        }
    }
}

impl Dialler {
    /// `listeners`: keyherd's own. `connect_timeout`: for name and connection together.
    pub fn new(listeners: Vec<SocketAddr>, connect_timeout: Duration, addresses_max: usize) -> Self {
        Self { listeners, neighbours: None, connect_timeout, addresses_max }
    }

    /// One that leads to none of these either.
    #[must_use]
    pub fn beside(self, neighbours: Arc<dyn Neighbours>) -> Self {
        Self { neighbours: Some(neighbours), ..self }
    }

    /// A connection.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn dial(&self, dialled: &Dialled, leave: Leave) -> Result<TcpStream, DialError> {
        let attempt = timeout(self.connect_timeout, self.attempt(dialled, leave));
        attempt.await.unwrap_or_else(|_| Err(DialError::Late(dialled.to_string())))
    }

    /// The addresses of a host, for those who judge them before one is dialled: at most so many as are tried.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn look_up(&self, dialled: &Dialled) -> Result<Vec<IpAddr>, DialError> {
        let told = |source| DialError::Unreachable { dialled: dialled.to_string(), source };
        match timeout(self.connect_timeout, self.addresses(dialled)).await {
            Ok(addresses) => addresses.map_err(told),
            Err(_elapsed) => Err(DialError::Late(dialled.to_string())),
        }
    }

    async fn attempt(&self, dialled: &Dialled, leave: Leave) -> Result<TcpStream, DialError> {
        let told = |source| DialError::Unreachable { dialled: dialled.to_string(), source };
        let addresses = match leave.only {
            Some(address) => vec![address],
            None => self.addresses(dialled).await.map_err(told)?,
        };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in dialable(dialled, addresses, &|_| leave.is_named, &self.listeners)? {
            match TcpStream::connect(address).await {
                Ok(stream) => return self.checked(dialled, stream),
                Err(error) => last = error,
            }
        }
        Err(told(last))
    }

    async fn addresses(&self, dialled: &Dialled) -> io::Result<Vec<IpAddr>> {
        if let Some(address) = dialled.host.address() {
            return Ok(vec![address]);
        }
        let found = lookup_host((dialled.host.as_str(), dialled.port)).await?;
        let mut addresses: Vec<_> = found.map(|address| address.ip()).collect();
        addresses.dedup();
        addresses.truncate(self.addresses_max);
        Ok(addresses)
    }

    /// What only the connection can tell.
    fn checked(&self, dialled: &Dialled, stream: TcpStream) -> Result<TcpStream, DialError> {
        let ends = || Ok((stream.peer_addr()?, stream.local_addr()?.ip(), stream.set_nodelay(true)?));
        let (peer, own, ()) =
            ends().map_err(|source| DialError::Unreachable { dialled: dialled.to_string(), source })?;
        let others = || self.neighbours.as_ref().map_or_else(Vec::new, |others| others.listeners());
        if is_ours(peer, own, &self.listeners) || is_here(peer, own) && is_ours(peer, own, &others()) {
            return Err(NotDialled::Ourselves(peer).into());
        }
        Ok(stream)
    }
}
