//! A tunnel through a configured proxy (CONNECT; RFC 9110, section 9.3.6).
//!
//! Owns the proxy's address and its credentials. Never taken from the environment, and never sees more of a request
//! than the host and port it goes to: TLS is made through it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use keyherd_core::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use url::Url;
use zeroize::Zeroizing;

use super::Failure;

/// The longest head that a proxy may answer with, in bytes.
pub const PROXY_HEAD_LEN_MAX: usize = 16 * 1_024;

/// A proxy for requests that leave this machine.
#[derive(Clone)]
pub struct EgressProxy {
    url: Url,
    authorization: Option<Secret>,
}

/// A text that names no proxy. Repeats no part of it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the egress proxy {problem}: write it as http://host:port, with user:password@ before the host if it wants them"
)]
pub struct BadProxy {
    problem: &'static str,
}

impl EgressProxy {
    /// Parses `http://[user:password@]host[:port]`.
    ///
    /// # Errors
    /// [`BadProxy`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, BadProxy> {
        let bad = |problem| BadProxy { problem };
        let mut url = Url::parse(text).map_err(|_| bad("is no URL"))?;
        if url.scheme() != "http" || url.host().is_none() {
            return Err(bad("is no http URL"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(bad("has more than a host and a port"));
        }
        let authorization = authorization(&url)?;
        // These two fail only for URLs that have no host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self { url, authorization })
    }

    /// Where it listens.
    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    /// Makes a fresh connection to the proxy one to `authority` (`host:port`).
    pub(super) async fn tunnel(&self, mut stream: TcpStream, authority: &str) -> Result<TcpStream, Failure> {
        let ask = self.ask(authority);
        stream.write_all(ask.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
        let head = read_head(&mut stream).await?;
        match status(&head) {
            Some(200..=299) => Ok(stream),
            Some(status) => Err(failed(format!("it refused {authority} with status {status}"))),
            None => Err(failed("it does not speak HTTP")),
        }
    }

    fn ask(&self, authority: &str) -> Zeroizing<String> {
        let authorization = self.authorization.as_ref().map_or(Zeroizing::default(), |value| {
            Zeroizing::new(format!("Proxy-Authorization: {}\r\n", value.expose()))
        });
        Zeroizing::new(format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", *authorization))
    }
}

impl fmt::Debug for EgressProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EgressProxy({})", self.url.origin().ascii_serialization())
    }
}

fn authorization(url: &Url) -> Result<Option<Secret>, BadProxy> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let unescaped = |text| unescape(text).ok_or(BadProxy { problem: "has a stray '%' in user or password" });
    let mut pair = unescaped(url.username())?;
    pair.push(b':');
    pair.extend_from_slice(&unescaped(url.password().unwrap_or_default())?);
    let encoded = Zeroizing::new(STANDARD.encode(&*pair));
    Ok(Some(Secret::new(format!("Basic {}", *encoded))))
}

/// Undoes a URL's percent-encoding (RFC 3986, section 2.1). `None`: a `%` escapes nothing.
fn unescape(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut parts = text.split('%');
    let mut bytes = Zeroizing::new(parts.next()?.as_bytes().to_vec());
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        let is_hex = code.bytes().all(|byte| byte.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(code, 16).ok().filter(|_| is_hex)?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    Some(bytes)
}

/// Up to the empty line. Behind it nothing may come yet: in TLS the client speaks first.
async fn read_head(stream: &mut TcpStream) -> Result<Vec<u8>, Failure> {
    let mut head = Vec::with_capacity(1_024);
    loop {
        let read = stream.read_buf(&mut head).await.map_err(|error| failed(error.to_string()))?;
        match head.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            Some(end) if end + 4 == head.len() => return Ok(head),
            Some(_) => return Err(failed("it spoke before the server did")),
            None if read == 0 => return Err(failed("it closed the connection")),
            None if head.len() > PROXY_HEAD_LEN_MAX => return Err(failed("its answer is too long")),
            None => {}
        }
    }
}

fn status(head: &[u8]) -> Option<u16> {
    let line = head.split(|byte| *byte == b'\r').next()?;
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    words.next()?.parse().ok()
}

fn failed(detail: impl Into<String>) -> Failure {
    Failure::new("proxy_failed", detail)
}
