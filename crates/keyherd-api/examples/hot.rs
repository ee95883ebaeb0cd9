//! ad hoc
#![allow(warnings)]
use std::sync::Arc;
use std::time::{Duration, Instant};
use axum::{Router, routing::post, extract::State, http::HeaderMap, response::{Response,IntoResponse}, body::Bytes};
use keyherd_api::*;
use keyherd_core::{broker::*, credential::*, fakes::*, provider::Profile, secret::Secret, audit::Actor};
use tower::ServiceExt;
async fn bare(State(tok): State<Arc<(String, String)>>, headers: HeaderMap, body: Bytes) -> Response {
    use subtle::ConstantTimeEq;
    let given = headers.get("authorization").map(|v| v.as_bytes()).unwrap_or(b"");
    if !bool::from(given.ct_eq(tok.0.as_bytes())) { return http::StatusCode::UNAUTHORIZED.into_response(); }
    ([("content-type","application/json"),("cache-control","no-store")], tok.1.clone()).into_response()
}
fn main() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let which = std::env::args().nth(1).unwrap();
    rt.block_on(async move {
        let provider = ScriptedProvider::new([]);
        let fleet = Fleet::new(Arc::new(provider), [Profile::default()]);
        let host = fleet.host();
        let now = host.broker.now();
        let draft = Draft::parse(DraftFields { name: "acme-1".into(), provider: "generic".into(), token_url: Some("https://p.example/t".into()), access_token: Some("a-token-of-some-usual-length-0123456789abcdef".into()), refresh_token: Some("r".into()), expires_at: Some(now + Duration::from_secs(360000)), ..Default::default() }).unwrap();
        host.broker.connect(draft, ConnectMode::Create, &Actor::new("x")).await.unwrap();
        let state = ApiState { broker: host.broker.clone(), callers: Callers::new(&Secret::from("admin-token-0123456789abcdef0123456789abcdef")), metrics: Metrics::install().unwrap(), hosts: Hosts::default() };
        let api = Api::new(state, ApiLimits::default());
        let answer = { let r = api.seat(([127,0,0,1],8484).into(), false).oneshot(http::Request::post("/v1/token").header("host","localhost:8484").header("authorization","Bearer admin-token-0123456789abcdef0123456789abcdef").body(axum::body::Body::from("{\"name\":\"acme-1\"}")).unwrap()).await.unwrap(); axum::body::to_bytes(r.into_body(), 9999).await.unwrap() };
        println!("{}", String::from_utf8_lossy(&answer));
        let bare = Router::new().route("/v1/token", post(bare)).with_state(Arc::new(("Bearer admin-token-0123456789abcdef0123456789abcdef".to_owned(), String::from_utf8_lossy(&answer).into_owned())));
        if which == "inproc" {
            for round in 0..3 {
                const N: u32 = 300_000;
                let t = Instant::now();
                for _ in 0..N { let r = api.seat(([127,0,0,1],8484).into(), false).oneshot(http::Request::post("/v1/token").header("host","localhost:8484").header("authorization","Bearer admin-token-0123456789abcdef0123456789abcdef").body(axum::body::Body::from("{\"name\":\"acme-1\"}")).unwrap()).await.unwrap(); std::hint::black_box(r); }
                let a = t.elapsed() / N;
                let t = Instant::now();
                for _ in 0..N { let r = bare.clone().oneshot(http::Request::post("/v1/token").header("host","localhost:8484").header("authorization","Bearer admin-token-0123456789abcdef0123456789abcdef").body(axum::body::Body::from("{\"name\":\"acme-1\"}")).unwrap()).await.unwrap(); std::hint::black_box(r); }
                println!("keyherd {a:?} bare {:?}", t.elapsed() / N);
            }
            return;
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        if which == "keyherd" { tokio::spawn(serve(listener, api, None, Default::default())); } else { tokio::spawn(async move { axum::serve(listener, bare).await }); }
        // clients on a thread of their own
        std::thread::spawn(move || {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            rt.block_on(async move {
                use tokio::io::*;
                let req = format!("POST /v1/token HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer admin-token-0123456789abcdef0123456789abcdef\r\ncontent-length: 17\r\n\r\n{{\"name\":\"acme-1\"}}", at.port());
                let mut js = vec![];
                let t = Instant::now();
                for _ in 0..64 { let req = req.clone(); js.push(tokio::spawn(async move { let mut s = tokio::net::TcpStream::connect(at).await.unwrap(); s.set_nodelay(true); let mut b = [0u8; 4096]; for _ in 0..5000 { s.write_all(req.as_bytes()).await.unwrap(); let n = s.read(&mut b).await.unwrap(); assert!(b.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&b[..n])); } })); }
                for j in js { j.await.unwrap(); }
                println!("wall per request {:?}", t.elapsed() / 320_000);
            });
        }).join().unwrap();
        for t in std::fs::read_dir("/proc/self/task").unwrap() { let p = t.unwrap().path(); let c = std::fs::read_to_string(p.join("comm")).unwrap(); let s = std::fs::read_to_string(p.join("stat")).unwrap(); let f: Vec<&str> = s.rsplit(')').next().unwrap().split_whitespace().collect(); println!("{} utime {} stime {}", c.trim(), f[11], f[12]); }
    });
}
