//! Secrets as each place wants them; bodies by their media type and length.

use super::super::{Framing, HeaderText, Unfit};
use super::Place;

#[test]
fn a_secret_is_written_as_its_place_wants_it() {
    let secret = "a+b/c=\"\\ü\u{1}";
    let plain = "a+b/c=\"\\ü";
    let percent = "a%2Bb%2Fc%3D%22%5C%C3%BC%01";
    let table = [
        (Place::Header, plain, Ok(plain)),
        (Place::Header, secret, Err(Unfit)),
        (Place::Header, "a\r\nHost: b", Err(Unfit)),
        (Place::Path, secret, Ok(percent)),
        (Place::Query, secret, Ok(percent)),
        (Place::Form, secret, Ok(percent)),
        (Place::Json, secret, Ok(r#"a+b/c=\"\\ü\u0001"#)),
        (Place::Text, secret, Ok(secret)),
    ];
    for (place, secret, wanted) in table {
        let mut out = Vec::new();
        let told = place.write(secret, &mut out).map(|()| String::from_utf8(out).unwrap());
        assert_eq!(told.as_deref(), wanted.as_ref().copied(), "{place:?}");
    }
}

#[test]
fn bodies_by_their_media_type() {
    let table = [
        ("application/json", Some(Place::Json)),
        ("Application/JSON; charset=utf-8", Some(Place::Json)),
        ("application/vnd.api+json", Some(Place::Json)),
        ("application/x-ndjson", Some(Place::Json)),
        ("text/event-stream", Some(Place::Json)),
        ("text/plain", Some(Place::Text)),
        ("text/json", Some(Place::Json)),
        ("application/x-www-form-urlencoded", Some(Place::Form)),
        ("multipart/form-data; boundary=x", Some(Place::Text)),
        ("application/soap+xml", Some(Place::Text)),
        ("application/grpc", None),
        ("application/grpc+json", None),
        ("application/octet-stream", None),
        ("image/png", None),
        ("", None),
    ];
    for (text, wanted) in table {
        assert_eq!(Place::of_media_type(text), wanted, "{text}");
    }
}

#[test]
fn basic_credentials_are_opened() {
    let table: [(&str, &str, &str); 6] = [
        ("Bearer abc", "Bearer abc", "Bearer abcX"),
        ("Basic dXNlcjpwYXNz", "user:pass", "Basic dXNlcjpwYXNzWA=="),
        ("basic  dXNlcjpwYXNz ", "user:pass", "basic dXNlcjpwYXNzWA=="),
        ("Basic not-base64!", "Basic not-base64!", "Basic not-base64!X"),
        ("Digest dXNlcjpwYXNz", "Digest dXNlcjpwYXNz", "Digest dXNlcjpwYXNzX"),
        ("", "", "X"),
    ];
    for (value, text, closed) in table {
        let opened = HeaderText::open(value.as_bytes());
        assert_eq!(std::str::from_utf8(opened.text()), Ok(text));
        assert_eq!(opened.close(format!("{text}X").as_bytes()), closed.as_bytes());
        assert!(!format!("{opened:?}").contains("pass"));
    }
}

#[test]
fn a_body_is_framed_by_its_length() {
    let (json, limit) = (Some(Place::Json), 1_048_576);
    let table = [
        (None, None, Framing::AsIs),
        (Some(9), None, Framing::AsIs),
        (Some(0), json, Framing::AsIs),
        (Some(1), json, Framing::Buffered),
        (Some(limit), json, Framing::Buffered),
        (Some(limit + 1), json, Framing::Streamed),
        (None, json, Framing::Streamed),
    ];
    for (length, place, wanted) in table {
        assert_eq!(Framing::of(length, place, limit), wanted, "{length:?}");
    }
}
