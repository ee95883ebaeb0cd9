//! Logins that an agent makes itself at a token endpoint: kept in the credential that they are of, answered in phantoms.

use std::sync::Arc;
use std::time::Duration;

use async_compression::tokio::write::{BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder};
use http::Response;
use keyherd_core::credential::{DraftFields, Loaded};
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::AuditStore;
use keyherd_core::secret::Secret;
use keyherd_proxy::SwapLimits;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;

use crate::stage::{Setting, parsed};
use crate::swapping::{Proxy, untrusting};
use crate::upstream::{Body, Upstream, answer, until};

const FORM: &str = "application/x-www-form-urlencoded";
const CODE: &str = "grant_type=authorization_code&code=c0de&code_verifier=v&client_id=app";

/// An answer in JSON.
fn said(status: u16, document: &Value) -> Response<Body> {
    typed(answer(status, document.to_string()), "application/json")
}

fn typed(mut response: Response<Body>, kind: &str) -> Response<Body> {
    response.headers_mut().insert("content-type", kind.parse().expect("is a value"));
    response
}

fn tokens() -> Value {
    json!({"access_token": "at-planted-1", "refresh_token": "rt-planted-1", "id_token": "eyJhIjoxfQ.eyJiIjoxfQ.planted",
           "token_type": "Bearer", "expires_in": "1800", "scope": "a"})
}

/// Credentials of these names and client apps with their token endpoint at the upstream; an agent that may use what is named.
async fn proxy(
    provider: &Upstream,
    accounts: &[(&str, &str)],
    allowed: &[&str],
    limits: SwapLimits,
) -> Proxy {
    let stage = Setting::at(provider).stage().await;
    for (name, client) in accounts {
        stage
            .import(DraftFields {
                name: (*name).into(),
                provider: "generic".into(),
                access_token: Some(format!("at-{name}-0").into()),
                refresh_token: Some(format!("rt-{name}-0").into()),
                expires_at: Some(stage.fleet.clock.now() + Duration::from_secs(3_600)),
                token_url: Some(format!("{}/token", provider.url())),
                client_id: (!client.is_empty()).then(|| (*client).into()),
                ..DraftFields::default()
            })
            .await;
    }
    if accounts.len() > 1 {
        let members: Vec<&str> = accounts.iter().map(|(name, _)| *name).collect();
        stage.pool("team", &members.join(" "), keyherd_core::pool::Strategy::Failover).await;
    }
    Proxy::on(stage, allowed, (provider, "127.0.0.1", &["lone"]), untrusting(), limits).await
}

impl Proxy {
    /// All that is said to a request with that body.
    async fn posted(&self, provider: &Upstream, path: &str, kind: &str, body: &str) -> String {
        let headers = format!("Content-Type: {kind}\r\nContent-Length: {}\r\n", body.len());
        self.told(provider, &format!("POST {path}"), &headers, body).await
    }

    async fn kept(&self, name: &str) -> Loaded {
        self.stage.host.broker.show(&parsed(name)).await.expect("is there")
    }

    async fn access_token(&self, name: &str) -> String {
        let token = self.kept(name).await.chain.tokens.access_token;
        token.as_ref().map(Secret::expose).unwrap_or_default().to_owned()
    }
}

fn body(told: &str) -> &str {
    told.split_once("\r\n\r\n").expect("has a head").1
}

fn object(told: &str) -> Value {
    serde_json::from_str(body(told)).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[track_caller]
fn refused(told: &str, status: &str, words: &[&str]) {
    assert!(told.starts_with(&format!("HTTP/1.1 {status}")), "{told}");
    assert!(told.contains("application/problem+json"), "{told}");
    assert!(words.iter().all(|word| told.contains(word)), "{words:?}: {told}");
    assert!(!told.contains("planted"), "{told}");
}

#[tokio::test]
async fn a_login_is_kept_and_answered_in_phantoms() {
    let provider = Upstream::new(|_| said(200, &tokens())).await;
    let proxy = proxy(&provider, &[("acme", "app")], &["acme"], SwapLimits::default()).await;
    let phantom = proxy.phantom("acme").await;
    let device =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=d&client_id=app";
    let object_body = r#"{"grant_type":"authorization_code","code":"c0de","client_id":"app"}"#;
    for (kind, asked) in [(FORM, CODE), ("application/json", object_body), (FORM, device)] {
        let before = proxy.kept("acme").await.chain.generation;
        let told = proxy.posted(&provider, "/token", kind, asked).await;
        let granted = object(&told);
        assert!(told.starts_with("HTTP/1.1 200") && told.contains("no-store"), "{told}");
        assert_eq!(granted["access_token"], *phantom);
        assert_eq!(granted["refresh_token"], *phantom);
        assert_eq!((granted["expires_in"].as_str(), granted["scope"].as_str()), (Some("1800"), Some("a")));
        let id = granted["id_token"].as_str().expect("is there");
        assert!(id.starts_with("eyJ") && id.split('.').count() == 3 && !told.contains("planted"), "{told}");
        assert_eq!(provider.seen().pop().expect("came").body, asked, "it passed as it was");
        let now = proxy.kept("acme").await;
        assert_eq!(proxy.access_token("acme").await, "at-planted-1");
        assert_eq!(now.chain.tokens.refresh_token, Some("rt-planted-1".into()));
        let left = now.chain.tokens.expires_at.map(|end| proxy.stage.fleet.clock.now().until(end).as_secs());
        assert!(left.is_some_and(|left| (1_500..=1_800).contains(&left)), "{left:?}");
        assert!(now.chain.generation >= before);
        assert_eq!(now.chain.client.id.as_deref(), Some("app"), "all else is as it was");
    }
    let entries = proxy.stage.host.store.entries(0, 1_000).await.expect("are there");
    let reconnects: Vec<_> = entries.iter().filter(|entry| entry.action == "credential.reconnect").collect();
    assert_eq!(reconnects.len(), 3, "one for each login");
    assert!(reconnects.iter().all(|entry| entry.actor == "agent:robot" && entry.subject == "acme"));
}

#[tokio::test]
async fn in_every_coding_and_as_a_form() {
    macro_rules! encoded {
        ($encoder:ident) => {{
            let mut encoder = $encoder::new(Vec::new());
            encoder.write_all(tokens().to_string().as_bytes()).await.expect("is in memory");
            encoder.shutdown().await.expect("is in memory");
            encoder.into_inner()
        }};
    }
    let coded = [
        ("gzip", encoded!(GzipEncoder)),
        ("br", encoded!(BrotliEncoder)),
        ("zstd", encoded!(ZstdEncoder)),
        ("deflate", encoded!(ZlibEncoder)),
        ("deflate", encoded!(DeflateEncoder)),
        ("unheard-of", tokens().to_string().into_bytes()),
    ];
    let provider = Upstream::new(move |seen| {
        match seen.header("x-coding").and_then(|number| number.parse::<usize>().ok()) {
            Some(number) => {
                let (coding, bytes): &(&str, Vec<u8>) = &coded[number];
                let mut response = typed(answer(200, bytes.clone()), "application/json");
                response.headers_mut().insert("content-encoding", coding.parse().expect("is a value"));
                response
            }
            None => typed(
                answer(200, "access_token=at-planted-2&token_type=bearer&refresh_token=rt-planted-2"),
                FORM,
            ),
        }
    })
    .await;
    let proxy = proxy(&provider, &[("acme", "app")], &["acme"], SwapLimits::default()).await;
    let phantom = proxy.phantom("acme").await;
    for number in 0..5 {
        let headers =
            format!("Content-Type: {FORM}\r\nX-Coding: {number}\r\nContent-Length: {}\r\n", CODE.len());
        let told = proxy.told(&provider, "POST /token", &headers, CODE).await;
        assert_eq!(object(&told)["access_token"], *phantom, "{number}: {told}");
        assert!(!told.contains("content-encoding"), "{told}");
    }
    let headers = format!("Content-Type: {FORM}\r\nX-Coding: 5\r\nContent-Length: {}\r\n", CODE.len());
    let told = proxy.told(&provider, "POST /token", &headers, CODE).await;
    refused(&told, "502", &["withheld", "undecodable"]);
    let told = proxy.posted(&provider, "/token", FORM, CODE).await;
    assert_eq!(body(&told), format!("access_token={phantom}&refresh_token={phantom}&token_type=bearer"));
    assert_eq!(proxy.access_token("acme").await, "at-planted-2");
}

#[tokio::test]
async fn a_provider_that_grants_nothing_is_heard() {
    let provider = Upstream::new(|seen| match &seen.body[..] {
        body if body.ends_with(b"200") => said(200, &json!({"ok": false, "error": "slow_down", "interval": 9})),
        body if body.ends_with(b"html") => typed(answer(503, "<html>planted</html>"), "text/html"),
        body if body.ends_with(b"none") => said(200, &json!({"hello": "planted"})),
        body if body.ends_with(b"list") => said(200, &json!(["at-planted"])),
        _ => said(400, &json!({"error": "authorization_pending", "error_description": "wait", "access_token": "planted"})),
    })
    .await;
    let proxy = proxy(&provider, &[("acme", "app")], &["acme"], SwapLimits::default()).await;
    let told = proxy.posted(&provider, "/token", FORM, CODE).await;
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    assert_eq!(object(&told), json!({"error": "authorization_pending", "error_description": "wait"}));
    let told = proxy.posted(&provider, "/token", FORM, &format!("{CODE}&x=200")).await;
    assert_eq!(object(&told), json!({"ok": false, "error": "slow_down", "interval": 9}));
    for what in ["html", "none", "list"] {
        let told = proxy.posted(&provider, "/token", FORM, &format!("{CODE}&x={what}")).await;
        refused(&told, "502", &["withheld"]);
    }
    assert_eq!(proxy.access_token("acme").await, "at-acme-0", "nothing was kept");
}

#[tokio::test]
async fn one_of_two_accounts_is_known_by_its_client_app() {
    let provider = Upstream::new(|_| said(200, &tokens())).await;
    let accounts = [("one-a", "app-a"), ("one-b", "app-b")];
    let proxy = proxy(&provider, &accounts, &["team"], SwapLimits::default()).await;
    let team = proxy.phantom("team").await;
    let asked = "grant_type=authorization_code&code=c&client_id=app-b";
    let told = proxy.posted(&provider, "/token", FORM, asked).await;
    assert_eq!(object(&told)["access_token"], *team, "the pool's phantom stays");
    assert_eq!(proxy.access_token("one-b").await, "at-planted-1");
    assert_eq!(proxy.access_token("one-a").await, "at-one-a-0");
    let basic = "Basic YXBwLWE6c2VjcmV0";
    let asked = "grant_type=authorization_code&code=c";
    let headers =
        format!("Authorization: {basic}\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n", asked.len());
    proxy.told(&provider, "POST /token", &headers, asked).await;
    // The same refresh token cannot be two accounts': it is b's already.
    assert_eq!(proxy.access_token("one-a").await, "at-one-a-0");
}

#[tokio::test]
async fn what_cannot_be_attributed_goes_nowhere() {
    let provider = Upstream::new(|_| said(200, &tokens())).await;
    let accounts = [("one-a", "app"), ("one-b", "app")];
    let allowed = ["team", "one"];
    let proxy = proxy(&provider, &accounts, &allowed, SwapLimits::default()).await;
    let asked = |body: &str| proxy_body(body);
    for (body, words) in [
        (CODE, &["several accounts", "team", "cred login"][..]),
        (&asked("client_id=other"), &["client app"]),
        (&asked("client_id=app&client_id=other"), &["twice"]),
        ("grant_type=client_credentials&client_id=app&client_secret=x", &["logins", "cred add"]),
        ("grant_type=refresh_token&refresh_token=somebody-elses", &["phantom", "cred login"]),
    ] {
        let told = proxy.posted(&provider, "/token", FORM, body).await;
        refused(&told, if words == ["twice"] { "502" } else { "403" }, words);
    }
    refused(&proxy.posted(&provider, "/token", "text/plain", CODE).await, "502", &["form", "JSON"]);
    assert!(provider.seen().is_empty(), "nothing was sent");
    for name in ["one-a", "one-b"] {
        assert_eq!(proxy.access_token(name).await, format!("at-{name}-0"));
    }
}

fn proxy_body(rest: &str) -> String {
    format!("grant_type=authorization_code&code=c&{rest}")
}

#[tokio::test]
async fn a_refresh_by_a_pools_phantom_or_by_a_real_token_is_answered_here() {
    let provider = Upstream::new(|_| said(200, &tokens())).await;
    let accounts = [("one-a", "app"), ("one-b", "app")];
    let proxy = proxy(&provider, &accounts, &["team"], SwapLimits::default()).await;
    let team = proxy.phantom("team").await;
    for spent in [&*team, "rt-one-b-0", "rt-one-a-0"] {
        let asked = format!("grant_type=refresh_token&refresh_token={spent}&client_id=app");
        let told = proxy.posted(&provider, "/token", FORM, &asked).await;
        assert_eq!(object(&told)["refresh_token"], *team, "{spent}: {told}");
        assert!(!told.contains("at-one") && !told.contains("rt-one"), "{told}");
    }
    assert!(provider.seen().is_empty(), "nothing was spent behind the engine's back");
    assert_eq!(proxy.stage.provider.calls(), 0);
}

#[tokio::test]
async fn what_has_changed_meanwhile_gets_nothing() {
    let (came, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (coming, going) = (Arc::clone(&came), Arc::clone(&go));
    let waiting = move |_| -> futures_util::future::BoxFuture<'static, Response<Body>> {
        let (coming, going) = (Arc::clone(&coming), Arc::clone(&going));
        Box::pin(async move {
            coming.notify_one();
            going.notified().await;
            said(200, &tokens())
        })
    };
    let provider = Upstream::streaming(Arc::new(waiting), None).await;
    let proxy = proxy(&provider, &[("acme", "app")], &["acme"], SwapLimits::default()).await;
    let broker = proxy.stage.host.broker.clone();
    let asked = proxy.posted(&provider, "/token", FORM, CODE);
    let meanwhile = async {
        came.notified().await;
        let amendment = keyherd_core::credential::Amendment { disabled: Some(true), ..Default::default() };
        broker.amend(&parsed("acme"), amendment, &crate::stage::actor()).await.expect("is there");
        go.notify_one();
    };
    let both = async { tokio::join!(asked, meanwhile) };
    let (told, ()) = tokio::time::timeout(Duration::from_secs(60), both).await.expect("takes no minute");
    refused(&told, "502", &["changed", "log in anew"]);
    assert_eq!(proxy.access_token("acme").await, "at-acme-0");
    let told = proxy.posted(&provider, "/token", FORM, CODE).await;
    refused(&told, "403", &["switched off"]);
}

async fn until_seen(provider: &Upstream) {
    until("the login came", || !provider.seen().is_empty()).await;
}

#[tokio::test]
async fn who_leaves_loses_no_login() {
    let provider = Upstream::new(|_| said(200, &tokens())).await;
    let proxy = proxy(&provider, &[("acme", "app")], &["acme"], SwapLimits::default()).await;
    let told = tokio::time::timeout(Duration::from_secs(60), async {
        let mut stream = tokio::net::TcpStream::connect(proxy.at).await.expect("is open");
        let head = format!(
            "POST http://{0}/token HTTP/1.1\r\nHost: {0}\r\n{1}Content-Type: {FORM}\r\nContent-Length: {2}\r\n\r\n{CODE}",
            provider.at,
            proxy.auth(),
            CODE.len()
        );
        stream.write_all(head.as_bytes()).await.expect("is open");
        until_seen(&provider).await;
        drop(stream);
        while proxy.access_token("acme").await != "at-planted-1" {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    told.await.expect("the login is kept");
}

#[tokio::test]
async fn agents_may_be_kept_from_logging_in() {
    let provider = Upstream::new(|_| said(200, &tokens())).await;
    let limits = SwapLimits { agent_logins: false, ..SwapLimits::default() };
    let proxy = proxy(&provider, &[("acme", "app")], &["acme"], limits).await;
    refused(&proxy.posted(&provider, "/token", FORM, CODE).await, "403", &["agent_logins"]);
    assert!(provider.seen().is_empty());
}

#[tokio::test]
async fn a_phantom_is_not_the_agents_to_revoke() {
    let provider = Upstream::new(|_| answer(200, "")).await;
    let proxy = proxy(&provider, &[("acme", "app")], &["acme", "lone"], SwapLimits::default()).await;
    for (name, path) in [("acme", "/oauth2/revoke"), ("lone", "/revocation"), ("lone", "/auth.revoke?x=1")] {
        let phantom = proxy.phantom(name).await;
        let asked = format!("token={phantom}&token_type_hint=refresh_token");
        let told = proxy.posted(&provider, path, FORM, &asked).await;
        assert!(told.starts_with("HTTP/1.1 400") && told.contains("unsupported_token_type"), "{told}");
    }
    let told =
        proxy.told(&provider, &format!("POST /revoke?token={}", proxy.phantom("lone").await), "", "").await;
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    assert!(provider.seen().is_empty(), "nothing was revoked");
    proxy.posted(&provider, "/revoke", FORM, "token=the-agents-own").await;
    assert_eq!(provider.seen().pop().expect("came").body, "token=the-agents-own");
}
