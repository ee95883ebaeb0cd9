//! Connections that go on in another protocol, through a listener as the real one is.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use keyherd_proxy::ExchangeLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stage::{Setting, Stage, actor, parsed};
use crate::swapping::{Proxy, untrusting};
use crate::upstream::{Body, Upstream, by_hand, data, full, lock, status, until};

/// Goes on as an echo, unless its token is the limited one.
async fn echoing() -> Upstream {
    Upstream::streaming(
        Arc::new(|mut request: Request<Incoming>| {
            Box::pin(async move {
                if request.headers()["authorization"] == "Bearer secret-a" {
                    return status(429);
                }
                if request.headers().get("upgrade").is_none_or(|protocol| protocol != "websocket") {
                    return status(426);
                }
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let mut stream = TokioIo::new(upgrade.await.expect("goes on"));
                    let (mut from, mut to) = tokio::io::split(&mut stream);
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                    let _ = to.shutdown().await;
                });
                Response::builder()
                    .status(101)
                    .header("connection", "upgrade")
                    .header("upgrade", "websocket")
                    .header("sec-websocket-accept", "yes")
                    .body(full(""))
                    .expect("is an answer")
            })
        }),
        None,
    )
    .await
}

async fn listening(stage: &Arc<Stage>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let at = listener.local_addr().expect("has one");
    let stage = Arc::clone(stage);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stage = Arc::clone(&stage);
            let service = service_fn(move |request: Request<Incoming>| {
                let stage = Arc::clone(&stage);
                async move {
                    let request = request.map(|body| UnsyncBoxBody::new(body.map_err(Into::into)));
                    let answer: Response<Body> = match stage.open(request).await {
                        Ok(answer) => answer.map(UnsyncBoxBody::new),
                        Err(fault) => {
                            Response::builder().status(502).body(full(fault.to_string())).expect("is one")
                        }
                    };
                    Ok::<_, Infallible>(answer)
                }
            });
            tokio::spawn(async move {
                let http = auto::Builder::new(TokioExecutor::new());
                let _ = http.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
            });
        }
    });
    at
}

async fn greet(at: SocketAddr, name: &str, protocol: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(at).await.expect("connects");
    let head = format!(
        "GET /gateway/{name}/ws HTTP/1.1\r\nhost: x\r\nauthorization: Bearer k\r\nconnection: Upgrade\r\nupgrade: {protocol}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.expect("says something"));
    }
    (stream, String::from_utf8(answer).expect("is text"))
}

#[tokio::test]
async fn bytes_pass_both_ways_once_upstream_goes_on() {
    let upstream = echoing().await;
    let stage = Arc::new(Stage::at(&upstream).await);
    let at = listening(&stage).await;
    let (mut stream, head) = greet(at, "pool", "websocket").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("upgrade: websocket") && head.contains("sec-websocket-accept: yes"), "{head}");
    for text in ["hello", "world"] {
        stream.write_all(text.as_bytes()).await.expect("writes");
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await.expect("reads");
        assert_eq!(back, text.as_bytes());
    }
    assert_eq!(
        stage.rest("a").await.as_deref(),
        Some("rate_limit"),
        "it was asked with the next one's token"
    );
    stream.shutdown().await.expect("ends");
    assert_eq!(stream.read(&mut [0; 8]).await.expect("ends"), 0, "the end passes too");
    stage.gateway.shutdown().await;
}

#[tokio::test]
async fn who_does_not_go_on_answers_as_ever() {
    let upstream = echoing().await;
    let stage = Arc::new(Stage::at(&upstream).await);
    let at = listening(&stage).await;
    let (_stream, head) = greet(at, "lone", "other").await;
    assert!(head.starts_with("HTTP/1.1 426"), "{head}");
}

#[tokio::test]
async fn a_silent_one_is_ended_and_shutdown_ends_all() {
    let upstream = echoing().await;
    let limits = ExchangeLimits { idle_timeout: Duration::from_millis(20), ..ExchangeLimits::default() };
    let stage = Arc::new(Setting { limits, ..Setting::at(&upstream) }.stage().await);
    let at = listening(&stage).await;
    let (mut stream, _) = greet(at, "lone", "websocket").await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
    let stage = Arc::new(Stage::at(&upstream).await);
    let at = listening(&stage).await;
    let (mut stream, _) = greet(at, "lone", "websocket").await;
    stage.gateway.shutdown().await;
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn they_count_against_the_bound_until_they_end() {
    let upstream = echoing().await;
    let limits = ExchangeLimits {
        requests_max: 1,
        queue_timeout: Duration::from_millis(30),
        ..ExchangeLimits::default()
    };
    let stage = Arc::new(Setting { limits, ..Setting::at(&upstream) }.stage().await);
    let at = listening(&stage).await;
    let (first, head) = greet(at, "lone", "websocket").await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let (_second, head) = greet(at, "lone", "websocket").await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    drop(first);
    let again = async { while !greet(at, "lone", "websocket").await.1.starts_with("HTTP/1.1 101") {} };
    tokio::time::timeout(Duration::from_secs(20), again).await.expect("its place is free");
}

#[tokio::test]
async fn a_revoked_agents_connections_and_streams_end() {
    let upstream = echoing().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let (authority, auth, lone) = (upstream.at.to_string(), proxy.auth(), proxy.phantom("lone").await);
    let upgrade = format!(
        "GET http://{authority}/ws HTTP/1.1\r\nhost: {authority}\r\nauthorization: Bearer {lone}\r\n{auth}connection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    let mut socket = said(proxy.at, &upgrade, "HTTP/1.1 101").await;
    socket.write_all(b"hello").await.expect("writes");
    let mut back = [0; 5];
    soon(socket.read_exact(&mut back)).await.expect("comes back");

    let (hand, body) = by_hand();
    let body = Mutex::new(Some(body));
    let streaming = Upstream::new(move |_| {
        let answer = Response::builder().header("content-type", "text/event-stream");
        answer.body(lock(&body).take().expect("is asked once")).expect("is an answer")
    })
    .await;
    proxy.bind("lone", &streaming).await;
    hand.send(data("data: hello\n\n")).await.expect("is read");
    let authority = streaming.at.to_string();
    let asked = format!("GET http://{authority}/ HTTP/1.1\r\nhost: {authority}\r\n{auth}\r\n");
    let mut events = said(proxy.at, &asked, "HTTP/1.1 200").await;

    proxy.stage.host.broker.revoke_agent(&parsed("robot"), &actor()).await.expect("is revoked");
    for stream in [&mut socket, &mut events] {
        let mut rest = Vec::new();
        // It ends, in whatever way.
        let _ = soon(stream.read_to_end(&mut rest)).await;
    }
    until("upstream hears of it", || hand.is_closed()).await;
}

/// A connection on which this was said, and answered so.
async fn said(at: SocketAddr, request: &str, begins: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.expect("connects");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon(stream.read_u8()).await.expect("says something"));
    }
    assert!(head.starts_with(begins.as_bytes()), "{}", head.escape_ascii());
    stream
}

async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("takes no minute")
}
