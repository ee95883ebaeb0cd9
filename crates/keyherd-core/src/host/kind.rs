//! The kinds of addresses (RFC 6890 and its registries): which of them are anyone's, and which lie where somebody has to name
//! them before an agent is led there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of address it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressKind {
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

impl AddressKind {
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

    /// In words that follow "is".
    pub fn word(self) -> &'static str {
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

/// IANA's special-purpose registry for IPv4, and the metadata services that stand outside of 169.254.0.0/16.
fn of_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127 | 0, ..] => AddressKind::Loopback,
        // Alibaba, Oracle, Azure's host.
        [100, 100, 100, 200] | [192, 0, 0, 192] | [168, 63, 129, 16] => AddressKind::Metadata,
        [10, ..] | [192, 168, ..] | [172, 16..=31, ..] | [100, 64..=127, ..] => AddressKind::Private,
        [169, 254, ..] => AddressKind::LinkLocal,
        [192, 0, 0 | 2, _]
        | [192, 88, 99, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _]
        | [224..=255, ..] => AddressKind::Special,
        _ => AddressKind::Public,
    }
}

/// IANA's special-purpose registry for IPv6. What is not global unicast (2000::/3) is given out to nobody.
fn of_v6(address: Ipv6Addr) -> AddressKind {
    if address.is_loopback() || address.is_unspecified() {
        return AddressKind::Loopback;
    }
    match address.segments() {
        // Amazon's.
        [0xfd00, 0x0ec2, ..] => AddressKind::Metadata,
        [0xfc00..=0xfdff | 0xfec0..=0xfeff, ..] => AddressKind::Private,
        [0xfe80..=0xfebf, ..] => AddressKind::LinkLocal,
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => AddressKind::Special,
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Special,
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
