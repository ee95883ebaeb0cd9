//! Messages with phantoms in them, as they go on; answers with secrets in them, as they come back.

use std::convert::Infallible;
use std::sync::Arc;

use async_compression::tokio::write::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use keyherd_core::fakes::{SeededEntropy, WordSigner};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Claims, Found, Needle, Needles, Place, Shape, Table, mint};
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;
use tokio::io::AsyncWriteExt;

use super::*;

const SECRET: &str = "real-secret/+=\"";

fn name(text: &str) -> Name {
    Name::parse(text).expect("is a name")
}

fn phantom(prefix: &str, seed: u64) -> keyherd_core::phantom::Phantom {
    let claims = Claims { issued_at: Timestamp::default(), expires_at: Timestamp::default() };
    mint(&Shape::of_prefix(prefix).expect("is a shape"), claims, &SeededEntropy::new(seed), &WordSigner)
        .expect("is a phantom")
}

/// An agent with a phantom for `acme`, and one for `other`, for which there is no secret here.
struct Agent {
    acme: String,
    other: String,
    table: Arc<Table>,
}

fn agent() -> Agent {
    let (acme, other) = (phantom("sk-", 1), phantom("ghu_", 2));
    let table = Table::new([(acme.clone(), name("acme")), (other.clone(), name("other"))], []);
    Agent { acme: acme.as_str().into(), other: other.as_str().into(), table: Arc::new(table) }
}

fn secret(name: &Name) -> Option<Secret> {
    (name.as_str() == "acme").then(|| Secret::from(SECRET))
}

#[test]
fn phantoms_in_a_head() {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let Agent { acme, other, table } = agent();
    let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
    let request = Request::builder()
        .uri(format!("https://a.example/bot{acme}/x?key={acme}&b={other}"))
        .header(AUTHORIZATION, format!("Bearer {acme}"))
        .header(COOKIE, &other)
        .header("x-basic", basic(&format!("user:{acme}")))
        .header("x-foreign", format!("t={}", phantom("", 9).as_str()))
        .header("x-plain", "plain");
    let (mut head, ()) = request.body(()).expect("is a request").into_parts();
    let finds = find_in_head(&head, &table);
    assert_eq!((&*finds.own, finds.has_foreign), (&[name("acme"), name("other")][..], true));
    assert_eq!(finds.headers, ["authorization", "cookie", "x-basic", "x-foreign"]);
    let real = Secret::from(SECRET);
    let secret = |name: &Name| (name.as_str() == "acme").then_some(&real);
    let encoded = swap_head(&mut head, &finds, &table, &secret).expect("fits");
    let [credentials] = &encoded[..] else { panic!("{encoded:?}") };
    let both = [credentials.secret.expose(), &credentials.instead].map(|text| format!("Basic {text}"));
    assert_eq!(both, [basic(&format!("user:{SECRET}")), basic(&format!("user:{acme}"))]);
    assert_eq!(head.uri, "/botreal-secret%2F%2B%3D%22/x?key=real-secret%2F%2B%3D%22&b=");
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    assert_eq!(header("authorization"), Some(format!("Bearer {SECRET}").as_str()));
    assert!(head.headers.get(AUTHORIZATION).is_some_and(HeaderValue::is_sensitive));
    assert_eq!(header("cookie"), None, "nothing was left of it");
    assert_eq!(header("x-basic"), Some(basic(&format!("user:{SECRET}")).as_str()));
    assert_eq!(header("x-foreign"), Some("t="));
    assert_eq!(header("x-plain"), Some("plain"));
    assert_eq!(find_in_head(&head, &table), HeadFinds::default());
}

#[test]
fn what_a_header_has_in_several_lines_is_swapped_in_each() {
    let Agent { acme, table, .. } = agent();
    let request = Request::builder().header("x-key", "plain").header("x-key", &acme).header("x-key", &acme);
    let (mut head, ()) = request.body(()).expect("is a request").into_parts();
    let (finds, real) = (find_in_head(&head, &table), Secret::from(SECRET));
    assert!(swap_head(&mut head, &finds, &table, &|_| Some(&real)).expect("fits").is_empty());
    let lines: Vec<_> = head.headers.get_all("x-key").iter().collect();
    assert_eq!(lines, ["plain", SECRET, SECRET]);
}

#[test]
fn a_secret_that_would_break_a_header_goes_nowhere() {
    let Agent { acme, table, .. } = agent();
    let request = Request::builder().header(AUTHORIZATION, &acme).body(()).expect("is a request");
    let (mut head, ()) = request.into_parts();
    let (finds, evil) = (find_in_head(&head, &table), Secret::from("a\r\nHost: evil"));
    let broken = swap_head(&mut head, &finds, &table, &|_| Some(&evil));
    assert_eq!(broken.err(), Some(Misplaced));
}

#[test]
fn phantoms_in_a_header_that_has_escapes() {
    let Agent { acme, other, table } = agent();
    let (first, rest) = acme.split_at(1);
    let spelt = format!("%{:02X}{rest}", first.as_bytes()[0]);
    let real = Secret::from(SECRET);
    let secret = |name: &Name| (name.as_str() == "acme").then_some(&real);
    // One with an escape gets an escaped secret, and another beside it does not.
    for (text, wanted) in [
        (format!("a=%20; t={acme}"), format!("a=%20; t={SECRET}")),
        (format!("t={acme}; u={spelt}"), format!("t={SECRET}; u=real-secret%2F%2B%3D%22")),
        (format!("t=%22{other}%22"), "t=%22%22".to_owned()),
    ] {
        let request = Request::builder().header(COOKIE, &text).body(()).expect("is a request");
        let (mut head, ()) = request.into_parts();
        let finds = find_in_head(&head, &table);
        assert_eq!(finds.headers, [COOKIE], "{text}");
        swap_head(&mut head, &finds, &table, &secret).expect("fits");
        assert_eq!(head.headers[COOKIE].to_str().ok(), Some(&*wanted), "{text}");
    }
}

#[test]
fn phantoms_are_taken_out_of_trailers() {
    let Agent { acme, other, table } = agent();
    let fields = [("x-one", acme), ("x-two", format!("t={other}; u")), ("x-sum", "abc".to_owned())];
    let mut trailers = HeaderMap::from_iter(
        fields.map(|(name, value)| (HeaderName::from_static(name), value.parse().expect("is a value"))),
    );
    strip_trailers(&mut trailers, &table);
    let left: Vec<_> = trailers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(left, [("x-sum", &b"abc"[..]), ("x-two", b"t=; u")]);
}

type Frames = Vec<Result<Frame<Bytes>, Infallible>>;

fn body(pieces: &[&[u8]]) -> impl Body<Data = Bytes, Error = Infallible> + Send + Unpin + use<> {
    let frames: Frames = pieces.iter().map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
    StreamBody::new(futures_util::stream::iter(frames))
}

fn swapping<B>(body: B, table: &Arc<Table>, place: Place) -> Rewriting<B, Table> {
    Rewriting::new(body, Arc::clone(table), place, move |found: &Found, into: &mut Vec<u8>| {
        if let Found::Own(name) = found
            && let Some(secret) = secret(name)
        {
            place.write(secret.expose(), into).expect("fits");
        }
    })
}

#[tokio::test]
async fn phantoms_in_a_body() {
    let Agent { acme, other, table } = agent();
    let message = format!(r#"{{"a":"{acme}","b":"{other}","c":"{acme}"}}"#);
    let wanted = r#"{"a":"real-secret/+=\"","b":"","c":"real-secret/+=\""}"#;
    for at in 0..=message.len() {
        let (one, two) = message.as_bytes().split_at(at);
        let swapped =
            swapping(body(&[one, two]), &table, Place::Json).collect().await.expect("does not fail");
        assert_eq!(swapped.to_bytes(), wanted);
    }
}

#[tokio::test]
async fn trailers_follow_what_was_kept_back() {
    let Agent { acme, table, .. } = agent();
    let trailers = HeaderMap::from_iter([(ETAG, HeaderValue::from_static("x"))]);
    let data = Frame::data(Bytes::from(acme[..9].to_owned()));
    let frames: Frames = vec![Ok(data), Ok(Frame::trailers(trailers.clone()))];
    let mut swapped = swapping(StreamBody::new(futures_util::stream::iter(frames)), &table, Place::Text);
    let mut next = async || swapped.frame().await.map(|frame| frame.expect("does not fail"));
    assert_eq!(
        next().await.and_then(|frame| frame.into_data().ok()),
        Some(Bytes::from(acme[..9].to_owned()))
    );
    assert_eq!(next().await.and_then(|frame| frame.into_trailers().ok()), Some(trailers));
    assert!(next().await.is_none());
    assert!(swapped.is_end_stream());
}

#[tokio::test]
async fn the_end_goes_with_the_last_bytes() {
    let Agent { acme, table, .. } = agent();
    // What may yet become a phantom is kept back, but not at the end.
    for text in ["plain", &acme[..9]] {
        let mut swapped = swapping(Full::new(Bytes::from(text.to_owned())), &table, Place::Text);
        let frame = swapped.frame().await.expect("is there").expect("does not fail");
        assert_eq!(frame.into_data().expect("is data"), text);
        assert!(swapped.is_end_stream(), "{text}");
    }
}

#[test]
fn a_length_that_is_known_is_announced() {
    let Agent { table, .. } = agent();
    let exact = swapping(body(&[b"a"]), &table, Place::Text).of_length(7);
    assert_eq!(exact.size_hint().exact(), Some(7));
    assert_eq!(swapping(body(&[b"a"]), &table, Place::Text).size_hint().exact(), None);
}

fn needles(secrets: &[&str]) -> Arc<Needles> {
    let needle = |secret: &&str| Needle { secret: Secret::from(*secret), instead: "PHANTOM".into() };
    Arc::new(Needles::new(secrets.iter().map(needle)))
}

fn wanted(secrets: &[&str]) -> Wanted {
    let now = needles(secrets);
    Wanted { now: Arc::clone(&now), later: Arc::new(move || Arc::clone(&now)) }
}

fn head_of(headers: &[(HeaderName, &str)]) -> http::response::Parts {
    let (mut head, ()) = Response::new(()).into_parts();
    for (name, value) in headers {
        head.headers.append(name, HeaderValue::from_str(value).expect("is a value"));
    }
    head
}

/// What an agent gets of an answer.
async fn scrubbed(headers: &[(HeaderName, &str)], bytes: &[u8]) -> (HeaderMap, Result<Bytes, String>) {
    let mut head = head_of(headers);
    let place = match Reading::of(head.status, &head.headers) {
        Reading::As(place) => place,
        Reading::ByBeginning if begins_like_text(bytes) => Place::Json,
        Reading::ByBeginning | Reading::Never => return (head.headers, Ok(Bytes::copy_from_slice(bytes))),
    };
    let pieces: Vec<&[u8]> = bytes.chunks(7).collect();
    let limits = DecodeLimits { decoded_slack: 1_000, decoded_ratio_max: 50, ..DecodeLimits::default() };
    let scrubbed = scrub(&mut head, body(&pieces), place, wanted(&[SECRET]), limits);
    let text = scrubbed.collect().await.map(http_body_util::Collected::to_bytes);
    (head.headers, text.map_err(|error| error.to_string()))
}

macro_rules! encoded {
    ($encoder:ident, $bytes:expr) => {{
        let mut encoder = $encoder::new(Vec::new());
        encoder.write_all($bytes).await.expect("is in memory");
        encoder.shutdown().await.expect("is in memory");
        encoder.into_inner()
    }};
}

const ECHO: &[u8] = br#"{"you":"sent","Bearer":"real-secret\/\u002b=\""}"#;
const SHOWN: &str = r#"{"you":"sent","Bearer":"PHANTOM"}"#;

#[tokio::test]
async fn secrets_in_an_answer_become_phantoms() {
    let echo = ECHO;
    let coded = [
        ("gzip", encoded!(GzipEncoder, echo)),
        ("x-gzip", encoded!(GzipEncoder, echo)),
        ("br", encoded!(BrotliEncoder, echo)),
        ("zstd", encoded!(ZstdEncoder, echo)),
        ("deflate", encoded!(ZlibEncoder, echo)),
        ("deflate", encoded!(DeflateEncoder, echo)),
        ("identity", echo.to_vec()),
        ("gzip, br", encoded!(BrotliEncoder, &encoded!(GzipEncoder, echo))),
    ];
    for (coding, bytes) in coded {
        let headers = [
            (CONTENT_TYPE, "application/json"),
            (CONTENT_ENCODING, coding),
            (CONTENT_LENGTH, "1"),
            (LOCATION, "https://a.example/?t=real-secret%2f%2B%3D%22&u"),
        ];
        let (headers, text) = scrubbed(&headers, &bytes).await;
        assert_eq!(text.as_deref(), Ok(SHOWN.as_bytes()), "{coding}");
        assert!(!headers.contains_key(CONTENT_LENGTH));
        assert!(coding == "identity" || !headers.contains_key(CONTENT_ENCODING));
        assert_eq!(
            headers.get(LOCATION).map(HeaderValue::as_bytes),
            Some(&b"https://a.example/?t=PHANTOM&u"[..])
        );
    }
}

#[tokio::test]
async fn what_is_no_text_passes_as_it_is() {
    let bytes = [b"\0\x01".as_slice(), SECRET.as_bytes()].concat();
    let range = http::header::CONTENT_RANGE;
    let table = [
        vec![(CONTENT_TYPE, "application/grpc"), (CONTENT_LENGTH, "17")],
        vec![(CONTENT_TYPE, "image/png"), (CONTENT_LENGTH, "17")],
        vec![(CONTENT_TYPE, "text/plain"), (range, "bytes 0-16/99"), (CONTENT_LENGTH, "17")],
        vec![(CONTENT_TYPE, "application/octet-stream"), (CONTENT_LENGTH, "17")],
        vec![(CONTENT_LENGTH, "17")],
    ];
    for headers in table {
        let (after, text) = scrubbed(&headers, &bytes).await;
        assert_eq!(text.as_deref(), Ok(bytes.as_slice()));
        assert!(after.contains_key(CONTENT_LENGTH), "{headers:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_ends_with_an_error() {
    let bomb = encoded!(GzipEncoder, &[b' '; 1_000_000]);
    let json = |coding| [(CONTENT_TYPE, "application/json"), (CONTENT_ENCODING, coding)];
    let (_, text) = scrubbed(&json("gzip"), &bomb).await;
    assert!(text.is_err_and(|error| error.contains("grows beyond")));
    for coding in ["gzip", "br", "zstd", "deflate"] {
        let (_, text) = scrubbed(&json(coding), b"no such thing at all").await;
        assert!(text.is_err(), "{coding}");
    }
    let torn = encoded!(GzipEncoder, ECHO);
    let (_, text) = scrubbed(&json("gzip"), &torn[..torn.len() - 3]).await;
    assert!(text.is_err());
}

#[tokio::test]
async fn nothing_at_all_is_an_empty_text_in_every_coding() {
    for coding in ["gzip", "br", "zstd", "deflate", "gzip, br", "identity"] {
        // An empty piece first, as HTTP/2 has them.
        for pieces in [&[][..], &[&b""[..], &b""[..]]] {
            let mut head = head_of(&[(CONTENT_TYPE, "text/plain"), (CONTENT_ENCODING, coding)]);
            let scrubbed = scrub(&mut head, body(pieces), Place::Text, wanted(&[]), DecodeLimits::default());
            let text = scrubbed.collect().await.expect("does not fail").to_bytes();
            assert!(text.is_empty(), "{coding}");
        }
    }
}

#[test]
fn what_is_read() {
    use Reading::{As, ByBeginning, Never};
    use http::header::CONTENT_RANGE;
    let kind = |kind| vec![(CONTENT_TYPE, kind)];
    let with = |kind, name, value| vec![(CONTENT_TYPE, kind), (name, value)];
    let table = [
        (200, kind("application/json"), As(Place::Json)),
        (404, kind("text/html; charset=utf-8"), As(Place::Text)),
        (200, kind("text/event-stream"), As(Place::Json)),
        (200, kind("application/json; charset=\"UTF-16LE\""), As(Place::Text)),
        (200, kind("image/svg+xml"), As(Place::Text)),
        (200, kind("image/png"), Never),
        (200, kind("video/mp4"), Never),
        (200, kind("application/grpc"), Never),
        (200, kind("application/grpc-web+proto"), Never),
        (200, kind("application/octet-stream"), ByBeginning),
        (200, kind("binary/octet-stream"), ByBeginning),
        (200, kind("application/x-unheard-of"), ByBeginning),
        (200, kind("no type at all"), ByBeginning),
        (200, vec![], ByBeginning),
        (200, with("application/octet-stream", CONTENT_ENCODING, "gzip"), As(Place::Json)),
        (200, with("application/octet-stream", CONTENT_ENCODING, "unheard-of"), ByBeginning),
        (200, with("text/plain", CONTENT_ENCODING, "unheard-of"), As(Place::Text)),
        (200, with("text/plain", CONTENT_RANGE, "bytes 0-16/99"), Never),
        (206, kind("multipart/byteranges"), Never),
        (204, kind("text/plain"), Never),
        (304, kind("text/plain"), Never),
        (101, vec![], Never),
    ];
    for (status, headers, expected) in table {
        let mut head = head_of(&headers);
        head.status = http::StatusCode::from_u16(status).expect("is one");
        assert_eq!(Reading::of(head.status, &head.headers), expected, "{status} {headers:?}");
    }
}

#[test]
fn how_texts_begin() {
    let beyond = [vec![b' '; 1_024], vec![0]].concat();
    for text in [&b"{\"a\": 1}\r\n"[..], "\u{feff}\u{e9}\t\x1b[0m".as_bytes(), &beyond, b""] {
        assert!(begins_like_text(text), "{}", text.escape_ascii());
    }
    for binary in [&b"\x89PNG\r\n\x1a\n"[..], b"PK\x03\x04", b"\x1f\x8b\x08", b"a\0b"] {
        assert!(!begins_like_text(binary), "{}", binary.escape_ascii());
    }
}

#[tokio::test]
async fn texts_of_which_nobody_says_so_are_read_as_they_stand() {
    let text = format!("{SECRET} and {}", r#"real-secret\/+=\""#);
    let octets = (CONTENT_TYPE, "application/octet-stream");
    for headers in [vec![], vec![octets.clone()], vec![octets, (CONTENT_ENCODING, "unheard-of")]] {
        let (after, shown) = scrubbed(&headers, text.as_bytes()).await;
        assert_eq!(shown.as_deref(), Ok(&b"PHANTOM and PHANTOM"[..]), "{headers:?}");
        assert_eq!(
            after.contains_key(CONTENT_ENCODING),
            headers.len() > 1,
            "a coding is not ours to take off"
        );
    }
}

#[tokio::test]
async fn texts_in_utf16_are_read() {
    let wide = |text: &str, to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    for to in [u16::to_le_bytes, u16::to_be_bytes] {
        let text = wide(&format!("\u{feff}<t>{SECRET}</t>"), to);
        let (_, shown) = scrubbed(&[(CONTENT_TYPE, "text/xml; charset=utf-16")], &text).await;
        assert_eq!(shown.as_deref(), Ok(&*wide("\u{feff}<t>PHANTOM</t>", to)));
    }
}

#[tokio::test]
async fn what_becomes_a_secret_while_an_answer_lasts_is_looked_for() {
    let later = Arc::new(std::sync::Mutex::new(needles(&["first-secret"])));
    let known = Arc::clone(&later);
    let now = || -> Arc<Needles> { Arc::clone(&known.lock().expect("is whole")) };
    let wanted = Wanted {
        now: now(),
        later: Arc::new({
            let later = Arc::clone(&later);
            move || Arc::clone(&later.lock().expect("is whole"))
        }),
    };
    let mut head = head_of(&[]);
    let (hand, mut stream) = tokio::sync::mpsc::channel(1);
    let frames = futures_util::stream::poll_fn(move |cx| stream.poll_recv(cx));
    let body = StreamBody::new(frames);
    let mut scrubbed = scrub(&mut head, body, Place::Text, wanted, DecodeLimits::default());
    let mut next = async |text: &'static str| {
        let data: Result<Frame<Bytes>, Infallible> = Ok(Frame::data(Bytes::from_static(text.as_bytes())));
        hand.send(data).await.expect("is read");
        let frame = scrubbed.frame().await.expect("is there").expect("does not fail");
        String::from_utf8(frame.into_data().expect("is data").to_vec()).expect("is text")
    };
    assert_eq!(next("first-secret second-secret; ").await, "PHANTOM second-secret; ");
    assert_eq!(next("and secon").await, "and secon", "nobody knows yet");
    *known.lock().expect("is whole") = needles(&["second-secret", "first-secret"]);
    assert_eq!(next("d; first-secret second-se").await, "d; PHANTOM ");
    assert_eq!(next("cret.").await, "PHANTOM.");
}
