//! What a rule may be about, in words: hosts by glob or by network, methods, paths by glob.
//!
//! Owns parsing, so that a pattern which exists is sound. Hosts are globbed as bindings' are, but that `**` alone is
//! every host, addresses too. In paths `*` is one segment, `**` any number of them, none included, and a `*` beside other
//! characters any run of them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::target::Destination;
use crate::host::HostGlob;

/// The longest pattern, in bytes.
pub const PATTERN_LEN_MAX: usize = 1_024;
/// The most labels or segments of a pattern.
pub const SEGMENTS_MAX: usize = 64;
/// The longest method.
const METHOD_LEN_MAX: usize = 32;

/// Why a text is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{shown}' {problem}")]
pub struct BadPattern {
    shown: String,
    problem: &'static str,
}

fn bad(text: &str, problem: &'static str) -> BadPattern {
    BadPattern { shown: text.chars().filter(|c| !c.is_control()).take(80).collect(), problem }
}

/// Which hosts: by name, or by the address that is dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Labels, in lower case.
    Name(Box<str>),
    /// Addresses.
    Net(Net),
}

/// A network: an address whose bits beyond `len` are zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Net {
    address: IpAddr,
    len: u8,
}

/// A method, in upper case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MethodWord(Box<str>);

/// Which paths, without a query.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathPattern(Box<str>);

impl HostPattern {
    /// Parses a host, a glob of hosts, an address or a network.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if let Some(net) = Net::parse(text)? {
            return Ok(Self::Net(net));
        }
        if text.contains('/') || text.contains(':') {
            return Err(bad(
                text,
                "is no host alone: leave out scheme, port and path, which have fields of their own",
            ));
        }
        let glob = HostGlob::parse(text).map_err(|_| {
            bad(text, "is no host: write a name such as api.example.com, '*.example.com' or 10.0.0.0/8")
        })?;
        if glob.exactly().is_some_and(|host| host.address().is_some()) {
            return Err(bad(
                text,
                "is an unusual way to write an address: write it plainly, such as 127.0.0.1",
            ));
        }
        check_segments(text, glob.as_str().split('.'))?;
        Ok(Self::Name(glob.as_str().into()))
    }

    /// Whether it names one host, or addresses: no wildcard.
    pub fn is_exact(&self) -> bool {
        match self {
            Self::Name(name) => !name.contains('*'),
            Self::Net(_) => true,
        }
    }

    /// Whether it names where that leads: the very host, or a network of more than one address that holds the address. A
    /// single address names the host that is dialled by it, and no name that happens to lead there.
    pub(super) fn names(&self, destination: &Destination) -> bool {
        match self {
            Self::Name(name) => self.is_exact() && **name == *destination.host(),
            Self::Net(net) if net.is_single() => {
                destination.dialled_as().is_some_and(|address| net.holds(address))
            }
            Self::Net(net) => destination.address().is_some_and(|address| net.holds(address)),
        }
    }

    /// Whether it is every host, addresses too.
    pub(super) fn is_everything(&self) -> bool {
        matches!(self, Self::Name(name) if **name == *"**")
    }

    /// The labels, the last one first; none for a network.
    pub(super) fn labels(&self) -> Option<impl Iterator<Item = &str>> {
        match self {
            Self::Name(name) => Some(name.rsplit('.')),
            Self::Net(_) => None,
        }
    }
}

/// One `**` at most: several make matching slow and meanings hard to see.
fn check_segments<'a>(text: &str, segments: impl Iterator<Item = &'a str>) -> Result<(), BadPattern> {
    let (mut count, mut deep) = (0, 0);
    for segment in segments {
        count += 1;
        match segment {
            "**" => deep += 1,
            _ if segment.contains("**") => {
                return Err(bad(text, "has '**' beside other characters: it stands alone"));
            }
            _ => {}
        }
    }
    match (count, deep) {
        (_, 2..) => Err(bad(text, "has more than one '**'")),
        (count, _) if count > SEGMENTS_MAX => Err(bad(text, "has too many parts")),
        _ => Ok(()),
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Net(net) => net.fmt(f),
        }
    }
}

impl Net {
    /// `Ok(None)`: it does not look like an address at all.
    fn parse(text: &str) -> Result<Option<Self>, BadPattern> {
        let (address, len) = match text.split_once('/') {
            Some((address, len)) => (address, Some(len)),
            None => (text, None),
        };
        let address = address.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(address);
        let Ok(address) = address.parse::<IpAddr>() else { return Ok(None) };
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let len = match len.map(str::parse::<u8>) {
            None => whole,
            Some(Ok(len)) if len <= whole => len,
            Some(_) => return Err(bad(text, "has no sound length of a network after '/'")),
        };
        let net = Self::of(address, len);
        if net.address != address {
            return Err(bad(text, "has bits set beyond its length: write the network's first address"));
        }
        Ok(Some(net.plain()))
    }

    /// The network of that length which holds the address.
    pub(super) fn of(address: IpAddr, len: u8) -> Self {
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask32(len))),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask128(len))),
        };
        Self { address, len }
    }

    /// An IPv4 network written as mapped IPv6 (RFC 4291, section 2.5.5.2) is the same network.
    fn plain(self) -> Self {
        match self.address.to_canonical() {
            v4 @ IpAddr::V4(_) if self.address.is_ipv6() && self.len >= 96 => {
                Self { address: v4, len: self.len - 96 }
            }
            _ => self,
        }
    }

    /// Its length in bits.
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether it is all there is: length 0.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether it is one address.
    fn is_single(&self) -> bool {
        self.len == if self.is_v4() { 32 } else { 128 }
    }

    /// Whether it is of version 4.
    pub(super) fn is_v4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether the address lies in it.
    pub fn holds(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.is_v4() && Self::of(address, self.len) == *self
    }
}

fn mask32(len: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(len.min(32))).unwrap_or(0)
}

fn mask128(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len.min(128))).unwrap_or(0)
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_single() { self.address.fmt(f) } else { write!(f, "{}/{}", self.address, self.len) }
    }
}

impl MethodWord {
    /// Parses a method: a token (RFC 9110, section 9.1).
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || text.len() > METHOD_LEN_MAX || !text.bytes().all(fits) || text.contains('*') {
            return Err(bad(text, "is no method: write one such as GET, or leave it out for all of them"));
        }
        Ok(Self(text.to_ascii_uppercase().into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PathPattern {
    /// Parses a path or a glob of paths.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        if !text.starts_with('/') || text.len() > PATTERN_LEN_MAX {
            return Err(bad(text, "is no path: it begins with '/', such as /v1/messages or '/v1/**'"));
        }
        if text.contains(['?', '#', '\\', '%', ';']) || text.chars().any(char::is_control) {
            return Err(bad(text, "is no path as rules see it: decoded, and without query, ';' or '\\'"));
        }
        let pattern = Self(text.into());
        if pattern.segments().any(|segment| matches!(segment, "." | "..")) {
            return Err(bad(text, "has '.' or '..' in it: write where it leads"));
        }
        check_segments(text, pattern.segments())?;
        Ok(pattern)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Empty ones do not count: `/v1/` is `/v1`.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|segment| !segment.is_empty())
    }
}
