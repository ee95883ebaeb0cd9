//! Which URLs a secret may be sent to.
//!
//! Owns the rules for an endpoint's URL and the words of their refusals. Never resolves a name: an address behind a
//! host name is the connector's to judge.

use url::{Host, Url};

use super::profile::Profile;

/// The longest URL of an endpoint, in bytes.
pub const ENDPOINT_LEN_MAX: usize = 2_048;

/// Why a URL is no endpoint. The text never repeats the URL's user, query or path: secrets are found there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    /// Neither the credential nor its profile names a token endpoint.
    #[error("provider '{profile}' has no token_url of its own: give the credential a token_url")]
    Missing {
        /// The profile's name.
        profile: String,
    },
    /// The text is no absolute URL with a host, or too long.
    #[error("{key} is not a URL ({why}): write it as https://host/path")]
    Unreadable {
        /// The key that holds the URL.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Neither https, nor http to this machine.
    #[error(
        "{key} would send secrets over {scheme} to '{host}': use https (http only to 127.0.0.0/8, ::1 or localhost)"
    )]
    Insecure {
        /// The key that holds the URL.
        key: &'static str,
        /// Its scheme.
        scheme: String,
        /// Its host.
        host: String,
    },
    /// A user name or password stands in the URL.
    #[error("{key} to '{host}' has a user or password in it: give client_id and client_secret instead")]
    UserInfo {
        /// The key that holds the URL.
        key: &'static str,
        /// Its host.
        host: String,
    },
    /// A fragment stands in the URL (RFC 6749, section 3.2, forbids it).
    #[error("{key} to '{host}' has a fragment: leave out '#' and what follows")]
    Fragment {
        /// The key that holds the URL.
        key: &'static str,
        /// Its host.
        host: String,
    },
    /// The profile does not allow this host.
    #[error(
        "token_url points to '{host}', where provider '{profile}' has no token endpoint: use one of {allowed}, or another provider's profile"
    )]
    ForeignHost {
        /// The profile's name.
        profile: String,
        /// The URL's host.
        host: String,
        /// The profile's `token_hosts`, by comma.
        allowed: String,
    },
}

/// Parses an endpoint's URL: https, or http to this machine; no user, no password, no fragment. `key` is what the
/// error calls it.
///
/// # Errors
/// See [`BadEndpoint`]; never `Missing` or `ForeignHost`.
pub fn check_endpoint(key: &'static str, text: &str) -> Result<Url, BadEndpoint> {
    let url = parse(key, text)?;
    let host = host_of(&url);
    if !(url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url)) {
        return Err(BadEndpoint::Insecure { key, scheme: url.scheme().to_owned(), host });
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(BadEndpoint::UserInfo { key, host });
    }
    if url.fragment().is_some() {
        return Err(BadEndpoint::Fragment { key, host });
    }
    Ok(url)
}

/// Whether the URL's host is this machine by its very text: 127.0.0.0/8, `::1` or `localhost`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Scheme, host and port (RFC 6454), without a port that is the scheme's own: `https://host:8443`.
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The URL, if the profile's `token_hosts` allow its host.
pub(super) fn within_hosts(url: Url, profile: &Profile) -> Result<Url, BadEndpoint> {
    let host = host_of(&url);
    if profile.token_hosts.is_empty()
        || profile.token_hosts.iter().any(|pattern| host_matches(pattern, &host))
    {
        return Ok(url);
    }
    let allowed = profile.token_hosts.join(", ");
    Err(BadEndpoint::ForeignHost { profile: profile.name.clone(), host, allowed })
}

fn parse(key: &'static str, text: &str) -> Result<Url, BadEndpoint> {
    let unreadable = |why: String| BadEndpoint::Unreadable { key, why };
    if text.len() > ENDPOINT_LEN_MAX {
        return Err(unreadable(format!("longer than {ENDPOINT_LEN_MAX} bytes")));
    }
    let url = Url::parse(text).map_err(|error| unreadable(error.to_string()))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(unreadable("it has no host".to_owned()));
    }
    Ok(url)
}

/// The host as `token_hosts` write it: lower case, an IPv6 address without its brackets.
fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
}

/// `*.suffix` stands for one label or more before the suffix, never for the suffix itself.
fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests;
