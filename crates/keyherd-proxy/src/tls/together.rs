//! The end of a handshake leaves with what comes after it.
//!
//! After an agent's last message nothing is left to be said but the ticket with which it may come back (RFC 8446, section
//! 4.6.1). A packet of its own would wake the agent, which waits for its answer, for nothing. Owns that only this is held
//! back: a handshake's own messages are not, and once the connection is open nothing is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

/// The first byte of a record that is encrypted (RFC 8446, section 5.2). A flight of a handshake begins with one that is not.
const ENCRYPTED: u8 = 23;

/// See the module.
#[derive(Debug)]
pub struct Together<S> {
    stream: S,
    /// What leaves with the next bytes.
    held: Vec<u8>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Hands are shaken, and we spoke last.
    Spoken,
    /// The other side did.
    Heard,
    Open,
}

impl<S> Together<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, held: Vec::new(), stage: Stage::Heard }
    }

    /// The handshake is over.
    pub(super) fn open(&mut self) {
        self.stage = Stage::Open;
    }
}

impl<S: AsyncWrite + Unpin> Together<S> {
    /// It failed: what was held is why.
    pub(super) async fn give_up(mut self) {
        let _gone = self.stream.write_all(&self.held).await;
    }

    fn hold(&mut self, slices: &[IoSlice<'_>]) -> usize {
        let before = self.held.len();
        slices.iter().for_each(|slice| self.held.extend_from_slice(slice));
        self.held.len() - before
    }

    /// What is held, and these. How many of these.
    fn poll_both(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        while !self.held.is_empty() {
            let all: Vec<_> = [&self.held[..]]
                .into_iter()
                .chain(slices.iter().map(|slice| &**slice))
                .map(IoSlice::new)
                .collect();
            let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, &all))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            match written.checked_sub(self.held.len()) {
                None => drop(self.held.drain(..written)),
                Some(rest) => {
                    self.held = Vec::new();
                    if rest > 0 {
                        return Poll::Ready(Ok(rest));
                    }
                }
            }
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Together<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.stage == Stage::Spoken && read.is_ready() {
            self.stage = Stage::Heard;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Together<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find_map(|slice| slice.first());
        match self.stage {
            Stage::Heard if first == Some(&ENCRYPTED) => return Poll::Ready(Ok(self.hold(slices))),
            Stage::Heard => self.stage = Stage::Spoken,
            Stage::Spoken | Stage::Open => {}
        }
        self.poll_both(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};

    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;

    const HANDSHAKE: u8 = 22;

    /// Both ends, after the other's first message was heard and `answered` was said to it.
    async fn shaking(answered: &[u8]) -> (Together<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1_024);
        let mut ours = Together::new(ours);
        ours.write_all(answered).await.expect("is open");
        (ours, theirs)
    }

    async fn heard(ours: &mut Together<DuplexStream>, theirs: &mut DuplexStream) {
        theirs.write_all(b"x").await.expect("is open");
        ours.read_u8().await.expect("is open");
    }

    /// All that came until the end.
    async fn told(ours: Together<DuplexStream>, mut theirs: DuplexStream) -> Vec<u8> {
        drop(ours);
        let mut told = Vec::new();
        theirs.read_to_end(&mut told).await.expect("ends");
        told
    }

    #[tokio::test]
    async fn what_ends_a_handshake_leaves_with_what_comes_next() {
        let (mut ours, mut theirs) = shaking(&[HANDSHAKE, 1]).await;
        heard(&mut ours, &mut theirs).await;
        assert_eq!(ours.write(&[ENCRYPTED, 2]).await.expect("is open"), 2);
        ours.flush().await.expect("is open");
        ours.open();
        let mut before = [0; 2];
        theirs.read_exact(&mut before).await.expect("is open");
        assert_eq!(before, [HANDSHAKE, 1]);
        let mut next = std::pin::pin!(theirs.read_u8());
        let is_held = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx).is_pending())).await;
        assert!(is_held);
        ours.write_all(&[ENCRYPTED, 3]).await.expect("is open");
        ours.write_all(&[ENCRYPTED, 4]).await.expect("is open");
        assert_eq!(told(ours, theirs).await, [ENCRYPTED, 2, ENCRYPTED, 3, ENCRYPTED, 4]);
    }

    #[tokio::test]
    async fn what_the_other_side_waits_for_is_not_held() {
        // A flight that is written in parts; another hello that was asked for; TLS 1.2, whose last word is ours.
        let (mut ours, mut theirs) = shaking(&[HANDSHAKE, 1]).await;
        ours.write_all(&[ENCRYPTED, 2]).await.expect("is open");
        heard(&mut ours, &mut theirs).await;
        ours.write_all(&[HANDSHAKE, 3]).await.expect("is open");
        ours.write_all(&[ENCRYPTED, 4]).await.expect("is open");
        heard(&mut ours, &mut theirs).await;
        ours.open();
        ours.write_all(&[ENCRYPTED, 5]).await.expect("is open");
        let wanted = [HANDSHAKE, 1, ENCRYPTED, 2, HANDSHAKE, 3, ENCRYPTED, 4, ENCRYPTED, 5];
        assert_eq!(told(ours, theirs).await, wanted);
    }

    #[tokio::test]
    async fn why_a_handshake_failed_is_told() {
        let (mut ours, mut theirs) = shaking(&[HANDSHAKE, 1]).await;
        heard(&mut ours, &mut theirs).await;
        ours.write_all(&[ENCRYPTED, 2]).await.expect("is open");
        ours.give_up().await;
        let mut told = Vec::new();
        theirs.read_to_end(&mut told).await.expect("ends");
        assert_eq!(told, [HANDSHAKE, 1, ENCRYPTED, 2]);
    }
}
