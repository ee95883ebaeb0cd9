//! A stream of which something was read already: that comes first once more.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read of a beginning at once, in bytes.
const AHEAD_LEN: usize = 2 * 1_024;

/// See the module.
#[derive(Debug)]
pub(super) struct Prefixed<S> {
    ahead: Bytes,
    stream: S,
}

impl<S: AsyncRead + Unpin> Prefixed<S> {
    pub(super) fn new(ahead: Bytes, stream: S) -> Self {
        Self { ahead, stream }
    }

    /// The same with these bytes first: they were read from it.
    pub(super) fn behind(self, ahead: Bytes) -> Self {
        let ahead = if self.ahead.is_empty() { ahead } else { [ahead, self.ahead].concat().into() };
        Self { ahead, ..self }
    }

    /// What has come with the next byte: a message as a whole mostly, for which nobody has to ask again. None: the end.
    async fn more(&mut self) -> io::Result<Bytes> {
        poll_fn(|cx| {
            let mut room = [MaybeUninit::uninit(); AHEAD_LEN];
            let mut room = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
            Poll::Ready(Ok(Bytes::copy_from_slice(room.filled())))
        })
        .await
    }

    /// The next byte, which is read once more afterwards. `None`: there is none.
    pub(super) async fn first(&mut self) -> io::Result<Option<u8>> {
        if self.ahead.is_empty() {
            self.ahead = self.more().await?;
        }
        Ok(self.ahead.first().copied())
    }
}

/// How something begins that may be HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// With a method, and what it is about.
    Http1,
    /// With the preface of HTTP/2 (RFC 9113, section 3.4).
    Http2,
    /// Otherwise.
    Otherwise,
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest method that is waited for, in bytes.
const METHOD_LEN_MAX: usize = 64;

impl<S: AsyncRead + Unpin> Prefixed<S> {
    /// How it begins, as soon as that is known. What was read is read once more afterwards.
    pub(super) async fn begins(&mut self) -> io::Result<Begins> {
        loop {
            if let Some(begins) = begins(&self.ahead) {
                return Ok(begins);
            }
            let more = self.more().await?;
            if more.is_empty() {
                return Ok(Begins::Otherwise);
            }
            self.ahead = [&self.ahead[..], &more[..]].concat().into();
        }
    }
}

/// `None`: too little is there.
fn begins(text: &[u8]) -> Option<Begins> {
    let len = text.len().min(PREFACE.len());
    if text[..len] == PREFACE[..len] {
        return (len == PREFACE.len()).then_some(Begins::Http2);
    }
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = text.iter().take(METHOD_LEN_MAX).position(|byte| !is_token(byte));
    let Some(end) = end else { return (text.len() >= METHOD_LEN_MAX).then_some(Begins::Otherwise) };
    match text.get(end..) {
        Some([b' ']) if end > 0 => None,
        // A path, a URL, or the server itself (RFC 9112, section 3.2).
        Some([b' ', b'/' | b'h' | b'H' | b'*', ..]) if end > 0 => Some(Begins::Http1),
        _ => Some(Begins::Otherwise),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let len = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead[..len]);
        self.ahead.advance(len);
        if self.ahead.is_empty() {
            // A tunnel may live for long: the room is not kept.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_begins() {
        let table: [(&[u8], _); 11] = [
            (b"", None),
            (b"GE", None),
            (b"GET ", None),
            (b"GET /", Some(Begins::Http1)),
            (b"PROPFIND /", Some(Begins::Http1)),
            (b"PRI * HTTP/2.0\r\n", None),
            (PREFACE, Some(Begins::Http2)),
            (b"SSH-2.0-OpenSSH_9\r\n", Some(Begins::Otherwise)),
            (b"SSH-2.0-OpenSSH_9 Debian-1\r\n", Some(Begins::Otherwise)),
            (b" GET /", Some(Begins::Otherwise)),
            (&[b'A'; METHOD_LEN_MAX], Some(Begins::Otherwise)),
        ];
        for (text, wanted) in table {
            assert_eq!(begins(text), wanted, "{}", text.escape_ascii());
        }
    }
}
