//! What an authority is constrained to: clients that trust it refuse what it signs for any other host (RFC 5280, section
//! 4.2.1.10).
//!
//! Owns what patterns of hosts become there. A name stands for itself and all below it: a constraint cannot say less. Never
//! decides which hosts those are.

use std::collections::BTreeSet;
use std::net::IpAddr;

use keyherd_core::host::HostGlob;
use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};

/// A domain that nobody has (RFC 6761, section 6.4): where no name is permitted, one must be said all the same, for without
/// any all would be.
const NOBODYS: &str = "invalid";

/// The hosts that an authority may sign for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    domains: BTreeSet<Box<str>>,
    addresses: BTreeSet<IpAddr>,
}

/// Why an authority is not constrained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// A pattern without a fixed end.
    #[error("'{0}' may be any host")]
    AnyHost(String),
    /// More than a certificate should hold.
    #[error("there are more than {0} names: raise names_max in [proxy.leaves]")]
    TooMany(usize),
}

impl Names {
    /// What these are among.
    ///
    /// # Errors
    /// [`NamesError`].
    pub fn of<'h>(
        hosts: impl IntoIterator<Item = &'h HostGlob>,
        names_max: usize,
    ) -> Result<Self, NamesError> {
        let mut names = Self::default();
        for host in hosts {
            match host.exactly().and_then(keyherd_core::host::Host::address) {
                Some(address) => drop(names.addresses.insert(address)),
                None if host.suffix().is_empty() => return Err(NamesError::AnyHost(host.to_string())),
                None => drop(names.domains.insert(host.suffix().into())),
            }
        }
        if names.domains.len() + names.addresses.len() > names_max {
            return Err(NamesError::TooMany(names_max));
        }
        Ok(names)
    }

    /// Whether clients believe it for that host.
    pub fn hold(&self, host: &str) -> bool {
        if let Ok(address) = host.parse() {
            return self.addresses.contains(&address);
        }
        let dots = host.match_indices('.').filter_map(|(at, _)| host.get(at + 1..));
        std::iter::once(host).chain(dots).any(|end| self.domains.contains(end))
    }

    /// Each of them, names before addresses.
    pub fn each(&self) -> impl Iterator<Item = String> {
        let addresses = self.addresses.iter().map(IpAddr::to_string);
        self.domains.iter().map(ToString::to_string).chain(addresses)
    }

    pub(super) fn constraints(&self) -> NameConstraints {
        let address = |address: &IpAddr| match address {
            IpAddr::V4(address) => CidrSubnet::V4(address.octets(), [u8::MAX; 4]),
            IpAddr::V6(address) => CidrSubnet::V6(address.octets(), [u8::MAX; 16]),
        };
        let mut permitted: Vec<_> =
            self.domains.iter().map(|name| GeneralSubtree::DnsName(name.to_string())).collect();
        if permitted.is_empty() {
            permitted.push(GeneralSubtree::DnsName(NOBODYS.into()));
        }
        permitted.extend(self.addresses.iter().map(address).map(GeneralSubtree::IpAddress));
        // One kind that is permitted forbids the other; none at all would permit both.
        let none = [CidrSubnet::V4([0; 4], [0; 4]), CidrSubnet::V6([0; 16], [0; 16])];
        let excluded = none.map(GeneralSubtree::IpAddress).into_iter().filter(|_| self.addresses.is_empty());
        NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &[&str]) -> Result<Names, NamesError> {
        let globs: Vec<_> = hosts.iter().map(|host| HostGlob::parse(host).expect("is one")).collect();
        Names::of(&globs, 4)
    }

    #[test]
    fn what_patterns_are_among() {
        for (hosts, expected) in [
            (&["api.example.com", "API.example.com."][..], Ok("api.example.com")),
            (&["*.example.com", "**.eu.example.com"], Ok("eu.example.com example.com")),
            (&["a.*.example.com", "localhost"], Ok("example.com localhost")),
            (&["127.0.0.1", "::1", "b.example"], Ok("b.example 127.0.0.1 ::1")),
            (&[], Ok("")),
            (&["a.example", "**"], Err(NamesError::AnyHost("**".into()))),
            (&["api.*"], Err(NamesError::AnyHost("api.*".into()))),
            (&["a.a", "b.b", "c.c", "d.d", "1.1.1.1"], Err(NamesError::TooMany(4))),
        ] {
            let names = of(hosts).map(|names| names.each().collect::<Vec<_>>().join(" "));
            assert_eq!(names, expected.map(str::to_owned), "{hosts:?}");
        }
    }

    #[test]
    fn what_they_hold() {
        let names = of(&["*.example.com", "10.0.0.1", "localhost"]).expect("are some");
        for (host, expected) in [
            ("api.example.com", true),
            ("a.b.example.com", true),
            ("badexample.com", false),
            ("com", false),
            ("localhost", true),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
            ("::1", false),
        ] {
            assert_eq!(names.hold(host), expected, "{host}");
        }
    }
}
