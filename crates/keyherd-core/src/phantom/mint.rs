//! Making phantoms: random, and shaped as their clients expect.
//!
//! Entropy and signing are ports. Never keeps what it made.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

use super::shape::{BadPhantom, KEY_LEN, MARK, MARKER, Phantom, Shape};
use crate::ports::{Entropy, TokenSigner};
use crate::time::Timestamp;

/// How many random characters a JWT's id has. In base64 their beginning is the phantom's key.
const JWT_ID_LEN: usize = 27;
/// How many bytes are asked for at once: a few more than a phantom needs.
const DRAW_LEN: usize = 40;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a synthetic JWT says of itself: times only, so that clients take it for alive. Nothing of the real token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claims {
    /// When it was made.
    pub issued_at: Timestamp,
    /// When clients may think that it ends. A phantom does not end, it is revoked: take it far away.
    pub expires_at: Timestamp,
}

/// A new phantom.
///
/// # Errors
/// [`BadPhantom`]: the signer's words make it longer than a phantom may be.
pub fn mint(
    shape: &Shape,
    claims: Claims,
    entropy: &dyn Entropy,
    signer: &dyn TokenSigner,
) -> Result<Phantom, BadPhantom> {
    match shape {
        Shape::Plain { lead } => Phantom::parse(&[lead, MARKER, &random_text::<KEY_LEN>(entropy)].concat()),
        Shape::Jwt => Phantom::parse(&jwt(claims, &random_text::<JWT_ID_LEN>(entropy), signer)),
    }
}

/// A JWS in compact form (RFC 7515, section 7.1). The id comes first and at a multiple of three bytes, hence the
/// space: so the marker and the key stand in the base64 as they are.
fn jwt(claims: Claims, id: &str, signer: &dyn TokenSigner) -> String {
    let header = format!(r#"{{"alg":"{}","typ":"JWT","kid":"{}"}}"#, signer.algorithm(), signer.key_id());
    let (issued, expires) = (seconds(claims.issued_at), seconds(claims.expires_at));
    let payload =
        format!(r#"{{"jti": "{MARK}{id}","iss":"keyherd","sub":"phantom","iat":{issued},"exp":{expires}}}"#);
    let message = format!("{}.{}", BASE64.encode(header), BASE64.encode(payload));
    let signature = BASE64.encode(signer.sign(message.as_bytes()));
    format!("{message}.{signature}")
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis().div_euclid(1_000)
}

/// Characters drawn evenly: bytes beyond the last whole multiple of the alphabet are drawn anew.
fn random_text<const LEN: usize>(entropy: &dyn Entropy) -> String {
    let even = u8::MAX - u8::MAX % 62;
    let mut text = String::with_capacity(LEN);
    while text.len() < LEN {
        let mut bytes = [0; DRAW_LEN];
        entropy.fill(&mut bytes);
        let drawn = bytes.iter().filter(|byte| **byte < even);
        let drawn =
            drawn.filter_map(|byte| ALPHABET.get(usize::from(byte % 62))).map(|byte| char::from(*byte));
        text.extend(drawn.take(LEN - text.len()));
    }
    text
}
