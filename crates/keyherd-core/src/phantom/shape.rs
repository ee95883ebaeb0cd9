//! How a phantom looks: lead, marker, key and tail; and the profile's word for it.
//!
//! Never makes one: that is [`super::mint()`].

use std::fmt;
use std::sync::Arc;

/// The longest lead, in bytes. It bounds how far back of a marker is looked.
pub const LEAD_LEN_MAX: usize = 192;
/// The length of a phantom's random part as it stands in its text, in characters.
pub const KEY_LEN: usize = 28;
/// The longest phantom, in bytes. It bounds what a scanner keeps back at a buffer's edge.
pub const PHANTOM_LEN_MAX: usize = 768;

/// What all phantoms have in common: the base64 of [`MARK`], so that it stands in plain phantoms and, as base64, inside
/// of JWTs. It overlaps with nothing that it begins with, and is nowhere in common use.
pub(super) const MARKER: &str = "a2V5aHJk";
/// What [`MARKER`] says, for JWTs.
pub(super) const MARK: &str = "keyhrd";

/// What clients expect of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A prefix and an opaque rest.
    Plain {
        /// What it begins with; may be empty.
        lead: Box<str>,
    },
    /// A JWT that clients can take apart (RFC 7519). Carries no real claim.
    Jwt,
}

impl Shape {
    /// From a profile's `phantom_prefix`. JWTs begin with `eyJ`, the base64 of `{"`: a prefix that does asks for one.
    ///
    /// # Errors
    /// The prefix is too long, or holds what would be escaped somewhere.
    pub fn of_prefix(prefix: &str) -> Result<Self, BadPhantom> {
        if prefix.starts_with("eyJ") {
            return Ok(Self::Jwt);
        }
        if prefix.len() > LEAD_LEN_MAX || !prefix.bytes().all(is_plain) || prefix.contains(MARKER) {
            return Err(BadPhantom);
        }
        Ok(Self::Plain { lead: prefix.into() })
    }
}

/// A text that is no phantom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a phantom: a phantom is letters, digits or - . _ ~, with keyherd's marker and a key in it")]
pub struct BadPhantom;

/// A stand-in token: worthless outside the proxy, and yet the agent's own. `Debug` prints no key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phantom {
    text: Arc<str>,
    marker_at: usize,
}

impl Phantom {
    /// Takes a text apart.
    ///
    /// # Errors
    /// [`BadPhantom`].
    pub fn parse(text: &str) -> Result<Self, BadPhantom> {
        let marker_at = text.find(MARKER).ok_or(BadPhantom)?;
        let key = text.as_bytes().get(marker_at + MARKER.len()..).and_then(|rest| rest.get(..KEY_LEN));
        let fits = text.len() <= PHANTOM_LEN_MAX && marker_at <= LEAD_LEN_MAX && text.bytes().all(is_plain);
        match key {
            Some(key) if fits && key.iter().all(u8::is_ascii_alphanumeric) => {
                Ok(Self { text: text.into(), marker_at })
            }
            _ => Err(BadPhantom),
        }
    }

    /// All of it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What stands before the marker.
    pub fn lead(&self) -> &str {
        self.text.get(..self.marker_at).unwrap_or_default()
    }

    /// What it is found by.
    pub(super) fn key(&self) -> Key {
        let from = self.marker_at + MARKER.len();
        Key::of(self.text.as_bytes().get(from..).unwrap_or_default()).unwrap_or(Key([0; KEY_LEN]))
    }

    /// What stands behind the key.
    pub(super) fn tail(&self) -> &str {
        self.text.get(self.marker_at + MARKER.len() + KEY_LEN..).unwrap_or_default()
    }
}

impl fmt::Debug for Phantom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lead: String = self.lead().chars().take(16).collect();
        write!(f, "Phantom({lead}…)")
    }
}

/// A phantom's random part, as it stands in its text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; KEY_LEN]);

impl Key {
    /// The key that this begins with, if it does.
    pub(super) fn of(text: &[u8]) -> Option<Self> {
        let key = text.first_chunk::<KEY_LEN>()?;
        key.iter().all(u8::is_ascii_alphanumeric).then_some(Self(*key))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// What no place that a token may stand in escapes.
pub(super) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
