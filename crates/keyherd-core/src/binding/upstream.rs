//! Where the gateway sends requests: a base URL, which what comes after the name is put behind.

use std::fmt;

use url::Url;

use crate::host::Host;
use crate::provider::is_loopback;

/// The longest URL of an upstream, in bytes.
const UPSTREAM_LEN_MAX: usize = 2_048;

/// An upstream's base URL: https, or http to this machine; no user, no query, no fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    url: Url,
    host: Host,
    port: u16,
}

/// Why a URL is no upstream. The text never repeats the URL's user, query or path: secrets are found there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadUpstream {
    /// No absolute http URL with a host, or too long.
    #[error("'upstream' is not a URL ({0}): write it as https://host/path")]
    Unreadable(String),
    /// Neither https, nor http to this machine.
    #[error(
        "'upstream' would send secrets over {scheme} to '{host}': use https (http only to 127.0.0.0/8, ::1 or localhost)"
    )]
    Insecure {
        /// Its scheme.
        scheme: String,
        /// Its host.
        host: String,
    },
    /// More than a base.
    #[error("'upstream' to '{host}' has a {part}: give scheme, host, port and path alone")]
    NotABase {
        /// Its host.
        host: String,
        /// The first part that is too much.
        part: &'static str,
    },
}

impl Upstream {
    /// Parses a base URL.
    pub fn parse(text: &str) -> Result<Self, BadUpstream> {
        if text.len() > UPSTREAM_LEN_MAX {
            return Err(BadUpstream::Unreadable(format!("longer than {UPSTREAM_LEN_MAX} bytes")));
        }
        let url = Url::parse(text).map_err(|error| BadUpstream::Unreadable(error.to_string()))?;
        let no_host = || BadUpstream::Unreadable("it has no host".into());
        let host = url.host_str().and_then(|host| Host::parse(host).ok()).ok_or_else(no_host)?;
        let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url));
        if !is_safe {
            return Err(BadUpstream::Insecure { scheme: url.scheme().into(), host: host.to_string() });
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        let too_much = [
            (has_user, "user or password"),
            (url.query().is_some(), "query"),
            (url.fragment().is_some(), "fragment"),
        ];
        match too_much.into_iter().find(|(is_there, _)| *is_there) {
            Some((_, part)) => Err(BadUpstream::NotABase { host: host.to_string(), part }),
            None => {
                let port = url.port_or_known_default().ok_or_else(no_host)?;
                Ok(Self { url, host, port })
            }
        }
    }

    /// The base URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Its host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its port, also where it is the scheme's own.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.url, f)
    }
}
