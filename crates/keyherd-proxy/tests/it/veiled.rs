//! Real secrets on the way back, whoever sent them: at the proxy, and at the gateway.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_compression::tokio::write::{BrotliEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use keyherd_core::agent::Agent;
use keyherd_core::broker::AcquireError;
use keyherd_core::credential::DraftFields;
use keyherd_core::fakes::granted;
use keyherd_core::ids::Name;
use keyherd_core::policy::{HostPattern, MethodWord, Scope, Verdict};
use keyherd_proxy::forward::ForwardBody;
use keyherd_proxy::{Asked, Fault, SwapLimits};
use tokio::io::AsyncWriteExt;

use crate::stage::{Got, Setting, Stage, actor, asked, get, parsed, post, whole};
use crate::swapping::{Proxy, untrusting};
use crate::upstream::{Body, Upstream, answer, by_hand, data, full, lock};

/// All that the stage has of secrets, and something else.
const TOLD: &str = r#"{"a":"access-one-0","b":"refresh-one-0","c":"secret-lone","d":"secret-a","e":"app-secret","f":"other"}"#;
const REMOVED: &str = "keyherd-removed-a-secret";

fn of_kind(kind: &str, body: impl Into<bytes::Bytes>) -> Response<Body> {
    let mut told = answer(200, body);
    told.headers_mut().insert("content-type", kind.parse().expect("is a value"));
    told
}

/// Tells all that it knows, whatever it is asked.
async fn telling() -> Upstream {
    Upstream::new(|_| {
        let mut told = of_kind("application/json", TOLD);
        told.headers_mut().insert("x-token", "refresh-one-0".parse().expect("is a value"));
        told
    })
    .await
}

fn is_clean(text: &str) -> bool {
    ["access-one", "refresh-one", "secret-lone", "secret-a", "app-secret"]
        .iter()
        .all(|secret| !text.contains(secret))
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("takes no minute")
}

#[tokio::test]
async fn what_an_agent_may_use_comes_back_as_phantoms() {
    let upstream = telling().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    // Nothing of it was in the request, and nothing was ever asked for.
    let told = proxy.told(&upstream, "GET /", "", "").await;
    assert!(told.starts_with("HTTP/1.1 200") && is_clean(&told), "{told}");
    let (one, pool) = (proxy.phantom("one").await, proxy.phantom("pool").await);
    assert!(told.contains(&format!("x-token: {one}")), "{told}");
    for part in [format!(r#""b":"{one}""#), format!(r#""d":"{pool}""#), format!(r#""e":"{REMOVED}""#)] {
        assert!(told.contains(&part), "{part} in {told}");
    }
    assert!(told.contains(r#""f":"other""#), "{told}");
}

#[tokio::test]
async fn a_short_answer_is_read_in_its_escapes_and_passes_as_it_came_without_a_secret() {
    for (text, is_told) in [(r#"{"a":"\u0062"}"#, true), (r#"{"a":"secr\u0065t-lone"}"#, false)] {
        let upstream = Upstream::new(move |_| {
            let mut told = of_kind("application/json", text);
            told.headers_mut().insert("content-md5", "sum".parse().expect("is a value"));
            told
        })
        .await;
        let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
        let told = proxy.told(&upstream, "GET /", "", "").await;
        let as_it_came = [text, "content-md5: sum", &format!("content-length: {}\r\n", text.len())];
        assert_eq!(as_it_came.map(|part| told.contains(part)), [is_told; 3], "{told}");
    }
}

#[tokio::test]
async fn a_token_that_came_later_too_and_the_one_before() {
    let upstream = Upstream::new(|_| of_kind("text/plain", "access-one-9 refresh-one-9 access-one-0")).await;
    let limits = SwapLimits { tables_age_max: Duration::ZERO, ..SwapLimits::default() };
    let (stage, place) = (Stage::at(&upstream).await, (&upstream, "127.0.0.1", &["one"][..]));
    let proxy = Proxy::on(stage, &["one"], place, untrusting(), limits).await;
    let told = proxy.told(&upstream, "GET /", "", "").await;
    assert!(told.contains("access-one-9") && !told.contains("access-one-0"), "nobody's so far: {told}");
    proxy.stage.reconnected("one", "access-one-9", "refresh-one-9").await;
    // Whoever uses it has this process know it.
    let one = proxy.phantom("one").await;
    let bearer = format!("Authorization: Bearer {one}\r\n");
    let told = proxy.told(&upstream, "GET /", &bearer, "").await;
    assert!(is_clean(&told), "{told}");
    assert_eq!(upstream.bearers(), ["", "access-one-9"]);
    // What was replaced is looked for as long as it may matter, although nothing has it any more.
    let told = proxy.told(&upstream, "GET /", &bearer, "").await;
    assert!(is_clean(&told), "{told}");
}

#[tokio::test]
async fn what_was_replaced_is_not_looked_for_for_ever() {
    let upstream = Upstream::new(|_| of_kind("text/plain", "access-one-9 access-one-0")).await;
    let no_time = Duration::ZERO;
    let limits = SwapLimits { tables_age_max: no_time, replaced_age_max: no_time, ..SwapLimits::default() };
    let (stage, place) = (Stage::at(&upstream).await, (&upstream, "127.0.0.1", &["one"][..]));
    let proxy = Proxy::on(stage, &["one"], place, untrusting(), limits).await;
    proxy.told(&upstream, "GET /", "", "").await;
    proxy.stage.reconnected("one", "access-one-9", "refresh-one-9").await;
    let told = proxy.told(&upstream, "GET /", "", "").await;
    assert!(told.contains("access-one-0") && !told.contains("access-one-9"), "{told}");
}

#[tokio::test]
async fn there_is_a_bound_and_what_was_sent_comes_first() {
    let upstream = telling().await;
    let limits = SwapLimits { secrets_max: 1, ..SwapLimits::default() };
    let stage = Stage::at(&upstream).await;
    let place = (&upstream, "127.0.0.1", &["lone"][..]);
    let proxy = Proxy::on(stage, &["pool", "one", "lone"], place, untrusting(), limits).await;
    let lone = proxy.phantom("lone").await;
    let told = proxy.told(&upstream, "GET /", &format!("Authorization: Bearer {lone}\r\n"), "").await;
    assert!(told.contains(&format!(r#""c":"{lone}""#)) && told.contains("access-one-0"), "{told}");
}

pub(crate) async fn opened(
    stage: &Stage,
    agent: &Agent,
    request: http::Request<Body>,
) -> Result<Response<ForwardBody>, Fault> {
    let asked = Asked { agent: Some(agent), ..stage.asked(&request) };
    soon(stage.gateway.answer(asked, request)).await
}

async fn through(stage: &Stage, agent: &Agent, request: http::Request<Body>) -> Got {
    whole(opened(stage, agent, request).await.expect("is answered")).await
}

#[tokio::test]
async fn agents_see_phantoms_at_the_gateway_and_the_administrator_what_was_said() {
    let upstream = telling().await;
    let stage = Stage::at(&upstream).await;
    let robot = stage.robot(&["lone", "one"]).await;
    let (lone, one) = (stage.phantom(&robot, "lone").await, stage.phantom(&robot, "one").await);
    let seen = through(&stage, &robot, get("/gateway/lone/")).await;
    let wanted = TOLD
        .replace("secret-lone", &lone)
        .replace("access-one-0", &one)
        .replace("refresh-one-0", &one)
        .replace("app-secret", REMOVED);
    assert_eq!(seen.text(), wanted, "the pool's is none of the agent's");
    assert_eq!(seen.head.headers["x-token"], *one);
    assert_eq!(seen.head.headers["content-length"], *wanted.len().to_string());
    let seen = stage.read("/gateway/lone/").await;
    assert_eq!(seen.text(), TOLD);
    let head = through(&stage, &robot, asked("HEAD", "/gateway/lone/").body(full("")).expect("is one")).await;
    assert_eq!((head.status(), head.text()), (200, ""));
}

#[tokio::test]
async fn while_the_store_is_down_who_is_known_is_served_and_nobody_else() {
    let upstream = telling().await;
    let stage = Stage::at(&upstream).await;
    let robot = stage.robot(&["lone"]).await;
    // Its token is at hand from here on, and nothing of the agent yet.
    stage.read("/gateway/lone/").await;
    stage.fleet.installation.set_down(true);
    // Nobody knows where it would be given tokens.
    let fault = opened(&stage, &robot, post("/gateway/lone/", "a=b")).await.err();
    assert!(matches!(fault, Some(Fault::Engine(AcquireError::Store(_)))), "{fault:?}");
    assert_eq!(upstream.seen().len(), 1, "the administrator's");
    stage.fleet.installation.set_down(false);
    through(&stage, &robot, get("/gateway/lone/")).await;
    stage.fleet.installation.set_down(true);
    let seen = through(&stage, &robot, get("/gateway/lone/")).await;
    assert!(seen.status() == 200 && !seen.text().contains("secret-lone"), "{}", seen.text());
}

#[tokio::test]
async fn a_revoked_agents_stream_ends() {
    let (hand, body) = by_hand();
    let body = Mutex::new(Some(body));
    let upstream = Upstream::new(move |_| {
        let answer = Response::builder().header("content-type", "text/event-stream");
        answer.body(lock(&body).take().expect("is asked once")).expect("is an answer")
    })
    .await;
    let stage = Stage::at(&upstream).await;
    let robot = stage.robot(&["lone"]).await;
    hand.send(data("data: hello\n\n")).await.expect("is read");
    let mut answer = opened(&stage, &robot, get("/gateway/lone/")).await.expect("is answered");
    let first = soon(answer.body_mut().frame()).await.expect("is there").expect("is whole");
    assert_eq!(first.into_data().expect("is data"), "data: hello\n\n");
    stage.host.broker.revoke_agent(&robot.name, &actor()).await.expect("is revoked");
    let end = soon(answer.body_mut().frame()).await;
    assert!(matches!(end, Some(Err(_))), "it breaks off: {end:?}");
    soon(hand.closed()).await;
}

/// The stage's only secret that matters here, in that coding.
async fn coded(coding: &str) -> Vec<u8> {
    macro_rules! encoded {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(b"say secret-lone").await.expect("is in memory");
            encoder.shutdown().await.expect("is in memory");
            encoder.into_inner()
        }};
    }
    match coding {
        "gzip" => encoded!(GzipEncoder),
        "deflate" => encoded!(ZlibEncoder),
        "br" => encoded!(BrotliEncoder),
        "zstd" => encoded!(ZstdEncoder),
        _ => b"say secret-lone".to_vec(),
    }
}

#[tokio::test]
async fn a_connection_serves_on_after_an_answer_that_was_looked_through() {
    for kind in ["", "text/plain", "image/png"] {
        let upstream = Upstream::new(move |_| match kind {
            "" => answer(200, "of a kind that nobody tells"),
            kind => of_kind(kind, "of that kind"),
        })
        .await;
        let stage = Stage::at(&upstream).await;
        let robot = stage.robot(&["lone"]).await;
        for _ in 0..3 {
            assert_eq!(through(&stage, &robot, get("/gateway/lone/")).await.status(), 200);
        }
        assert_eq!(upstream.connections(), 1, "'{kind}'");
    }
}

#[tokio::test]
async fn no_agent_is_given_tokens_at_the_gateway() {
    let upstream = Upstream::new(|_| of_kind("application/json", r#"{"access_token":"new"}"#)).await;
    let stage = Stage::at(&upstream).await;
    stage
        .import(DraftFields {
            name: "here".into(),
            provider: "generic".into(),
            access_token: Some("access-here".into()),
            refresh_token: Some("refresh-here".into()),
            token_url: Some(format!("{}/token", upstream.url())),
            client_id: Some("app".into()),
            ..DraftFields::default()
        })
        .await;
    let robot = stage.robot(&["lone", "here"]).await;
    // No human is asked about what is refused anyway.
    let (host, method) = (HostPattern::parse("**"), MethodWord::parse("POST"));
    let scope = Scope {
        agent: None,
        host: host.expect("is a pattern"),
        port: None,
        method: Some(method.expect("is a word")),
        path: None,
    };
    stage.host.broker.add_rule(Verdict::Ask, scope, &actor()).await.expect("is added");
    for path in ["token", "token/", "/token", "%74oken", "token;a=b"] {
        let request = post(&format!("/gateway/lone/{path}"), "grant_type=authorization_code&code=c");
        let fault = opened(&stage, &robot, request).await.err();
        assert!(matches!(fault, Some(Fault::Denied(_))), "{path}: {fault:?}");
    }
    assert_eq!(upstream.seen().len(), 0);
    assert_eq!(through(&stage, &robot, get("/gateway/lone/tokens")).await.status(), 200);
}

#[tokio::test]
async fn the_gateway_reads_what_the_proxy_reads() {
    let kinds = [Some("text/plain"), Some("application/octet-stream"), None];
    for coding in ["gzip", "deflate", "br", "zstd", "unheard-of", "identity"] {
        let body = coded(coding).await;
        for kind in kinds {
            let (body, coding) = (body.clone(), coding.to_owned());
            let upstream = Upstream::new(move |_| {
                let mut told = answer(200, body.clone());
                told.headers_mut().insert("content-encoding", coding.parse().expect("is a value"));
                if let Some(kind) = kind {
                    told.headers_mut().insert("content-type", kind.parse().expect("is a value"));
                }
                told
            })
            .await;
            let stage = Stage::at(&upstream).await;
            let robot = stage.robot(&["lone"]).await;
            let seen = through(&stage, &robot, get("/gateway/lone/")).await;
            assert_eq!(seen.text(), format!("say {}", stage.phantom(&robot, "lone").await), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_decoded_is_no_answer() {
    let upstream = Upstream::new(|_| {
        let mut told = of_kind("text/plain", "no such thing, but secret-lone");
        told.headers_mut().insert("content-encoding", "gzip".parse().expect("is a value"));
        told
    })
    .await;
    let stage = Stage::at(&upstream).await;
    let robot = stage.robot(&["lone"]).await;
    assert!(opened(&stage, &robot, get("/gateway/lone/")).await.is_err());
}

#[tokio::test]
async fn binary_and_long_answers_pass() {
    let mut long = vec![b'x'; 3 << 20];
    long.extend_from_slice(b" secret-lone");
    let binary = [b"\0\x01".as_slice(), &long].concat();
    let (texts, bytes) = (long.clone(), binary.clone());
    let upstream = Upstream::new(move |seen| match seen.head.uri.path() {
        "/text" => of_kind("text/plain", texts.clone()),
        _ => of_kind("application/octet-stream", bytes.clone()),
    })
    .await;
    let stage = Stage::at(&upstream).await;
    let robot = stage.robot(&["lone"]).await;
    let seen = through(&stage, &robot, get("/gateway/lone/text")).await;
    let phantom = stage.phantom(&robot, "lone").await;
    assert!(seen.body.ends_with(phantom.as_bytes()) && seen.body.len() == long.len() - 11 + phantom.len());
    let seen = through(&stage, &robot, get("/gateway/lone/binary")).await;
    assert_eq!(seen.head.headers["content-length"], *binary.len().to_string());
    assert!(seen.body == binary, "as it came");
}

#[tokio::test]
async fn events_are_not_held_back_for_it() {
    let (hand, body) = by_hand();
    let body = Mutex::new(Some(body));
    let upstream = Upstream::new(move |_| {
        let answer = Response::builder().header("content-type", "text/event-stream");
        // The first one who asks is told by hand.
        answer.body(lock(&body).take().unwrap_or_else(|| full(""))).expect("is an answer")
    })
    .await;
    let stage = Arc::new(Setting::at(&upstream).stage().await);
    let robot = stage.robot(&["lone", "one"]).await;
    let (lone, one): (Name, Name) = (parsed("lone"), parsed("one"));
    hand.send(data("data: hello\n\n")).await.expect("is read");
    let mut answer = opened(&stage, &robot, get("/gateway/lone/")).await.expect("is answered");
    let mut next = async || {
        let frame = soon(answer.body_mut().frame()).await.expect("is there").expect("is whole");
        String::from_utf8(frame.into_data().expect("is data").to_vec()).expect("is text")
    };
    assert_eq!(next().await, "data: hello\n\n");
    hand.send(data("data: secret-")).await.expect("is read");
    // What may be the beginning of it waits for the rest, and nothing else does.
    assert_eq!(next().await, "data: ");
    hand.send(data("lone\n\n")).await.expect("is read");
    assert_eq!(next().await, format!("{}\n\n", stage.phantom(&robot, lone.as_str()).await));
    // Refreshed meanwhile, the new one is hidden as well as the old one.
    stage.provider.then(granted("access-one-9", "refresh-one-9"));
    let (wait, broker) = (Duration::from_secs(60), &stage.host.broker);
    soon(broker.refresh("one", wait, &actor())).await.expect("is granted");
    hand.send(data("data: access-one-9 access-one-0\n\n")).await.expect("is read");
    let phantom = stage.phantom(&robot, one.as_str()).await;
    assert_eq!(next().await, format!("data: {phantom} {phantom}\n\n"));
}

/// With a text, whose body is looked through, with what is none, and with nothing before them.
#[tokio::test]
async fn trailers_are_looked_through() {
    for kind in ["text/plain", "image/png", "application/grpc"] {
        for before in ["", "data"] {
            let upstream = Upstream::new(move |_| {
                let mut trailers = http::HeaderMap::new();
                trailers.insert("x-s", "a secret-lone, access-one-0".parse().expect("is a value"));
                let frames = [data(before), Ok(Frame::trailers(trailers))];
                let body = StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync();
                let mut told = of_kind(kind, "").map(|_| body);
                told.headers_mut().insert("trailer", "x-s".parse().expect("is a value"));
                told
            })
            .await;
            let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
            let told = proxy.told(&upstream, "GET /", "TE: trailers\r\n", "").await;
            let lone = proxy.phantom("lone").await;
            assert!(told.contains(&format!("x-s: a {lone}, ")) && is_clean(&told), "{kind}: {told}");
        }
    }
}
