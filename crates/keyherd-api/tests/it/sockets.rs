//! The door on real sockets: its limits, its protocols, and how it stops.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyherd_api::{Annex, AnnexRequest, ApiLimits, Caller, Problem, Reply, reply, serve};
use keyherd_core::fakes::granted;
use keyherd_core::workers::Workers;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{ADMIN, World, door_before};

/// Long enough for anything that is to happen; what fails, fails by it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Served {
    world: World,
    at: SocketAddr,
    stop: CancellationToken,
    end: JoinHandle<bool>,
}

async fn served(world: World) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (at, stop) = (listener.local_addr().expect("has one"), CancellationToken::new());
    let (api, stopped) = (world.api.clone(), stop.clone());
    let end = tokio::spawn(async move { serve(listener, api, None, &Workers::default(), stopped).await });
    Served { world, at, stop, end }
}

impl Served {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.at).await.expect("connects")
    }

    fn head(&self, method: &str, path: &str, body: &str) -> String {
        let (port, len) = (self.at.port(), body.len());
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {ADMIN}\r\ncontent-length: {len}\r\n\r\n{body}"
        )
    }

    /// Until the provider was called.
    async fn provider_called(&self) {
        let called = async {
            while self.world.provider.calls() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, called).await.expect("called in time");
    }

    async fn stopped(self) -> bool {
        self.stop.cancel();
        tokio::time::timeout(PATIENCE, self.end).await.expect("in time").expect("no panic")
    }
}

/// Reads until `end` stands in what was read, or the connection ends.
async fn read_to(stream: &mut TcpStream, end: &str) -> String {
    let work = async {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&text).contains(end) {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(len) => text.extend_from_slice(&buffer[..len]),
            }
        }
        String::from_utf8_lossy(&text).into_owned()
    };
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let served = served(World::new([])).await;
    served.world.credential("acme-1", 3600).await;
    let mut stream = served.connect().await;
    for _ in 0..3 {
        let ask = served.head("POST", "/v1/token", "{\"name\":\"acme-1\"}");
        stream.write_all(ask.as_bytes()).await.expect("writes");
        let answer = read_to(&mut stream, "\"generation\":").await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("cache-control: no-store"), "{answer}");
    }
    assert!(served.stopped().await);
}

/// The default is what hyper has room for by itself: should that become another number, it is told here.
#[tokio::test]
async fn so_many_header_lines_and_no_more() {
    let served = served(World::new([])).await;
    let max = ApiLimits::default().headers_max;
    for (count, status) in [(max, "200"), (max + 1, "431")] {
        // Three are there already.
        let lines = format!("\r\nx: y{}\r\n\r\n", "\r\nx: y".repeat(count - 4));
        let ask = served.head("GET", "/healthz", "").replace("\r\n\r\n", &lines);
        let mut stream = served.connect().await;
        stream.write_all(ask.as_bytes()).await.expect("writes");
        let answer = read_to(&mut stream, "\r\n\r\n").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{count}: {answer}");
    }
    assert!(served.stopped().await);
}

#[tokio::test]
async fn http2_is_spoken() {
    let served = served(World::new([])).await;
    served.world.credential("acme-1", 3600).await;
    let io = TokioIo::new(served.connect().await);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("shakes hands");
    let connection = tokio::spawn(connection);
    let request = http::Request::post(format!("http://localhost:{}/v1/token", served.at.port()))
        .header("authorization", format!("Bearer {ADMIN}"))
        .body(Full::new(bytes::Bytes::from_static(b"{\"name\":\"acme-1\"}")))
        .expect("is a request");
    let response = client.send_request(request).await.expect("is answered");
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    let body = response.into_body().collect().await.expect("is whole").to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("planted-access-acme-1"));
    drop(client);
    assert!(served.stopped().await);
    let _ = connection.await;
}

#[tokio::test]
async fn a_client_that_hangs_up_cancels_no_refresh() {
    let world = World::new([granted("new-access", "new-refresh")]);
    world.provider.takes(Duration::from_millis(300));
    world.credential("acme-1", -1).await;
    let served = served(world).await;
    let ask = served.head("POST", "/v1/token", "{\"name\":\"acme-1\"}");
    let mut leaver = served.connect().await;
    leaver.write_all(ask.as_bytes()).await.expect("writes");
    served.provider_called().await;
    drop(leaver);
    let mut stream = served.connect().await;
    stream.write_all(ask.as_bytes()).await.expect("writes");
    assert!(read_to(&mut stream, "new-access").await.contains("new-access"));
    assert_eq!(served.world.provider.calls(), 1);
}

#[tokio::test]
async fn silent_and_slow_connections_are_dropped() {
    let limits = ApiLimits { header_timeout: Duration::from_millis(500), ..ApiLimits::default() };
    let served = served(World::with_limits([], limits)).await;
    for opening in ["", "P", "POST /v1/token HT", "POST /v1/token HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut stream = served.connect().await;
        stream.write_all(opening.as_bytes()).await.expect("writes");
        let answer = read_to(&mut stream, "never").await;
        assert!(!answer.contains(" 200 "), "{opening:?}: {answer}");
    }
    let mut idle = served.connect().await;
    idle.write_all(served.head("GET", "/healthz", "").as_bytes()).await.expect("writes");
    let answer = read_to(&mut idle, "never").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "kept a while, then closed: {answer}");
}

#[tokio::test]
async fn a_body_that_stalls_is_given_up() {
    let limits = ApiLimits { request_timeout: Duration::from_millis(100), ..ApiLimits::default() };
    let served = served(World::with_limits([], limits)).await;
    for path in ["/v1/token", "/v1/credentials"] {
        let mut stream = served.connect().await;
        let half = served.head("POST", path, "{\"name\":\"a\"}").replace("\"a\"}", "");
        stream.write_all(half.as_bytes()).await.expect("writes");
        let answer = read_to(&mut stream, "request_timeout").await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let served = served(World::new([])).await;
    let port = served.at.port();
    for filler in [format!("x: {}\r\n", "y".repeat(100_000)), "x: y\r\n".repeat(200)] {
        let mut stream = served.connect().await;
        let head = format!("GET /healthz HTTP/1.1\r\nhost: localhost:{port}\r\n{filler}\r\n");
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = read_to(&mut stream, "\r\n\r\n").await;
        assert!(!answer.contains(" 200 "), "{answer}");
    }
}

#[tokio::test]
async fn connections_are_bounded() {
    let limits = ApiLimits { connections_max: 2, ..ApiLimits::default() };
    let served = served(World::with_limits([], limits)).await;
    let health = served.head("GET", "/healthz", "");
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = served.connect().await;
        stream.write_all(health.as_bytes()).await.expect("writes");
        assert!(read_to(&mut stream, "\"ok\"").await.contains("200"));
        open.push(stream);
    }
    let mut third = served.connect().await;
    third.write_all(health.as_bytes()).await.expect("writes");
    let early = tokio::time::timeout(Duration::from_millis(100), third.read_u8()).await;
    assert!(early.is_err(), "the third waits to be accepted");
    drop(open.pop());
    assert!(read_to(&mut third, "\"ok\"").await.contains("200"));
}

/// Goes on in another protocol with whoever asks, and holds the connection.
struct GoingOn;

#[async_trait]
impl Annex for GoingOn {
    fn is_for(&self, path: &str) -> bool {
        path == "/on"
    }

    async fn answer(&self, _: Caller, mut request: AnnexRequest) -> Result<Reply, Problem> {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.expect("goes on"));
            // Until the client leaves.
            let _ = stream.read_u8().await;
        });
        let answer = http::Response::builder().status(101);
        let answer = answer.header("connection", "upgrade").header("upgrade", "websocket");
        Ok(reply(answer.body(Full::<bytes::Bytes>::default()).expect("is an answer")))
    }
}

#[tokio::test]
async fn connections_that_went_on_in_another_protocol_count() {
    let limits = ApiLimits { connections_max: 1, ..ApiLimits::default() };
    let mut world = World::new([]);
    world.api = door_before(&world.host, limits, Some(Arc::new(GoingOn)));
    let served = served(world).await;
    let mut first = served.connect().await;
    let port = served.at.port();
    let head = format!(
        "GET /on HTTP/1.1\r\nhost: localhost:{port}\r\nauthorization: Bearer {ADMIN}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    );
    first.write_all(head.as_bytes()).await.expect("writes");
    assert!(read_to(&mut first, "\r\n\r\n").await.starts_with("HTTP/1.1 101"));
    let mut second = served.connect().await;
    second.write_all(served.head("GET", "/healthz", "").as_bytes()).await.expect("writes");
    let early = tokio::time::timeout(Duration::from_millis(100), second.read_u8()).await;
    assert!(early.is_err(), "the second waits to be accepted");
    drop(first);
    assert!(read_to(&mut second, "\"ok\"").await.contains("200"));
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_ends_streams() {
    let world = World::new([granted("new-access", "new-refresh")]);
    world.provider.takes(Duration::from_millis(300));
    world.credential("acme-1", -1).await;
    let served = served(world).await;
    let mut events = served.connect().await;
    events.write_all(served.head("GET", "/v1/events", "").as_bytes()).await.expect("writes");
    assert!(read_to(&mut events, "retry: 1000").await.starts_with("HTTP/1.1 200"));
    let mut asking = served.connect().await;
    let ask = served.head("POST", "/v1/token", &json!({"name": "acme-1"}).to_string());
    asking.write_all(ask.as_bytes()).await.expect("writes");
    served.provider_called().await;
    let at = served.at;
    assert!(served.stopped().await, "all was finished");
    assert!(read_to(&mut asking, "new-access").await.contains("new-access"));
    // The stream ended in good order: with the last, empty chunk.
    assert!(read_to(&mut events, "\r\n0\r\n\r\n").await.ends_with("0\r\n\r\n"));
    assert!(TcpStream::connect(at).await.is_err(), "nothing is accepted any more");
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let limits = ApiLimits { drain_timeout: Duration::from_millis(100), ..ApiLimits::default() };
    let world = World::with_limits([granted("new-access", "new-refresh")], limits);
    world.provider.takes(Duration::from_secs(3600));
    world.credential("acme-1", -1).await;
    let served = served(world).await;
    let mut asking = served.connect().await;
    let ask = served.head("POST", "/v1/token", "{\"name\":\"acme-1\"}");
    asking.write_all(ask.as_bytes()).await.expect("writes");
    served.provider_called().await;
    assert!(!served.stopped().await, "one was cut off");
    assert_eq!(read_to(&mut asking, "never").await, "");
}
