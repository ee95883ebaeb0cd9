//! An encoded body, decoded as it streams, within bounds of length and ratio.
//!
//! Owns the content codings (RFC 9110, section 8.4.1). A body that grows beyond its bounds, or is not in its coding, ends
//! with an error. Never buffers more than a step.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body::{Body, Frame};
use tokio::io::{AsyncBufRead, AsyncRead, BufReader, ReadBuf};

use crate::body::Turn;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Codings one over the other, at most.
const CODINGS_MAX: usize = 3;
/// The largest window of a zstd text: 8 MiB (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What one step decodes at most, in bytes.
const STEP_LEN: usize = 16 * 1_024;

/// Bounds of decoding. Each is a configuration value of the same name.
#[derive(Debug, Clone, Copy)]
pub struct DecodeLimits {
    /// The longest decoded body, in bytes. Default 4 GiB.
    pub decoded_len_max: u64,
    /// How many times longer than what came it may be. Default 100.
    pub decoded_ratio_max: u64,
    /// Up to which length the ratio does not matter, in bytes. Default 64 MiB: what passes is not kept.
    pub decoded_slack: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { decoded_len_max: 4 << 30, decoded_ratio_max: 100, decoded_slack: 64 << 20 }
    }
}

/// A body without its codings. Its trailers end here.
pub struct Decoded {
    text: Pin<Box<dyn AsyncRead + Send>>,
    come: Arc<AtomicU64>,
    made: u64,
    /// Of what was made: little may become much.
    turn: Turn,
    limits: DecodeLimits,
    has_ended: bool,
}

/// Whether a body has codings. `Err`: some that nobody here can undo.
pub(super) fn codings(headers: &HeaderMap) -> Result<Vec<String>, ()> {
    let mut all = Vec::new();
    for line in headers.get_all(CONTENT_ENCODING) {
        let words = line.to_str().map_err(|_| ())?.split(',').map(str::trim);
        all.extend(words.filter(|word| !word.is_empty()).map(str::to_ascii_lowercase));
    }
    all.retain(|coding| coding != "identity");
    let is_known = |coding: &String| matches!(&**coding, "gzip" | "x-gzip" | "deflate" | "br" | "zstd");
    if all.len() <= CODINGS_MAX && all.iter().all(is_known) { Ok(all) } else { Err(()) }
}

impl Decoded {
    /// Takes codings off a body, the last one first.
    pub(super) fn new<B>(body: B, codings: &[String], limits: DecodeLimits) -> Self
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Error>,
    {
        let come = Arc::new(AtomicU64::new(0));
        let raw = Raw { body, ahead: Bytes::new(), come: Arc::clone(&come) };
        let mut text: Pin<Box<dyn AsyncRead + Send>> = match codings.split_last() {
            None => Box::pin(raw),
            Some((last, _)) => undone(last, raw),
        };
        for coding in codings.iter().rev().skip(1) {
            text = undone(coding, BufReader::with_capacity(STEP_LEN, text));
        }
        Self { text, come, made: 0, turn: Turn::default(), limits, has_ended: false }
    }

    fn is_within(&self) -> bool {
        let ratio = self.come.load(Ordering::Relaxed).saturating_mul(self.limits.decoded_ratio_max);
        self.made <= self.limits.decoded_len_max && self.made <= ratio.max(self.limits.decoded_slack)
    }
}

fn undone<R: AsyncBufRead + Send + Unpin + 'static>(
    coding: &str,
    coded: R,
) -> Pin<Box<dyn AsyncRead + Send>> {
    Box::pin(Coded::Unread(Some(coded), Coding::of(coding)))
}

impl Body for Decoded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        ready!(self.turn.poll(cx));
        let mut step = [0; STEP_LEN];
        let mut buffer = ReadBuf::new(&mut step);
        let read = ready!(self.text.as_mut().poll_read(cx, &mut buffer));
        let text = buffer.filled();
        self.made = self.made.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
        self.has_ended = text.is_empty();
        if let Err(error) = read {
            self.has_ended = true;
            return Poll::Ready(Some(Err(error.into())));
        }
        if !self.is_within() {
            self.has_ended = true;
            return Poll::Ready(Some(Err("the answer grows beyond what is decoded of one".into())));
        }
        if text.is_empty() {
            return Poll::Ready(None);
        }
        let text = Bytes::copy_from_slice(text);
        self.turn.passes(Some(&text));
        Poll::Ready(Some(Ok(Frame::data(text))))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended
    }
}

/// A body's bytes as they came, counted.
struct Raw<B> {
    body: B,
    ahead: Bytes,
    come: Arc<AtomicU64>,
}

impl<B> AsyncBufRead for Raw<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        while this.ahead.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => break,
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                Some(Ok(frame)) => {
                    this.ahead = frame.into_data().unwrap_or_default();
                    let len = u64::try_from(this.ahead.len()).unwrap_or(u64::MAX);
                    this.come.fetch_add(len, Ordering::Relaxed);
                }
            }
        }
        Poll::Ready(Ok(&this.ahead))
    }

    fn consume(mut self: Pin<&mut Self>, len: usize) {
        self.ahead.advance(len);
    }
}

impl<B> AsyncRead for Raw<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Error>,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let here = ready!(self.as_mut().poll_fill_buf(cx))?;
        let len = here.len().min(buffer.remaining());
        buffer.put_slice(&here[..len]);
        self.consume(len);
        Poll::Ready(Ok(()))
    }
}

/// A coding, chosen when its first byte has come: nothing at all is an empty text in every coding, as of answers that have no
/// body (RFC 9110, section 6.4.1).
enum Coded<R> {
    Unread(Option<R>, Coding),
    Read(Pin<Box<dyn AsyncRead + Send>>),
}

/// What was done to a text.
#[derive(Debug, Clone, Copy)]
enum Coding {
    Gzip,
    Brotli,
    Zstd,
    Deflate,
}

impl<R: AsyncBufRead + Send + Unpin + 'static> AsyncRead for Coded<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match &mut *self {
                Self::Read(text) => return text.as_mut().poll_read(cx, buffer),
                Self::Unread(None, _) => return Poll::Ready(Ok(())),
                Self::Unread(Some(coded), coding) => {
                    let coding = *coding;
                    let Some(first) = ready!(Pin::new(coded).poll_fill_buf(cx))?.first().copied() else {
                        *self = Self::Unread(None, coding);
                        continue;
                    };
                    if let Self::Unread(Some(coded), _) =
                        std::mem::replace(&mut *self, Self::Unread(None, coding))
                    {
                        *self = Self::Read(coding.undone(first, coded));
                    }
                }
            }
        }
    }
}

impl Coding {
    fn of(name: &str) -> Self {
        match name {
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            "deflate" => Self::Deflate,
            _ => Self::Gzip,
        }
    }

    /// `deflate` is zlib's frame (RFC 1950); some send it bare (RFC 1951). The first byte tells: in zlib's, its low half is 8.
    fn undone<R: AsyncBufRead + Send + 'static>(self, first: u8, coded: R) -> Pin<Box<dyn AsyncRead + Send>> {
        match self {
            Self::Brotli => Box::pin(BrotliDecoder::new(coded)),
            Self::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
                let mut decoder = ZstdDecoder::with_params(coded, &[window]);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Self::Deflate if first & 0x0f == 8 => Box::pin(ZlibDecoder::new(coded)),
            Self::Deflate => Box::pin(DeflateDecoder::new(coded)),
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(coded);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use async_compression::tokio::write::GzipEncoder;
    use http_body_util::Full;
    use tokio::io::AsyncWriteExt;
    use tokio::task::unconstrained;

    use super::*;

    #[tokio::test]
    async fn what_little_becomes_passes_in_turns() {
        const LEN: usize = 4 * 1024 * 1024;
        let mut encoder = GzipEncoder::new(Vec::new());
        encoder.write_all(&vec![0; LEN]).await.expect("is in memory");
        encoder.shutdown().await.expect("is in memory");
        let body = Full::new(Bytes::from(encoder.into_inner()));
        let mut text = Decoded::new(body, &["gzip".to_owned()], DecodeLimits::default());
        let passed = unconstrained(async {
            let mut passed = 0;
            while let Poll::Ready(Some(part)) =
                Pin::new(&mut text).poll_frame(&mut Context::from_waker(Waker::noop()))
            {
                passed += part.expect("is whole").data_ref().map_or(0, Bytes::len);
            }
            passed
        });
        let passed = passed.await;
        assert!((1..LEN / 4).contains(&passed), "{passed} bytes in one turn");
    }
}
