//! Which headers pass, in either direction, and which end here.
//!
//! Owns the rules of RFC 9110, section 7.6.1, and what of a caller's own never goes upstream. Never adds a header that
//! tells of keyherd.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE};

use crate::order::Own;

/// Headers that are about one connection, and not about the message.
fn is_of_connection(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "transfer-encoding"
            | "upgrade"
            | "te"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
    )
}

/// Takes away what belongs to the caller's connection, and the keys that callers show to keyherd: where those end,
/// upstream gets one credential, ours.
pub(crate) fn strip_request(headers: &mut HeaderMap, own: Own) {
    let takes_trailers = strip(headers, |name| match name {
        "host" | "expect" => true,
        "authorization" | "x-api-key" => own == Own::End,
        _ => false,
    });
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes away what belongs to upstream's connection.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip(headers, |_| false);
}

/// The protocol that a message is about going on in: `websocket`, and no other. In `h2c` a caller would send requests
/// with the credential's connection that nobody here sees.
pub(crate) fn upgrade_wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_meant = || listed(headers, &CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    let is_known = |protocol: &&HeaderValue| protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    headers.get(UPGRADE).filter(is_known).filter(|_| is_meant()).cloned()
}

/// Says that a message is about going on in another protocol.
pub(crate) fn announce_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Whether a message's bytes are as its body has them: no transfer coding but `chunked`, which ends here. Nobody asks for
/// another one, and what has it would go on without a word of it.
pub(crate) fn is_as_it_stands(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(TRANSFER_ENCODING).into_iter();
    lines.all(|line| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    listed(headers, &TE).any(|word| word.eq_ignore_ascii_case("trailers"))
}

/// Takes away what is about the connection, and what else ends here. Whether the connection takes trailers.
fn strip(headers: &mut HeaderMap, ends_here: impl Fn(&str) -> bool) -> bool {
    let is_ending = |name: &&HeaderName| is_of_connection(name.as_str()) || ends_here(name.as_str());
    // One look at each: most have nothing to do with it, and asking for one that is not there costs as much.
    let ending: Vec<HeaderName> = headers.keys().filter(is_ending).cloned().collect();
    // Named there, any header is the connection's own.
    let named: Vec<HeaderName> = match ending.contains(&CONNECTION) {
        true => listed(headers, &CONNECTION).filter_map(|word| HeaderName::try_from(word).ok()).collect(),
        false => Vec::new(),
    };
    let takes_trailers = ending.contains(&TE) && wants_trailers(headers);
    for name in ending.into_iter().chain(named) {
        headers.remove(name);
    }
    takes_trailers
}

fn listed<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        lines.iter().map(pair).collect()
    }

    #[track_caller]
    fn check(strip: fn(&mut HeaderMap), lines: &[(&'static str, &'static str)], left: &str) {
        let mut headers = headers(lines);
        strip(&mut headers);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), left, "{lines:?}");
    }

    #[test]
    fn what_ends_here() {
        let ending = |headers: &mut HeaderMap| strip_request(headers, Own::End);
        let passing = |headers: &mut HeaderMap| strip_request(headers, Own::Pass);
        check(
            passing,
            &[("authorization", "Bearer k"), ("x-api-key", "k"), ("host", "h")],
            "authorization x-api-key",
        );
        check(ending, &[("authorization", "Bearer k"), ("accept", "a")], "accept");
        check(ending, &[("x-api-key", "k"), ("host", "h"), ("expect", "100-continue")], "");
        check(ending, &[("connection", "X-One, close"), ("x-one", "1"), ("x-two", "2")], "x-two");
        check(ending, &[("te", "trailers, deflate"), ("connection", "te")], "te");
        check(ending, &[("te", "deflate"), ("proxy-authorization", "Basic k")], "");
        check(ending, &[("upgrade", "h2c"), ("http2-settings", "x"), ("keep-alive", "5")], "");
        check(strip_response, &[("transfer-encoding", "chunked"), ("x-api-key", "theirs")], "x-api-key");
        check(
            strip_response,
            &[("connection", "close"), ("trailer", "x"), ("set-cookie", "a")],
            "set-cookie trailer",
        );
    }

    #[test]
    fn what_has_a_transfer_coding() {
        for (value, expected) in
            [("chunked", true), ("Chunked ", true), ("gzip, chunked", false), ("gzip", false)]
        {
            assert_eq!(is_as_it_stands(&headers(&[("transfer-encoding", value)])), expected, "{value}");
        }
        assert!(is_as_it_stands(&HeaderMap::new()));
    }

    #[test]
    fn what_wants_to_go_on() {
        let check = |lines: &[(&'static str, &'static str)], expected: Option<&'static str>| {
            assert_eq!(upgrade_wanted(&headers(lines)), expected.map(HeaderValue::from_static), "{lines:?}");
        };
        check(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")], Some("websocket"));
        check(&[("connection", "upgrade"), ("upgrade", "WebSocket")], Some("WebSocket"));
        check(&[("upgrade", "websocket")], None);
        check(&[("connection", "upgrade"), ("upgrade", "h2c")], None);
        check(&[("connection", "upgrade"), ("upgrade", "h2c, websocket")], None);
        check(&[("connection", "upgrade")], None);
    }
}
