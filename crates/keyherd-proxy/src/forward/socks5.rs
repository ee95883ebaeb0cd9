//! SOCKS5, the server's side: who calls (RFC 1929) and whom they dial (RFC 1928), and nothing beyond CONNECT.
//!
//! Owns these few messages. Every one has a length bound of its own; how long they may take is the caller's to bound.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use keyherd_core::host::Host;
use keyherd_core::secret::Secret;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use zeroize::Zeroizing;

use super::dialled::Dialled;

/// The protocol's number: the first byte of every message.
pub(super) const VERSION: u8 = 5;
/// The sub-negotiation's own.
const PASSWORD_VERSION: u8 = 1;
const PASSWORD_METHOD: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;

/// Why it ended before there was a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum SocksError {
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What came is no SOCKS5, or asks for what there is not. The other side was told.
    #[error("{0}")]
    Refused(&'static str),
}

/// What became of a request, as the protocol says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// The connection stands.
    Granted = 0,
    /// Something failed here.
    Failed = 1,
    /// A rule says no.
    Denied = 2,
    /// The host cannot be reached.
    Unreachable = 4,
    /// There is only CONNECT.
    NoSuchCommand = 7,
    /// No such kind of address.
    NoSuchAddress = 8,
}

/// Who says to be calling.
#[derive(Debug)]
pub(super) struct Caller {
    /// The user name.
    pub(super) name: String,
    /// The password.
    pub(super) key: Secret,
}

/// Asks who calls.
///
/// # Errors
/// [`SocksError`].
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Result<Caller, SocksError> {
    if stream.read_u8().await? != VERSION {
        return Err(SocksError::Refused("no SOCKS5 greeting"));
    }
    let methods = read_short(stream).await?;
    if !methods.contains(&PASSWORD_METHOD) {
        stream.write_all(&[VERSION, NO_METHOD]).await?;
        return Err(SocksError::Refused("SOCKS5 without a user name and password"));
    }
    stream.write_all(&[VERSION, PASSWORD_METHOD]).await?;
    if stream.read_u8().await? != PASSWORD_VERSION {
        return Err(SocksError::Refused("no SOCKS5 password"));
    }
    let (name, key) = (read_short(stream).await?, read_short(stream).await?);
    let text = |bytes: &[u8]| str::from_utf8(bytes).map(str::to_owned).ok();
    match (text(&name), text(&key)) {
        (Some(name), Some(key)) => Ok(Caller { name, key: Secret::from(key) }),
        _ => {
            tell_caller(stream, false).await?;
            Err(SocksError::Refused("a user name or password that is no text"))
        }
    }
}

/// Tells the caller whether it was recognised.
///
/// # Errors
/// It went away.
pub(super) async fn tell_caller<S: AsyncWrite + Unpin>(stream: &mut S, is_known: bool) -> io::Result<()> {
    stream.write_all(&[PASSWORD_VERSION, u8::from(!is_known)]).await
}

/// Whom a recognised caller dials.
///
/// # Errors
/// [`SocksError`]; what is refused is to be answered.
pub(super) async fn asked<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
) -> Result<Result<Dialled, (Answer, &'static str)>, SocksError> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let [version, command, _, kind] = head;
    if version != VERSION {
        return Err(SocksError::Refused("no SOCKS5 request"));
    }
    let host = match kind {
        1 => Host::parse(&Ipv4Addr::from(stream.read_u32().await?).to_string()).ok(),
        3 => str::from_utf8(&read_short(stream).await?).ok().and_then(|name| Host::parse(name).ok()),
        4 => Host::parse(&Ipv6Addr::from(stream.read_u128().await?).to_string()).ok(),
        _ => None,
    };
    let port = stream.read_u16().await?;
    Ok(match host {
        Some(host) if command == CONNECT && port > 0 => Ok(Dialled::new(host, port)),
        Some(_) if command != CONNECT => {
            Err((Answer::NoSuchCommand, "SOCKS5 with another command than CONNECT"))
        }
        _ => Err((Answer::NoSuchAddress, "SOCKS5 with an address that is none")),
    })
}

/// Says what became of it. The bound address is nobody's business.
///
/// # Errors
/// The caller went away.
pub(super) async fn answer<S: AsyncWrite + Unpin>(stream: &mut S, answer: Answer) -> io::Result<()> {
    stream.write_all(&[VERSION, answer as u8, 0, 1, 0, 0, 0, 0, 0, 0]).await
}

/// A byte for the length, then so many.
async fn read_short<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; usize::from(stream.read_u8().await?)]);
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
