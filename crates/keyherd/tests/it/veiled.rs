//! What agents see at the gateway: of an upstream that repeats the token it was called with, and of a stream when they are
//! revoked.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::http::Request;
use crate::provider::access_token;
use crate::proxied::Stage;
use crate::sandbox::MARKER;
use crate::server::Server;
use crate::upstream::Failing;

/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads until that has come.
fn up_to(stream: &mut TcpStream, part: &str) -> String {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    while !text.contains(part) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after: {text}"));
        text.push(byte[0].into());
    }
    text
}

/// Answers the first request with a stream of events that does not end.
fn streaming(listener: &TcpListener) -> (TcpStream, String) {
    let mut stream = listener.accept().unwrap().0;
    let asked = up_to(&mut stream, "\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: hello\n\n";
    stream.write_all(head.as_bytes()).unwrap();
    (stream, asked)
}

/// All that comes until the other side ends it, in whatever way.
fn to_the_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    if let Err(error) = stream.read_to_end(&mut text) {
        assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "it does not end");
    }
    String::from_utf8(text).unwrap()
}

#[test]
fn a_revoked_agents_stream_ends_and_its_next_request_is_refused() {
    let stage = Stage::new();
    let sandbox = &stage.sandbox;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, upstream) = (
        listener.local_addr().unwrap().port().to_string(),
        format!("http://{}", listener.local_addr().unwrap()),
    );
    sandbox
        .run(&["binding", "add", "a", "--host", "127.0.0.1", "--port", &port, "--upstream", &upstream])
        .ok();
    let made = sandbox.run(&["--json", "agent", "create", "robot", "--allow", "a"]).ok().json();
    let key = made["key"].as_str().unwrap();
    let server = Server::start(sandbox);
    let url = format!("{}/gateway/a/events", server.url());
    let address = server.url().strip_prefix("http://").unwrap().to_owned();
    let (teller, told) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let (mut stream, asked) = streaming(&listener);
        to_the_end(&mut stream);
        let _ = teller.send(asked);
    });
    let mut stream = TcpStream::connect(&address).unwrap();
    write!(
        stream,
        "GET /gateway/a/events HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n"
    )
    .unwrap();
    up_to(&mut stream, "data: hello");
    sandbox.run(&["agent", "revoke", "robot"]).ok();
    assert!(!to_the_end(&mut stream).contains("0\r\n\r\n"), "it breaks off");
    let asked = told.recv_timeout(PATIENCE).expect("it is given up upstream too");
    assert!(asked.starts_with("GET /events "), "{asked}");
    let bearer = format!("Bearer {key}");
    let next = Request::new("GET", &url, &[("authorization", &bearer)], "").send().unwrap();
    assert_eq!((next.status, next.json()["code"].as_str()), (401, Some("unauthorized")), "{next:?}");
}

#[test]
fn agents_see_phantoms_where_upstream_says_tokens() {
    let stage = Stage::new();
    let (sandbox, upstream) = (&stage.sandbox, &stage.upstream);
    let authority = upstream.authority();
    let (host, port) = authority.split_once(':').unwrap();
    let bindings = sandbox.run(&["--json", "binding", "list"]).ok().json();
    sandbox.run(&["binding", "remove", bindings["items"][0]["id"].as_str().unwrap()]).ok();
    sandbox.run(&["binding", "add", "a", "--host", host, "--port", port, "--upstream", &upstream.url()]).ok();
    let body: &'static str = Box::leak(format!(r#"{{"you_are":"{}"}}"#, access_token("a", 0)).into());
    upstream.fails("a", Failing { status: "200 OK", headers: "", body });
    let server = Server::start(sandbox);
    let url = format!("{}/gateway/a/v1/things", server.url());
    for flags in [&["robot", "--allow", "a"][..], &["trusted", "--allow", "a", "--may", "token"]] {
        let made = sandbox.run(&[&["--json", "agent", "create"], flags].concat()).ok().json();
        let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
        let answer = Request::new("GET", &url, &[("authorization", &bearer)], "").send().unwrap();
        let env = sandbox.run(&["agent", "env", flags[0]]).ok().out;
        let phantom = env.trim().strip_prefix("A=").unwrap();
        assert_eq!((answer.status, answer.body), (200, format!(r#"{{"you_are":"{phantom}"}}"#)));
    }
    // Who holds the admin token may have them all.
    let (status, told) = server.ask("GET", "/gateway/a/v1/things", "");
    assert!(status == 200 && told.contains(MARKER), "{told}");
}
