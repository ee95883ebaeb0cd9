//! A token that stood in a query, coming back in an answer's headers: redirects repeat the address they are about.
//!
//! Owns what of such a header still passes. Never looks into a body.

use http::header::{CONTENT_LOCATION, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, REFRESH};
use memchr::memmem;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::percent;

/// Headers that name addresses: these pass without the parameter, any other one that holds the token does not pass.
const OF_ADDRESSES: [HeaderName; 4] = [LOCATION, CONTENT_LOCATION, LINK, REFRESH];

/// Takes a parameter out of every address, and every header that holds its value nonetheless.
pub(super) fn withhold(headers: &mut HeaderMap, parameter: &str, token: &str) {
    for name in &OF_ADDRESSES {
        let values: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
        if values.iter().all(|value| without(value.as_bytes(), parameter).is_none()) {
            continue;
        }
        headers.remove(name);
        for value in values {
            let bytes = without(value.as_bytes(), parameter).unwrap_or_else(|| value.as_bytes().to_vec());
            headers.extend(HeaderValue::from_bytes(&bytes).ok().map(|value| (name.clone(), value)));
        }
    }
    let holders: Vec<HeaderName> =
        headers.iter().filter(|(_, value)| holds(value, token)).map(|(name, _)| name.clone()).collect();
    for name in holders {
        tracing::debug!(header = %name, "an answer's header repeats the injected token, and does not pass");
        headers.remove(name);
    }
}

/// The same text without the pairs of that name. `None`: there is none.
fn without(text: &[u8], parameter: &str) -> Option<Vec<u8>> {
    let mut left = Vec::with_capacity(text.len());
    let mut is_changed = false;
    // The mark of a first pair that was taken out: the next one stands behind it.
    let mut owed = None;
    for piece in text.chunk_by(|_, next| !is_border(*next)) {
        let Some((border, pair)) = piece.split_first() else { continue };
        let is_behind_mark = matches!(border, b'?' | b'&' | b'#');
        if is_behind_mark && is_of(pair, parameter) {
            is_changed = true;
            owed = if *border == b'&' { owed } else { Some(*border) };
            continue;
        }
        let owed = owed.take().filter(|_| *border == b'&');
        left.push(owed.unwrap_or(*border));
        left.extend_from_slice(pair);
    }
    is_changed.then_some(left)
}

/// Where a pair ends, or another one begins: in an address, or around it.
fn is_border(byte: u8) -> bool {
    matches!(byte, b'?' | b'&' | b'#' | b'>' | b'"' | b'\'' | b' ' | b'\t')
}

fn is_of(pair: &[u8], parameter: &str) -> bool {
    form_urlencoded::parse(pair).next().is_some_and(|(name, _)| name == parameter)
}

/// Whether the token stands in it, as it is or in percent-encoding, whoever wrote that.
fn holds(value: &HeaderValue, token: &str) -> bool {
    let finds = |text: &[u8]| memmem::find(text, token.as_bytes()).is_some();
    let bytes = value.as_bytes();
    let decoded = || Zeroizing::new(percent::decoded(bytes).into_owned());
    !token.is_empty() && (finds(bytes) || (bytes.contains(&b'%') && finds(&decoded())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &'static str, value: &'static str, expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        headers.append(name, HeaderValue::from_static("https://x/?y=z"));
        headers.append(name, HeaderValue::from_static(value));
        withhold(&mut headers, "key", "se/cret");
        let left: Vec<&str> = headers.get_all(name).iter().map(|v| v.to_str().expect("is text")).collect();
        let expected: Vec<&str> = expected.map_or(Vec::new(), |value| vec!["https://x/?y=z", value]);
        assert_eq!(left, expected, "{name}: {value}");
    }

    #[test]
    fn addresses_pass_without_it() {
        let location = |value, expected| check("location", value, Some(expected));
        location("/v1/x/?key=se%2Fcret", "/v1/x/");
        location("/x?key=se%2fcret&a=1#part", "/x?a=1#part");
        location("/x?a=1&key=se/cret&b=2", "/x?a=1&b=2");
        location("/x?key=se%2Fcret&k%65y=two&a", "/x?a");
        location("/x?key=se%2Fcret#key=se%2Fcret&b", "/x#b");
        location("/x?keys=1&a=key", "/x?keys=1&a=key");
        check("link", "</?page=2&key=se%2Fcret>; rel=\"next\"", Some("</?page=2>; rel=\"next\""));
        check("refresh", "0; url='/?key=se%2Fcret'", Some("0; url='/'"));
        check("content-location", "/?key", Some("/"));
    }

    #[test]
    fn what_holds_it_otherwise_does_not_pass() {
        check("location", "/again/se%2Fcret", None);
        check("x-asked", "GET /?key=se/cret", None);
        check("set-cookie", "last=%73e%2fcret; path=/", None);
        check("x-asked", "GET /?key=another", Some("GET /?key=another"));
    }
}
