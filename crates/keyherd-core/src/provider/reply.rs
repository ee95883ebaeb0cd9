//! A token endpoint's answer, as far as it came.
//!
//! Owns the shape in which an adapter hands an answer over: bounded, decoded, and honest about what is missing.
//! Never says what it means, and never prints its body.

use std::fmt;

use zeroize::Zeroizing;

/// One HTTP answer of a token endpoint. `Debug` shows no part of the body.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status. Redirects are not followed: they stand here as they came.
    pub status: u16,
    /// The `Content-Type` header, if it is text.
    pub content_type: Option<String>,
    /// The `Retry-After` header, if it is text.
    pub retry_after: Option<String>,
    /// The body, or why there is none.
    pub body: Body,
}

/// What became of a body.
#[derive(Clone)]
pub enum Body {
    /// Complete and decoded.
    Bytes(Zeroizing<Vec<u8>>),
    /// The connection ended before it did.
    Truncated,
    /// Longer, encoded or decoded, than the bound.
    TooLarge,
    /// In a content coding that could not be undone.
    Undecodable,
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Zeroizing::new(bytes))
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Truncated => f.write_str("Truncated"),
            Self::TooLarge => f.write_str("TooLarge"),
            Self::Undecodable => f.write_str("Undecodable"),
        }
    }
}
