//! What an agent dials: a host and a port, parsed once, in one spelling.
//!
//! Owns the comparison of what was dialled with what a request names.

use std::fmt;
use std::sync::Arc;

use keyherd_core::host::Host;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Dialled {
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
    /// Both, as they are told: every request there leaves a line that says so.
    shown: Arc<str>,
}

/// What cannot be dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDialled {
    /// Neither that nor its password is shown.
    #[error("a host and port are wanted, and nobody's name before them")]
    Userinfo,
    /// Anything else.
    #[error("'{0}' is no host and port")]
    Other(String),
}

/// How much of it is shown, in characters.
const SHOWN_MAX: usize = 80;

impl Dialled {
    /// That host at that port.
    pub fn new(host: Host, port: u16) -> Self {
        let shown = match host.address() {
            Some(address) if address.is_ipv6() => format!("[{host}]:{port}"),
            _ => format!("{host}:{port}"),
        };
        Self { host, port, shown: shown.into() }
    }

    /// As audit lines name it.
    pub(crate) fn shown(&self) -> Arc<str> {
        Arc::clone(&self.shown)
    }

    /// From `host:port`, as in CONNECT, `Host` and `:authority`. `port`: where none is said.
    ///
    /// # Errors
    /// [`BadDialled`].
    pub fn parse(text: &str, port: Option<u16>) -> Result<Self, BadDialled> {
        let parsed = split(text).and_then(|(host, said)| {
            let port = said.map_or(port, parse_port)?;
            Some(Self::new(Host::parse(host).ok()?, port))
        });
        parsed.ok_or_else(|| {
            if text.contains('@') {
                return BadDialled::Userinfo;
            }
            BadDialled::Other(text.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect())
        })
    }

    /// Whether an authority that a request names is this one. `port`: the scheme's own.
    pub fn is_named_by(&self, authority: &str, port: u16) -> bool {
        self.is_spelled(authority, port)
            || Self::parse(authority, Some(port)).is_ok_and(|named| named == *self)
    }

    /// Whether it stands there as it does here, as it nearly always does: then there is nothing to be parsed. Of an IPv6
    /// address that is not looked at: without brackets, a port is one more part of it.
    fn is_spelled(&self, authority: &str, port: u16) -> bool {
        let rest = authority.strip_prefix(self.host.as_str());
        let rest = rest.filter(|_| self.host.address().is_none_or(|address| address.is_ipv4()));
        let said = rest.and_then(|rest| match rest.strip_prefix(':') {
            None => rest.is_empty().then_some(port),
            Some(digits) => parse_port(digits),
        });
        said == Some(self.port)
    }
}

impl fmt::Display for Dialled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Host and port, where there is one. IPv6 addresses stand in brackets; user names are none of a proxy's.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
    let (host, rest) = text.split_at(end);
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port))),
        None => rest.is_empty().then_some((host, None)),
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| are_digits && *port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        let table = [
            ("a.example:443", "a.example:443"),
            ("A.EXAMPLE.:443", "a.example:443"),
            ("a.example", "a.example:80"),
            ("127.1:80", "127.0.0.1:80"),
            ("0x7f000001:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("[0:0:0:0:0:0:0:1]", "[::1]:80"),
            ("[::ffff:10.0.0.1]", "10.0.0.1:80"),
        ];
        for (text, wanted) in table {
            let dialled = Dialled::parse(text, Some(80)).map(|dialled| dialled.to_string());
            assert_eq!(dialled.as_deref(), Ok(wanted));
        }
    }

    #[test]
    fn what_is_none() {
        let long = "a".repeat(300);
        let table = [
            "",
            ":80",
            "a:0",
            "a:65536",
            "a:+80",
            "a:",
            "a b:80",
            "u@a:80",
            "::1",
            "[::1",
            "[::1]x:80",
            "a:80:90",
            "1.2.3.256:80",
            "a/b:80",
            "%41:80",
            "a\n:80x",
            &long,
        ];
        for text in table {
            assert!(Dialled::parse(text, Some(80)).is_err(), "{text}");
        }
        assert!(Dialled::parse("a.example", None).is_err());
    }

    #[test]
    fn who_is_named() {
        let dialled = Dialled::parse("api.example:443", None).expect("is one");
        for same in ["api.example", "API.example:443", "api.example."] {
            assert!(dialled.is_named_by(same, 443), "{same}");
        }
        for other in ["api.example:80", "xapi.example", "api.example.evil", "", "user@api.example"] {
            assert!(!dialled.is_named_by(other, 443), "{other}");
        }
        assert!(!dialled.is_named_by("api.example", 80));
        let other_port = Dialled::parse("api.example:8443", None).expect("is one");
        assert!(other_port.is_named_by("api.example:8443", 443));
        for other in ["api.example", "api.example:", "api.example:+8443", "api.example:8443x"] {
            assert!(!other_port.is_named_by(other, 443), "{other}");
        }
        let address = Dialled::parse("[::1]:443", None).expect("is one");
        assert!(address.is_named_by("[::1]", 443) && address.is_named_by("[0::1]:443", 443));
        assert!(!address.is_named_by("::1:443", 443) && !address.is_named_by("::1", 443));
    }
}
