//! Where in a message a token stands, and how a secret is written there.
//!
//! Owns encoding. Reading what is encoded is [`super::scan`]'s.

use std::borrow::Cow;
use std::fmt::Write;

/// Where a token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// A header's value (RFC 9110, section 5.5).
    Header,
    /// A path (RFC 3986, section 3.3).
    Path,
    /// A query (RFC 3986, section 3.4).
    Query,
    /// A form (`application/x-www-form-urlencoded`).
    Form,
    /// JSON (RFC 8259): a token stands in one of its strings.
    Json,
    /// Any other text: as it is.
    Text,
}

/// A secret that cannot stand in that place, however it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the secret holds a control character, which no header may")]
pub struct Unfit;

impl Place {
    /// Where a body's tokens stand, by its media type. `None`: not text, or in frames of its own, and left alone.
    pub fn of_media_type(media_type: &str) -> Option<Self> {
        let essence = essence(media_type);
        let (kind, subtype) = essence.split_once('/')?;
        match (kind, subtype) {
            ("application", "x-www-form-urlencoded") => Some(Self::Form),
            ("application", grpc) if grpc.starts_with("grpc") => None,
            // Server-sent events hold JSON, nearly always; where they do not, reading its escapes does no harm.
            ("text", "event-stream") => Some(Self::Json),
            _ if is_json(subtype) => Some(Self::Json),
            ("text" | "multipart", _)
            | ("application", "xml" | "graphql" | "javascript" | "yaml" | "jwt") => Some(Self::Text),
            _ if subtype.ends_with("+xml") || subtype.ends_with("+yaml") => Some(Self::Text),
            _ => None,
        }
    }

    /// Whether no text is in a body of that media type, for certain: pictures, sound and the like, and frames of gRPC.
    pub fn is_never_in(media_type: &str) -> bool {
        let essence = essence(media_type);
        let (kind, subtype) = essence.split_once('/').unwrap_or_default();
        (matches!(kind, "image" | "audio" | "video" | "font" | "model") || subtype.starts_with("grpc"))
            && Self::of_media_type(&essence).is_none()
    }

    /// Writes a secret as this place wants it.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn write(self, secret: &str, into: &mut Vec<u8>) -> Result<(), Unfit> {
        match self {
            Self::Header if secret.bytes().any(|byte| byte.is_ascii_control()) => return Err(Unfit),
            Self::Header | Self::Text => into.extend_from_slice(secret.as_bytes()),
            Self::Path | Self::Query | Self::Form => write_percent(secret, into),
            Self::Json => write_json(secret, into),
        }
        Ok(())
    }

    pub(super) fn escapes(self) -> Escapes {
        match self {
            Self::Header | Self::Text => Escapes::None,
            Self::Path | Self::Query | Self::Form => Escapes::Percent,
            Self::Json => Escapes::Json,
        }
    }
}

/// A media type without its parameters, in lower case.
fn essence(media_type: &str) -> Cow<'_, str> {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return essence.to_ascii_lowercase().into();
    }
    essence.into()
}

/// JSON by another name: suffixed (RFC 6839), or one text a line.
fn is_json(subtype: &str) -> bool {
    const NAMES: [&str; 6] = ["json", "x-ndjson", "ndjson", "jsonl", "x-json", "json-seq"];
    subtype.ends_with("+json") || NAMES.contains(&subtype)
}

/// How characters may be written other than as themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Escapes {
    /// Not at all.
    None,
    /// `%` and two hexadecimal digits.
    Percent,
    /// `\` and a character, or `\u` and four hexadecimal digits.
    Json,
}

/// What stands where an escape may begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// So many bytes that mean this one.
    Whole(u8, usize),
    /// The buffer ends within it.
    Cut,
}

/// Stands for every character that no token has in it.
const FOREIGN: u8 = 0;

impl Escapes {
    /// The byte that an escape begins with.
    pub(super) fn intro(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Percent => Some(b'%'),
            Self::Json => Some(b'\\'),
        }
    }

    /// The unit at the beginning of `text`, which begins with the intro. What is no valid escape is never longer than
    /// its first valid part, so that no unit swallows another's intro.
    pub(super) fn unit(self, text: &[u8]) -> Unit {
        match (self, text.get(1)) {
            (Self::None, _) => Unit::Whole(text.first().copied().unwrap_or(FOREIGN), 1),
            (_, None) => Unit::Cut,
            (Self::Percent, Some(_)) => percent(text),
            (Self::Json, Some(b'u')) => unicode(text),
            (Self::Json, Some(byte @ (b'"' | b'\\' | b'/'))) => Unit::Whole(*byte, 2),
            (Self::Json, Some(_)) => Unit::Whole(FOREIGN, 2),
        }
    }
}

fn percent(text: &[u8]) -> Unit {
    match (text.get(1).map(|digit| hex(*digit)), text.get(2).map(|digit| hex(*digit))) {
        (Some(Some(high)), Some(Some(low))) => Unit::Whole(high << 4 | low, 3),
        (Some(Some(_)), None) => Unit::Cut,
        _ => Unit::Whole(b'%', 1),
    }
}

fn unicode(text: &[u8]) -> Unit {
    let digits = text.get(2..text.len().min(6)).unwrap_or_default();
    let value = digits.iter().try_fold(0_u16, |value, digit| Some(value << 4 | u16::from(hex(*digit)?)));
    match value {
        None => Unit::Whole(FOREIGN, 2),
        Some(_) if digits.len() < 4 => Unit::Cut,
        Some(value) => Unit::Whole(u8::try_from(value).ok().filter(u8::is_ascii).unwrap_or(FOREIGN), 6),
    }
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Everything but the unreserved characters (RFC 3986, section 2.3) as `%XX`; right in paths, queries and forms alike.
pub(super) fn write_percent(text: &str, into: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if super::shape::is_plain(byte) {
            into.push(byte);
        } else {
            into.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

fn write_json(text: &str, into: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '"' => into.extend_from_slice(br#"\""#),
            '\\' => into.extend_from_slice(br"\\"),
            control if control < ' ' => {
                let mut escape = String::new();
                // Writing to a String cannot fail.
                let _ = write!(escape, "\\u{:04x}", u32::from(control));
                into.extend_from_slice(escape.as_bytes());
            }
            other => into.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}
