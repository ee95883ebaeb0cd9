//! Hosts as they are dialled and named, in one spelling, and globs over them.
//!
//! Owns when two spellings are the same host. Never resolves a name: what address a host has is the connector's to find
//! out and to judge.

mod glob;
mod kind;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

pub use self::glob::{BadGlob, HostGlob};
pub use self::kind::AddressKind;

/// The longest host name, in bytes (RFC 1035, section 2.3.4, without the last dot).
pub const HOST_LEN_MAX: usize = 253;

/// A host: a name in lower case and ASCII without its last dot, or an address in its shortest form, IPv6 without
/// brackets. Two that are equal are the same host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    text: Arc<str>,
    address: Option<IpAddr>,
}

/// Why a text is no [`Host`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{shown}' is not a host: write a name such as api.example.com, or an address")]
pub struct BadHost {
    shown: String,
}

impl Host {
    /// Parses a host as it stands in a URL, in a Host header without its port, or in SNI.
    pub fn parse(text: &str) -> Result<Self, BadHost> {
        Self::read(text).ok_or_else(|| BadHost { shown: shown(text) })
    }

    /// The one spelling.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    fn read(text: &str) -> Option<Self> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Some(Self::of_address(address.into()));
        }
        // Percent signs are decoded by URL parsers and by nobody else: a host that has some is not the same to all.
        let text = Some(text).filter(|text| !text.contains('%'))?;
        match url::Host::parse(text.strip_suffix('.').unwrap_or(text)).ok()? {
            url::Host::Ipv4(address) => Some(Self::of_address(address.into())),
            url::Host::Ipv6(address) => Some(Self::of_address(address.into())),
            url::Host::Domain(name) => {
                let is_name = name.len() <= HOST_LEN_MAX && name.split('.').all(|label| !label.is_empty());
                is_name.then(|| Self { text: name.into(), address: None })
            }
        }
    }

    fn of_address(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { text: address.to_string().into(), address: Some(address) }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Text from outside, fit for a line: bounded, and without control characters.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests;
