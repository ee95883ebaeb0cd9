//! A header's value as a phantom may stand in it: as it is, or inside of Basic credentials.
//!
//! git and many clients send a token as a password (RFC 7617); OAuth clients their secret (RFC 6749, section 2.3.1).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// A header's value, opened.
#[derive(Clone, PartialEq, Eq)]
pub struct HeaderText {
    scheme: Option<Box<str>>,
    text: Zeroizing<Vec<u8>>,
}

impl HeaderText {
    /// Opens a value. Basic credentials that cannot be read are taken as they are.
    pub fn open(value: &[u8]) -> Self {
        Self::of_basic(value).unwrap_or_else(|| Self { scheme: None, text: Zeroizing::new(value.to_vec()) })
    }

    fn of_basic(value: &[u8]) -> Option<Self> {
        let (scheme, rest) = std::str::from_utf8(value).ok()?.split_once(' ')?;
        let credentials = rest.trim_matches(' ');
        let text = BASE64.decode(credentials).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
        Some(Self { scheme: Some(scheme.into()), text: text.into() })
    }

    /// What it says: where phantoms are looked for.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// A value that says this instead.
    pub fn close(&self, text: &[u8]) -> Vec<u8> {
        match &self.scheme {
            None => text.to_vec(),
            Some(scheme) => [scheme.as_bytes(), b" ", BASE64.encode(text).as_bytes()].concat(),
        }
    }
}

impl std::fmt::Debug for HeaderText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeaderText({} bytes)", self.text.len())
    }
}
