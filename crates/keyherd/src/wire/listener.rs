//! Listeners with room for a crowd that comes at once.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// Listens on the first of these addresses that can be had. `backlog_max`: connections that may wait there to be accepted,
/// as far as the system allows; what comes beyond them is slowed down by it, or refused.
pub(crate) fn bind(addresses: &[SocketAddr], backlog_max: u32) -> io::Result<TcpListener> {
    let mut outcome = Err(io::Error::new(io::ErrorKind::InvalidInput, "it has no address"));
    for address in addresses {
        outcome = listen_on(*address, backlog_max);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn listen_on(address: SocketAddr, backlog_max: u32) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that was ended can be started again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog_max)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};
    use std::time::Duration;

    use super::*;

    /// More than a listener has room for where nobody says how many.
    const CROWD: u32 = 500;
    const FREE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

    /// Nobody accepts here: those who find no place are told nothing, and try again after a second.
    #[tokio::test]
    async fn a_crowd_finds_places() {
        let listener = bind(&[FREE], CROWD).expect("listens");
        let address = listener.local_addr().expect("has one");
        let crowd = (0..CROWD).map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(900)));
        let crowd = crowd.collect::<Result<Vec<_>, _>>();
        assert_eq!(crowd.map(|crowd| crowd.len()).ok(), Some(500), "not all have a place");
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_passed_over() {
        let first = bind(&[FREE], 1).expect("listens");
        let taken = first.local_addr().expect("has one");
        let second = bind(&[taken, FREE], 1).expect("listens on the other");
        assert_ne!(second.local_addr().expect("has one"), taken);
        let error = bind(&[taken], 1).expect_err("is taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
