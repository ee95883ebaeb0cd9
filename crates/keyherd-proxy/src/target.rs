//! Where a request goes: host and port, whether in TLS, and the address where it was settled beforehand.
//!
//! Never resolves a name.

use std::net::{IpAddr, SocketAddr};

use keyherd_core::binding::Upstream;
use keyherd_core::host::Host;

/// One upstream. Requests to equal ones share connections.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    host: Host,
    port: u16,
    is_tls: bool,
    /// The one address that may be dialled.
    address: Option<IpAddr>,
    /// Whether it is to be on this machine.
    is_local: bool,
    /// Whether HTTP/2 is spoken without TLS: as the caller knows beforehand.
    is_http2: bool,
}

impl Target {
    /// A host in TLS.
    pub fn tls(host: Host, port: u16) -> Self {
        Self { host, port, is_tls: true, address: None, is_local: false, is_http2: false }
    }

    /// A host without TLS: for this machine, and for what nothing is injected into.
    pub fn plain(host: Host, port: u16) -> Self {
        Self { is_tls: false, ..Self::tls(host, port) }
    }

    /// A binding's upstream, which is plain on this machine only.
    pub fn of(upstream: &Upstream) -> Self {
        let is_tls = upstream.url().scheme() == "https";
        Self { is_tls, ..Self::tls(upstream.host().clone(), upstream.port()) }
    }

    /// The same by just this address: what was looked at is what is dialled.
    pub fn pinned(self, address: IpAddr) -> Self {
        Self { address: Some(address), ..self }
    }

    /// The same on this machine only: no other address of it is dialled.
    pub fn local(self) -> Self {
        Self { is_local: true, ..self }
    }

    /// Whether it is to be on this machine.
    pub fn is_local(&self) -> bool {
        self.is_local
    }

    /// The same in HTTP/2 with prior knowledge (RFC 9113, section 3.3), where it is not in TLS.
    pub fn http2(self) -> Self {
        Self { is_http2: !self.is_tls, ..self }
    }

    /// Whether HTTP/2 is spoken without TLS.
    pub(crate) fn is_http2(&self) -> bool {
        self.is_http2
    }

    /// Whether it is spoken to in TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The one address that may be dialled: where it was settled, or where the host is one.
    pub fn address(&self) -> Option<SocketAddr> {
        let address = self.address.or(self.host.address())?;
        Some(SocketAddr::new(address, self.port))
    }

    /// The one address that may be dialled, where it was settled beforehand.
    pub fn pinned_to(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.port))
    }

    /// `host`, or `host:port` where the port is not the scheme's own (RFC 9110, section 7.2).
    pub fn authority(&self) -> String {
        let usual = if self.is_tls { 443 } else { 80 };
        let host = match self.host.address() {
            Some(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.to_string(),
        };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, authority: &str, address: Option<&str>) {
        let target = Target::of(&Upstream::parse(url).expect("is an upstream"));
        let address = address.map(|text| text.parse().expect("is an address"));
        assert_eq!((target.authority().as_str(), target.address()), (authority, address), "{url}");
    }

    #[test]
    fn how_an_upstream_is_named() {
        check("https://API.example./v1", "api.example", None);
        check("https://api.example:8443", "api.example:8443", None);
        check("https://[::1]:1", "[::1]:1", Some("[::1]:1"));
        check("http://127.0.0.1:80", "127.0.0.1", Some("127.0.0.1:80"));
        check("http://localhost:8080/", "localhost:8080", None);
    }

    #[test]
    fn a_pinned_one_is_another() {
        let target = Target::tls(Host::parse("api.example").expect("is a host"), 443);
        let pinned = target.clone().pinned([10, 0, 0, 1].into());
        assert_ne!(target, pinned);
        assert_eq!(pinned.address(), Some(([10, 0, 0, 1], 443).into()));
    }
}
