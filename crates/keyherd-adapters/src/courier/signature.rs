//! How a webhook's messages are signed: so that who gets one knows that it is ours, and new.

use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderName, HeaderValue};
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;
use sha2::Sha256;

/// `t=SECONDS,v1=HEX`: when it was signed, in seconds since 1970, and HMAC-SHA-256 over `SECONDS.BODY` with the channel's
/// signing key, in lower-case hexadecimal. A try that is made again is signed anew.
pub const SIGNATURE_HEADER: HeaderName = HeaderName::from_static("keyherd-signature");

/// The header's value.
pub(super) fn sign(key: &Secret, at: Timestamp, body: &[u8]) -> Option<HeaderValue> {
    use std::fmt::Write;
    let seconds = at.as_millis().div_euclid(1_000);
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes()).ok()?;
    mac.update(format!("{seconds}.").as_bytes());
    mac.update(body);
    let mut text = format!("t={seconds},v1=");
    for byte in mac.finalize().into_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    HeaderValue::from_str(&text).ok()
}
