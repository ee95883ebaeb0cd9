//! Percent-encoding (RFC 3986, section 2.1), undone. What is no such triplet stays as it is.

use std::borrow::Cow;

/// Without percent-encoding.
pub(crate) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, after @ ..] = rest {
        let digit = |at: usize| after.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        match (*first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high * 16 + low).unwrap_or_default());
                rest = after.get(2..).unwrap_or_default();
            }
            (byte, ..) => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    bytes.into()
}
