//! The names this server answers to. Anything else in `Host` may be a page elsewhere that had its name rebound to us.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;

use http::{HeaderMap, HeaderValue, Uri, header};

use crate::documents::shown;
use crate::problem::{Code, Problem};

/// Names beside a listener's own: `localhost`, loopback addresses, and the address that a client reached it by.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    extra: Vec<(String, Option<u16>)>,
}

/// A configured name that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no host name: write it as 'keyherd.example' or 'keyherd.example:8484', without a scheme or a path"
)]
pub struct BadHost(String);

/// Where a connection arrived.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) local: SocketAddr,
    pub(crate) is_tls: bool,
}

/// What a connection said first that was ours: what follows on it says the same, mostly. Never more than a head may have.
#[derive(Debug, Default)]
pub(crate) struct KnownHost(OnceLock<Box<[u8]>>);

impl Hosts {
    /// A listener's own names and these: `name` (on any port) or `name:port`.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, BadHost> {
        let extra = names.into_iter().map(|text| parse(text).ok_or_else(|| BadHost(shown(text))));
        Ok(Self { extra: extra.collect::<Result<_, _>>()? })
    }

    /// Refuses a request that was meant for another host, or for none.
    pub(crate) fn check(
        &self,
        uri: &Uri,
        headers: &HeaderMap,
        arrival: Arrival,
        known: &KnownHost,
    ) -> Result<(), Problem> {
        let mut lines = headers.get_all(header::HOST).iter();
        let line = match (lines.next(), lines.next()) {
            (Some(_), Some(_)) => return Err(Problem::invalid("there is more than one Host")),
            (line, _) => line,
        };
        let said = line.filter(|_| uri.authority().is_none()).map(HeaderValue::as_bytes);
        if said.is_some() && known.0.get().map(|known| &**known) == said {
            return Ok(());
        }
        self.look(uri, line.map(|line| line.to_str().unwrap_or("?")), arrival)?;
        if let Some(said) = said {
            known.0.get_or_init(|| said.into());
        }
        Ok(())
    }

    fn look(&self, uri: &Uri, host: Option<&str>, arrival: Arrival) -> Result<(), Problem> {
        let target = uri.authority().map(http::uri::Authority::as_str);
        if host.is_none() && target.is_none() {
            return Err(Problem::invalid("the Host header is missing (RFC 9112, section 3.2)"));
        }
        let stranger = [host, target].into_iter().flatten().find(|name| !self.is_ours(name, arrival));
        stranger.map_or(Ok(()), |name| Err(misdirected(name)))
    }

    fn is_ours(&self, authority: &str, arrival: Arrival) -> bool {
        let Some((host, port)) = split(authority) else { return false };
        let port = port.unwrap_or(if arrival.is_tls { 443 } else { 80 });
        (port == arrival.local.port() && is_local(host, arrival.local.ip()))
            || self
                .extra
                .iter()
                .any(|(name, only)| name.eq_ignore_ascii_case(host) && only.is_none_or(|only| only == port))
    }
}

fn is_local(host: &str, local: IpAddr) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    literal
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip.to_canonical().is_loopback() || ip.to_canonical() == local.to_canonical())
}

/// Host and port of an authority. User information, which no client sends here, makes it none.
fn split(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, port) = match authority.rfind(':').filter(|_| !authority.ends_with(']')) {
        Some(at) => (&authority[..at], Some(authority[at + 1..].parse().ok()?)),
        None => (authority, None),
    };
    let is_literal = host.starts_with('[') && host.ends_with(']');
    let is_clean = !host.is_empty() && !host.contains('@') && (is_literal || !host.contains(':'));
    is_clean.then_some((host, port))
}

fn parse(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = split(text.trim())?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
    host.chars().all(fits).then(|| (host.to_ascii_lowercase(), port))
}

fn misdirected(name: &str) -> Problem {
    Problem::new(
        Code::Misdirected,
        format!(
            "this server does not answer to '{}': use its own address, or add the name to the configured hosts",
            shown(name)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(uri: &str, hosts: &[&str], expected: u16) {
        let ours = Hosts::new(["keyherd.example", "Other.example:9000"]).expect("are names");
        let arrival = Arrival { local: SocketAddr::from(([10, 0, 0, 7], 8484)), is_tls: false };
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, host.parse().expect("is a value"));
        }
        let uri = uri.parse().expect("is a target");
        let status = |known: &KnownHost| {
            let got = ours.check(&uri, &headers, arrival, known);
            got.err().map_or(200, |problem| problem.code().parts().1.as_u16())
        };
        let known = KnownHost::default();
        // On a connection of its own, once more on the same one, and on one that began with another host.
        assert_eq!((status(&known), status(&known)), (expected, expected), "{uri} {hosts:?}");
        let other = KnownHost(OnceLock::from(Box::from(&b"localhost:8484"[..])));
        assert_eq!(status(&other), expected, "{uri} {hosts:?}");
    }

    #[test]
    fn own_names_only() {
        for good in ["localhost:8484", "LOCALHOST:8484", "127.0.0.1:8484", "127.9.9.9:8484", "[::1]:8484"] {
            check("/", &[good], 200);
        }
        check("/", &["10.0.0.7:8484"], 200);
        check("/", &["[::ffff:10.0.0.7]:8484"], 200);
        check("/", &["keyherd.example"], 200);
        check("/", &["KEYHERD.example:1"], 200);
        check("/", &["other.example:9000"], 200);
        for bad in [
            "localhost",
            "localhost:80",
            "10.0.0.8:8484",
            "evil.example:8484",
            "other.example",
            "",
            "a@localhost:8484",
        ] {
            check("/", &[bad], 421);
        }
        for bad in
            ["localhost.evil.example:8484", "localhost:8484:8484", "::1:8484", "localhost:x", "localhost:"]
        {
            check("/", &[bad], 421);
        }
    }

    #[test]
    fn one_name_and_the_same_everywhere() {
        check("/", &[], 400);
        check("/", &["localhost:8484", "localhost:8484"], 400);
        check("http://localhost:8484/", &[], 200);
        check("http://evil.example:8484/", &["localhost:8484"], 421);
        check("http://localhost:8484/", &["evil.example"], 421);
    }

    #[test]
    fn configured_names_are_names() {
        assert!(Hosts::new(["https://keyherd.example/"]).is_err());
        assert!(Hosts::new([""]).is_err());
        assert!(Hosts::new(["[fd00::1]:8484", "a.example:1"]).is_ok());
    }
}
