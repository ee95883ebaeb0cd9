//! Where a request goes, as rules see it.
//!
//! Owns the reading of hosts and paths. A path that servers may read in two ways has both readings here, so that neither
//! is a way around a rule.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::OnceLock;

use percent::decoded;

use crate::host::Host;

/// A request's head, or as much of it as is known.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Who asks; none where nobody said so.
    pub agent: Option<&'a str>,
    /// Where to.
    pub destination: &'a Destination,
    /// The method as it was sent; none while it is not known.
    pub method: Option<&'a str>,
    /// The path; none while it is not known.
    pub path: Option<&'a RequestPath>,
}

impl<'a> Target<'a> {
    /// The method as rules and questions see it: in upper case. To servers `delete` may be another method than `DELETE`
    /// (RFC 9110, section 9.1), but many take it for the same: it is no way around a rule.
    pub(crate) fn method_word(&self) -> Option<Cow<'a, str>> {
        self.method.map(|method| match method.bytes().any(|byte| byte.is_ascii_lowercase()) {
            true => Cow::Owned(method.to_ascii_uppercase()),
            false => Cow::Borrowed(method),
        })
    }
}

/// Where a connection goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    host: Host,
    address: Option<IpAddr>,
    port: u16,
}

impl Destination {
    /// A host and a port. What is an address will be dialled as it is.
    pub fn new(host: Host, port: u16) -> Self {
        Self { address: host.address(), host, port }
    }

    /// The same, of which this address will be dialled. Where the host is an address itself, that one stays.
    #[must_use]
    pub fn dialling(self, address: IpAddr) -> Self {
        Self { address: self.host.address().or(Some(address.to_canonical())), ..self }
    }

    /// The host in its one spelling.
    pub fn host(&self) -> &str {
        self.host.as_str()
    }

    /// The same, parsed.
    pub fn as_host(&self) -> &Host {
        &self.host
    }

    /// The address that is dialled, where it is known.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The address that stands in the place of a name, where one does.
    pub(super) fn dialled_as(&self) -> Option<IpAddr> {
        self.host.address()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The labels, the last one first; an address has none.
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> + Clone {
        let name = if self.host.address().is_some() { "" } else { self.host.as_str() };
        name.rsplit('.').filter(|label| !label.is_empty())
    }
}

/// A request's path in its one or two readings.
#[derive(Debug, Clone)]
pub struct RequestPath {
    text: Box<str>,
    /// Read by the first who looks: most paths are judged by nothing.
    readings: OnceLock<Readings>,
}

#[derive(Debug, Clone)]
struct Readings {
    /// Each segment decoded by itself.
    plain: Vec<String>,
    /// Decoded first, then split and walked; where that is something else.
    walked: Option<Vec<String>>,
}

impl RequestPath {
    /// A path; what comes after `?` or `#` is none of it.
    pub fn read(target: &str) -> Self {
        let text = target.split(['?', '#']).next().unwrap_or_default();
        Self { text: text.into(), readings: OnceLock::new() }
    }

    /// Whether a server may take both for the same: some reading of the one is a reading of the other, whatever its case.
    pub fn may_be(&self, other: &Self) -> bool {
        let is_same = |one: &[String], other: &[String]| {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.eq_ignore_ascii_case(other))
        };
        self.readings().any(|one| other.readings().any(|other| is_same(one, other)))
    }

    /// Its last segment, in each reading.
    pub fn lasts(&self) -> impl Iterator<Item = &str> {
        self.readings().filter_map(|reading| reading.last()).map(String::as_str)
    }

    fn read_now(&self) -> &Readings {
        self.readings.get_or_init(|| Readings::of(&self.text))
    }

    /// As it was sent, without the query.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its readings, segment by segment.
    pub(super) fn readings(&self) -> impl Iterator<Item = &[String]> {
        [Some(self.plain()), self.walked()].into_iter().flatten()
    }

    pub(super) fn plain(&self) -> &[String] {
        &self.read_now().plain
    }

    pub(super) fn walked(&self) -> Option<&[String]> {
        self.read_now().walked.as_deref()
    }
}

impl Readings {
    fn of(path: &str) -> Self {
        let plain: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).map(decoded).collect();
        let walked = walked(&plain);
        Self { walked: (walked != plain).then_some(walked), plain }
    }
}

/// As a server reads it that decodes before it splits, drops parameters after `;` and follows dots.
fn walked(plain: &[String]) -> Vec<String> {
    let mut walked: Vec<String> = Vec::with_capacity(plain.len());
    for part in plain.iter().flat_map(|segment| segment.split(['/', '\\'])) {
        match part.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => drop(walked.pop()),
            part => walked.push(part.to_owned()),
        }
    }
    walked
}

mod percent {
    /// `%41` becomes `A`; what is no sound escape stays. Bytes that are no UTF-8 are replaced, and match nothing.
    pub(super) fn decoded(segment: &str) -> String {
        if !segment.contains('%') {
            return segment.to_owned();
        }
        let bytes = segment.as_bytes();
        let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
        while let Some(byte) = bytes.get(at) {
            let escape = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(hex);
            out.push(escape.unwrap_or(*byte));
            at += if escape.is_some() { 3 } else { 1 };
        }
        String::from_utf8_lossy(&out).into_owned()
    }

    fn hex(pair: &[u8]) -> Option<u8> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        }
    }
}
