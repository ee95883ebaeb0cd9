//! A truststore that Java reads: PKCS #12 (RFC 7292) with certificates in the clear, and neither a password nor a MAC, since
//! nothing in it is secret and whoever could change it could change the program's variables too.
//!
//! Owns the encoding, all of DER that it needs. Never decides whom to trust.

use rustls_pki_types::CertificateDer;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OCTETS: u8 = 0x04;
const BMP_STRING: u8 = 0x1e;
/// An explicit tag, number 0.
const EXPLICIT: u8 = 0xa0;

/// 1.2.840.113549.1.7.1, `data`.
const DATA: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1];
/// 1.2.840.113549.1.12.10.1.3, `certBag`.
const CERT_BAG: &[u8] = &[0x06, 11, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 12, 10, 1, 3];
/// 1.2.840.113549.1.9.22.1, `x509Certificate`.
const X509: &[u8] = &[0x06, 10, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 22, 1];
/// 1.2.840.113549.1.9.20, `friendlyName`: entries are told apart by it.
const FRIENDLY_NAME: &[u8] = &[0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 20];
/// 2.16.840.1.113894.746875.1.1: Java trusts no certificate that lacks it.
const TRUSTED: &[u8] = &[0x06, 12, 0x60, 0x86, 0x48, 1, 0x86, 0xf9, 0x66, 0xad, 0xca, 0x7b, 1, 1];
/// 2.5.29.37.0, `anyExtendedKeyUsage`: trusted for whatever it says itself.
const ANY_USE: &[u8] = &[0x06, 4, 0x55, 0x1d, 0x25, 0];
const VERSION: &[u8] = &[0x02, 1, 3];

/// A truststore of these, in their order.
pub(super) fn of<'c>(trusted: impl IntoIterator<Item = CertificateDer<'c>>) -> Vec<u8> {
    let bags = trusted.into_iter().enumerate().map(|(number, certificate)| bag(number, &certificate));
    let bags = tagged(SEQUENCE, &[&bags.collect::<Vec<_>>().concat()]);
    let contents = tagged(SEQUENCE, &[&data(&bags)]);
    tagged(SEQUENCE, &[VERSION, &data(&contents)])
}

fn bag(number: usize, certificate: &CertificateDer<'_>) -> Vec<u8> {
    let value = tagged(SEQUENCE, &[X509, &explicit(&tagged(OCTETS, &[certificate]))]);
    let name: Vec<u8> = format!("root {number}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    let name = tagged(SEQUENCE, &[FRIENDLY_NAME, &tagged(SET, &[&tagged(BMP_STRING, &[&name])])]);
    let is_trusted = tagged(SEQUENCE, &[TRUSTED, &tagged(SET, &[ANY_USE])]);
    let mut attributes = [name, is_trusted];
    // As DER has its sets (X.690, section 11.6).
    attributes.sort();
    tagged(SEQUENCE, &[CERT_BAG, &explicit(&value), &tagged(SET, &[&attributes.concat()])])
}

fn data(content: &[u8]) -> Vec<u8> {
    tagged(SEQUENCE, &[DATA, &explicit(&tagged(OCTETS, &[content]))])
}

fn explicit(content: &[u8]) -> Vec<u8> {
    tagged(EXPLICIT, &[content])
}

/// Tag, length, content (X.690, section 8.1).
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match u8::try_from(len) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = len.to_be_bytes();
            let digits = bytes.iter().position(|byte| *byte != 0).and_then(|from| bytes.get(from..));
            let digits = digits.unwrap_or_default();
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or_default());
            out.extend_from_slice(digits);
        }
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_all_their_forms() {
        for (len, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (65_536, &[4, 0x83, 1, 0, 0]),
        ] {
            let content = vec![7; len];
            assert_eq!(tagged(OCTETS, &[&content]), [head, &content].concat(), "{len}");
        }
    }

    #[test]
    fn a_store_to_the_byte() {
        let store = of([CertificateDer::from(&[1, 2, 3][..])]);
        let hex: String = store.iter().map(|byte| format!("{byte:02x}")).collect();
        // By another encoder.
        let expected = concat!(
            "308187020103",                                               // the store, version 3
            "30818106092a864886f70d010701a0740472",                       // data
            "3070306e06092a864886f70d010701a061045f",                     // and data in it
            "305d305b060b2a864886f70d010c0a0103",                         // one bag
            "a0153013060a2a864886f70d01091601a0050403010203",             // a certificate
            "31353016060c6086480186f966adca7b010131060604551d2500",       // trusted for any use
            "301b06092a864886f70d010914310e1e0c0072006f006f007400200030", // "root 0"
        );
        assert_eq!(hex, expected);
    }
}
