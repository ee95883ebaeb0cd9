//! Which headers pass, in either direction, and which end here.
//!
//! Owns the rules of RFC 9110, section 7.6.1, and what of a caller's own never goes upstream. Never adds a header that
//! tells of keyherd.

use http::header::{
    AUTHORIZATION, CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};

use crate::order::Own;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Headers that are about one connection, and not about the message.
const OF_CONNECTION: [HeaderName; 9] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HTTP2_SETTINGS,
];

/// Takes away what belongs to the caller's connection, and the keys that callers show to keyherd: where those end,
/// upstream gets one credential, ours.
pub(crate) fn strip_request(headers: &mut HeaderMap, own: Own) {
    let takes_trailers = wants_trailers(headers);
    strip_connection(headers);
    for name in [HOST, EXPECT] {
        headers.remove(name);
    }
    if own == Own::End {
        headers.remove(AUTHORIZATION);
        headers.remove(X_API_KEY);
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

/// Takes away what belongs to upstream's connection.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    strip_connection(headers);
}

/// The protocol that a message is about going on in: `websocket`, and no other. In `h2c` a caller would send requests
/// with the credential's connection that nobody here sees.
pub(crate) fn upgrade_wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_meant = listed(headers, &CONNECTION).any(|word| word.eq_ignore_ascii_case("upgrade"));
    let is_known = |protocol: &&HeaderValue| protocol.as_bytes().eq_ignore_ascii_case(b"websocket");
    headers.get(UPGRADE).filter(|_| is_meant).filter(is_known).cloned()
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

fn strip_connection(headers: &mut HeaderMap) {
    // Most messages have none of them.
    if !headers.keys().any(|name| OF_CONNECTION.contains(name)) {
        return;
    }
    // Named there, any header is the connection's own.
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> =
            listed(headers, &CONNECTION).filter_map(|word| HeaderName::try_from(word).ok()).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in OF_CONNECTION {
        headers.remove(name);
    }
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
