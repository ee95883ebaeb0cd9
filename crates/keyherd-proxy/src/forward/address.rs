//! Which addresses an agent may be led to: what lies on this machine or in its networks only where somebody named it.
//!
//! Pure. Owns the judgement over a name's addresses; the addresses that it lets through are the ones that are dialled, and
//! no name is looked up twice.

use std::net::{IpAddr, SocketAddr};

use keyherd_core::host::AddressKind as Kind;

use super::dialled::Dialled;

/// Why an address is not dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotDialled {
    /// Nobody named it.
    #[error("{host} is {address}, which is {}: a binding or a rule must name it", .kind.word())]
    Unnamed {
        /// Who was dialled.
        host: String,
        /// Its address.
        address: IpAddr,
        /// What it is.
        kind: Kind,
    },
    /// It is ourselves.
    #[error("{0} is keyherd itself, which is never proxied to")]
    Ourselves(SocketAddr),
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
}

/// The addresses of a host that may be dialled, in their order. `is_named`: whether a binding or a rule names just that
/// host, or a network that the address is in.
///
/// # Errors
/// There is none: why the first was refused.
pub fn dialable(
    dialled: &Dialled,
    addresses: impl IntoIterator<Item = IpAddr>,
    is_named: &(impl Fn(IpAddr) -> bool + ?Sized),
    listeners: &[SocketAddr],
) -> Result<Vec<SocketAddr>, NotDialled> {
    let (mut good, mut refused) = (Vec::new(), None);
    for address in addresses {
        match judged(dialled, address, is_named, listeners) {
            Ok(address) => good.push(address),
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    match (good.is_empty(), refused) {
        (false, _) => Ok(good),
        (true, Some(why)) => Err(why),
        (true, None) => Err(NotDialled::NoAddress(dialled.host.to_string())),
    }
}

/// Whether a connection leads to ourselves, of which only the connection can tell: a listener on all addresses has the
/// connection's own.
pub fn is_ours(peer: SocketAddr, own: IpAddr, listeners: &[SocketAddr]) -> bool {
    let peer_address = peer.ip().to_canonical();
    listeners.iter().filter(|listener| listener.port() == peer.port()).any(|listener| {
        let ours = listener.ip().to_canonical();
        ours == peer_address || ours.is_unspecified() && is_here(peer, own)
    })
}

/// Whether a connection stays on this machine.
pub(super) fn is_here(peer: SocketAddr, own: IpAddr) -> bool {
    let peer_address = peer.ip().to_canonical();
    peer_address.is_loopback() || own.to_canonical() == peer_address
}

fn judged(
    dialled: &Dialled,
    address: IpAddr,
    is_named: &(impl Fn(IpAddr) -> bool + ?Sized),
    listeners: &[SocketAddr],
) -> Result<SocketAddr, NotDialled> {
    let kind = Kind::of(address);
    let socket = SocketAddr::new(address, dialled.port);
    let is_ourselves = listeners.iter().filter(|listener| listener.port() == dialled.port).any(|listener| {
        let ours = listener.ip().to_canonical();
        ours == address.to_canonical() || ours.is_unspecified() && kind == Kind::Loopback
    });
    if is_ourselves {
        return Err(NotDialled::Ourselves(socket));
    }
    if kind == Kind::Public || is_named(address.to_canonical()) {
        return Ok(socket);
    }
    Err(NotDialled::Unnamed { host: dialled.host.to_string(), address, kind })
}

#[cfg(test)]
mod tests;
