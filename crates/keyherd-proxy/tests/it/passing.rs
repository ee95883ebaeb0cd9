//! What passes as it is, what ends here, and what is put in.

use async_trait::async_trait;
use http::{HeaderMap, HeaderName};
use keyherd_proxy::{Asked, Fault, Recheck};

use crate::stage::{Setting, Stage, asked, get, post};
use crate::upstream::{Upstream, answer, full};

fn names(headers: &HeaderMap) -> Vec<&str> {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn a_request_passes_with_the_credential_in_place_of_the_key() {
    let upstream = Upstream::new(|_| answer(200, "well")).await;
    let stage = Setting { base: format!("{}/base/", upstream.url()), ..Setting::at(&upstream) }.stage().await;
    let request = asked("PUT", "/gateway/lone/v1/it%20em?q=%2F&r")
        .header("x-api-key", "planted-agents-key")
        .header("connection", "keep-alive, x-private")
        .header("x-private", "between us")
        .header("proxy-authorization", "Basic cGxhbnRlZA==")
        .header("expect", "100-continue")
        .header("accept-encoding", "gzip")
        .header("content-type", "text/plain");
    let got = stage.ask(request.body(full("hello")).expect("is a request")).await;
    assert_eq!((got.status(), got.text()), (200, "well"));
    let [seen] = &upstream.seen()[..] else { panic!("one request") };
    assert_eq!((seen.head.method.as_str(), &*seen.body), ("PUT", &b"hello"[..]));
    assert_eq!(seen.head.uri.to_string(), "/base/v1/it%20em?q=%2F&r");
    assert_eq!(seen.bearer(), "secret-lone");
    assert_eq!(seen.header("host"), Some(upstream.at.to_string().as_str()));
    assert_eq!(
        names(&seen.head.headers),
        ["accept-encoding", "authorization", "content-length", "content-type", "host"]
    );
    assert!(!format!("{seen:?}").contains("planted"), "the agent's own key went upstream");
}

#[tokio::test]
async fn an_answer_passes_without_what_belongs_to_its_connection() {
    let upstream = Upstream::new(|_| {
        let mut answer = answer(418, "tea");
        for (name, value) in [
            ("connection", "x-private, close"),
            ("x-private", "between us"),
            ("keep-alive", "timeout=5"),
            ("set-cookie", "a=b"),
            ("x-ratelimit-remaining", "7"),
        ] {
            answer.headers_mut().insert(HeaderName::from_static(name), value.parse().expect("is a value"));
        }
        answer
    })
    .await;
    let got = Stage::at(&upstream).await.read("/gateway/lone/").await;
    assert_eq!((got.status(), got.text()), (418, "tea"));
    assert_eq!(names(&got.head.headers), ["content-length", "date", "set-cookie", "x-ratelimit-remaining"]);
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::new(|seen| answer(200, seen.body.clone())).await;
    let stage = Stage::at(&upstream).await;
    for number in 0..20 {
        let text = format!("number {number}");
        assert_eq!(stage.ask(post("/gateway/lone/echo", text.clone())).await.text(), text);
        stage.ask(asked("HEAD", "/gateway/lone/").body(full("")).expect("is a request")).await;
    }
    assert_eq!(upstream.seen().len(), 40);
    assert!(upstream.connections() <= 2, "{} connections", upstream.connections());
}

#[tokio::test]
async fn names_that_lead_nowhere_and_paths_that_step_out() {
    let upstream = Upstream::new(|_| answer(200, "")).await;
    let stage = Stage::at(&upstream).await;
    for (path, expected) in [
        ("/gateway/nobody/x", "nothing leads upstream from 'nobody'"),
        ("/gateway/a/x", "nothing leads upstream from 'a'"),
        ("/gateway/lone/../x", "'..'"),
        ("/gateway/lone/%2e%2e/x", "'..'"),
        ("/gateway/", "is not a name"),
    ] {
        let fault = stage.open(get(path)).await.expect_err("is refused").to_string();
        assert!(fault.contains(expected), "{path}: {fault}");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_scope_is_ours_to_read() {
    let upstream = Upstream::new(|_| answer(429, "")).await;
    let stage = Stage::at(&upstream).await;
    let scoped = |scope: &str| {
        let request = asked("GET", "/gateway/lone/").header("keyherd-scope", scope);
        request.body(full("")).expect("is a request")
    };
    assert_eq!(stage.ask(scoped("large")).await.status(), 429);
    assert_eq!(upstream.seen()[0].header("keyherd-scope"), None);
    assert!(matches!(stage.open(scoped("large")).await, Err(Fault::Refused { .. })), "that model rests");
    assert_eq!(stage.ask(scoped("small")).await.status(), 429, "the others do not");
    let bad = stage.open(scoped(&"x".repeat(300))).await;
    assert!(matches!(bad, Err(Fault::BadRequest(_))), "{bad:?}");
}

#[tokio::test]
async fn what_would_come_back_with_the_credential_is_not_sent() {
    let upstream = Upstream::new(|seen| answer(200, format!("{:?}", seen.head.headers))).await;
    let stage = Stage::at(&upstream).await;
    for method in ["TRACE", "CONNECT"] {
        let request = asked(method, "/gateway/lone/").body(full("")).expect("is a request");
        let fault = stage.open(request).await.expect_err("is refused");
        assert!(matches!(fault, Fault::BadMethod(_)), "{fault:?}");
    }
    assert_eq!(upstream.seen().len(), 0);
}

#[tokio::test]
async fn a_redirect_does_not_bring_the_credential_back() {
    let upstream = Upstream::new(|seen| {
        let mut answer = answer(301, "");
        let address = format!("{}&b=2", seen.head.uri);
        answer.headers_mut().insert("location", address.parse().expect("is a value"));
        answer.headers_mut().insert("x-asked", address.parse().expect("is a value"));
        answer
    })
    .await;
    let stage = Setting { query: Some("key"), ..Setting::at(&upstream) }.stage().await;
    let got = stage.read("/gateway/lone/x?a=1").await;
    assert_eq!(upstream.seen()[0].head.uri, "/x?a=1&key=secret-lone");
    assert_eq!(got.head.headers["location"], "/x?a=1&b=2");
    assert!(!format!("{got:?}").contains("secret-lone"), "{got:?}");
}

struct Gone;

#[async_trait]
impl Recheck for Gone {
    async fn ask(&self) -> Result<(), Fault> {
        Err(Fault::Denied("is gone".into()))
    }
}

#[tokio::test]
async fn who_has_waited_for_a_token_is_looked_at_once_more() {
    let upstream = Upstream::new(|_| answer(200, "")).await;
    let stage = Stage::at(&upstream).await;
    let ask = || {
        let request = get("/gateway/lone/");
        stage.gateway.answer(Asked { recheck: Some(&Gone), ..stage.asked(&request) }, request)
    };
    let fault = ask().await.expect_err("was revoked meanwhile");
    assert!(matches!(fault, Fault::Denied(_)), "{fault:?}");
    assert_eq!(upstream.seen().len(), 0);
    assert_eq!(stage.read("/gateway/lone/").await.status(), 200);
    assert_eq!(ask().await.expect("goes").status(), 200, "nobody waits for what is in memory");
}

#[tokio::test]
async fn upstreams_own_words_for_a_status_do_not_pass() {
    let upstream = Upstream::raw(b"HTTP/1.1 200 secret-lone\r\ncontent-length: 0\r\n\r\n").await;
    let answer = Stage::at(&upstream).await.open(get("/gateway/lone/")).await.expect("is answered");
    assert!(answer.extensions().get::<hyper::ext::ReasonPhrase>().is_none());
}

/// It would go on without its coding, and without a word of it.
#[tokio::test]
async fn a_request_with_a_transfer_coding_is_refused() {
    let upstream = Upstream::new(|_| answer(200, "")).await;
    let stage = Stage::at(&upstream).await;
    let coded = asked("POST", "/gateway/lone/").header("transfer-encoding", "gzip, chunked");
    let fault = stage.open(coded.body(full("")).expect("is a request")).await.expect_err("is refused");
    assert!(matches!(&fault, Fault::BadRequest(problem) if problem.contains("transfer coding")), "{fault:?}");
    assert_eq!(upstream.seen().len(), 0);
}
