//! Content codings (RFC 9110, section 8.4.1; zstd: RFC 8878), undone in memory within a bound.
//!
//! Owns the decoders. Never asks a server for a coding: none is wanted, some come all the same.

use async_compression::tokio::bufread::{
    BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder,
};
use async_compression::zstd::DParameter;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use super::body::Bounded;

/// The largest window a zstd body may ask for: 8 MiB, as RFC 9659 fixes it for HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

const CHUNK_LEN: usize = 8_192;

/// One content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// What became of the undoing.
pub(super) enum Decoded {
    Complete(Zeroizing<Vec<u8>>),
    TooLarge,
    Broken,
}

impl Coding {
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(super) async fn undo(self, encoded: &[u8], len_max: usize) -> Decoded {
        match self {
            // An answer to a HEAD-like request, or a sloppy server: nothing is nothing in any coding.
            _ if encoded.is_empty() => Decoded::Complete(Zeroizing::default()),
            Self::Gzip => drain(GzipDecoder::new(encoded), len_max).await,
            Self::Deflate if is_zlib(encoded) => drain(ZlibDecoder::new(encoded), len_max).await,
            Self::Deflate => drain(DeflateDecoder::new(encoded), len_max).await,
            Self::Brotli => drain(BrotliDecoder::new(encoded), len_max).await,
            Self::Zstd => {
                let window = DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX);
                drain(ZstdDecoder::with_params(encoded, &[window]), len_max).await
            }
        }
    }
}

/// `deflate` means zlib's frame, but some servers leave it out. Its first two bytes tell (RFC 1950, section 2.2).
fn is_zlib(encoded: &[u8]) -> bool {
    matches!(encoded, [cmf, flags, ..] if cmf & 0x0f == 8 && (u16::from(*cmf) << 8 | u16::from(*flags)) % 31 == 0)
}

async fn drain(mut decoder: impl AsyncRead + Unpin, len_max: usize) -> Decoded {
    let mut bytes = Bounded::new(len_max);
    let mut chunk = Zeroizing::new(vec![0; CHUNK_LEN]);
    loop {
        match decoder.read(&mut chunk).await {
            Ok(0) => return Decoded::Complete(bytes.into_inner()),
            Ok(len) if bytes.push(&chunk[..len]).is_err() => return Decoded::TooLarge,
            Ok(_) => {}
            Err(_) => return Decoded::Broken,
        }
    }
}
