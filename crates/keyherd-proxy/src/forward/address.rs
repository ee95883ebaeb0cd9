//! Which addresses an agent may be led to: what lies on this machine or in its networks only where somebody named it.
//!
//! Pure. Owns the kinds of addresses (RFC 6890 and its registries) and the judgement over a name's addresses; the
//! addresses that it lets through are the ones that are dialled, and no name is looked up twice.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::dialled::Dialled;

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Anyone's.
    Public,
    /// This machine: also the unspecified address, which Linux takes for it.
    Loopback,
    /// A private network, shared or unique-local.
    Private,
    /// This link only; cloud metadata is served there.
    LinkLocal,
    /// A cloud's metadata or host service at another address.
    Metadata,
    /// Multicast, documentation, benchmarks, and what is not given out.
    Special,
}

impl Kind {
    /// Of an address. One that carries another one in it is of that one's kind.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => match carried(address) {
                Some(inner) => of_v4(inner),
                None => of_v6(address),
            },
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Loopback => "on this machine",
            Self::Private => "in a private network",
            Self::LinkLocal => "on this link, where metadata is served",
            Self::Metadata => "a cloud's metadata service",
            Self::Special => "set aside for special purposes",
        }
    }
}

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
        ours == peer_address || ours.is_unspecified() && own.to_canonical() == peer_address
    })
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

/// IANA's special-purpose registry for IPv4, and the metadata services that stand outside of 169.254.0.0/16.
fn of_v4(address: Ipv4Addr) -> Kind {
    match address.octets() {
        [127 | 0, ..] => Kind::Loopback,
        // Alibaba, Oracle, Azure's host.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => Kind::Metadata,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => Kind::Private,
        [169, 254, ..] => Kind::LinkLocal,
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => Kind::Special,
        _ => Kind::Public,
    }
}

/// IANA's special-purpose registry for IPv6. What is not global unicast (2000::/3) is given out to nobody.
fn of_v6(address: Ipv6Addr) -> Kind {
    if address.is_loopback() || address.is_unspecified() {
        return Kind::Loopback;
    }
    match address.segments() {
        // Amazon's.
        [0xfd00, 0x0ec2, ..] => Kind::Metadata,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => Kind::Private,
        [0xfe80..=0xfebf, ..] => Kind::LinkLocal,
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Kind::Special,
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Special,
    }
}

/// The IPv4 address that an IPv6 one leads to: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
