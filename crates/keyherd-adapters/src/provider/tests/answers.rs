//! What was sent, and what became of the answer.

use async_compression::tokio::bufread::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use keyherd_core::provider::Method;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::server::{Server, Then, answer};
use super::*;

async fn served(then: Then) -> Delivery {
    call(&Server::start(then).await.url()).await
}

async fn all(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn a_request_arrives_as_it_was_built_on_a_connection_of_its_own() {
    let server =
        Server::start(Then::SayAndWait(answer("200 OK\r\nContent-Type: application/json", b"{}"))).await;
    let (client, request) = (client(), post(&server.url()));
    for _ in 0..2 {
        let reply = answered(client.call(&request, &LIMITS, &|| true).await);
        assert_eq!((reply.status, reply.content_type.as_deref()), (200, Some("application/json")));
        assert_eq!(bytes(&reply), b"{}");
    }
    let heard = server.heard();
    assert_eq!(heard.len(), 2, "one connection for each call");
    let (head, body) = heard[0].split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    assert_eq!(lines.remove(0), "POST /token HTTP/1.1");
    lines.sort_unstable();
    let host = format!("host: {}", server.address);
    let agent = format!("user-agent: keyherd/{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        lines,
        [
            "accept: application/json",
            "connection: close",
            "content-length: 35",
            "content-type: application/x-www-form-urlencoded",
            &host,
            &agent,
        ]
    );
    assert_eq!(body, format!("refresh_token={PLANTED}"));
}

#[tokio::test]
async fn a_profiles_headers_and_a_get_are_sent_as_they_are() {
    let server = Server::start(Then::Say(answer("200 OK", b""))).await;
    let mut request = post(&format!("{}?refresh_token={PLANTED}", server.url()));
    request.method = Method::Get;
    request.headers.push(("user-agent".into(), Secret::from("theirs/1")));
    (request.body, request.content_type) = (None, None);
    answered(client().call(&request, &LIMITS, &|| true).await);
    let heard = &server.heard()[0];
    assert!(heard.starts_with(&format!("GET /token?refresh_token={PLANTED} HTTP/1.1\r\n")), "{heard}");
    assert!(heard.contains("user-agent: theirs/1\r\n") && !heard.contains("keyherd/"), "{heard}");
    assert!(!heard.contains("content-type"), "{heard}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Server::start(Then::Say(answer("200 OK", b""))).await;
    for status in [301, 302, 303, 307, 308] {
        let head = format!("{status} Moved\r\nLocation: {}", elsewhere.url());
        assert_eq!(answered(served(Then::Say(answer(&head, b"gone"))).await).status, status);
    }
    assert_eq!(elsewhere.heard(), [""; 0]);
}

#[tokio::test]
async fn error_answers_come_with_their_bodies_and_retry_after() {
    for status in [400, 401, 403, 429, 500, 502, 503, 504] {
        let head = format!("{status} No\r\nRetry-After: 17\r\nContent-Type: text/html");
        let reply = answered(served(Then::Say(answer(&head, b"<html>no</html>"))).await);
        assert_eq!((reply.status, reply.retry_after.as_deref()), (status, Some("17")));
        assert_eq!(bytes(&reply), b"<html>no</html>");
    }
}

#[tokio::test]
async fn what_goes_before_the_answer_is_skipped() {
    let early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    let reply = answered(served(Then::Say([&early[..], &answer("200 OK", b"yes")].concat())).await);
    assert_eq!((reply.status, bytes(&reply)), (200, &b"yes"[..]));
}

#[tokio::test]
async fn every_framing_of_a_body_is_read() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let closed = b"HTTP/1.1 200 OK\r\n\r\nabcde";
    let old = b"HTTP/1.0 200 OK\r\n\r\nabcde";
    for said in [&chunked[..], closed, old] {
        assert_eq!(bytes(&answered(served(Then::Say(said.to_vec())).await)), b"abcde");
    }
    assert_eq!(bytes(&answered(served(Then::Say(b"HTTP/1.1 204 No\r\n\r\n".to_vec())).await)), b"");
}

#[tokio::test]
async fn codings_are_undone_though_none_was_asked_for() {
    let text = &br#"{"access_token":"a","refresh_token":"r"}"#[..];
    let gzip = all(GzipEncoder::new(text)).await;
    let both = all(BrotliEncoder::new(&gzip[..])).await;
    let cases = [
        ("gzip", gzip.clone()),
        ("X-GZIP", gzip),
        ("br", all(BrotliEncoder::new(text)).await),
        ("zstd", all(ZstdEncoder::new(text)).await),
        ("deflate", all(ZlibEncoder::new(text)).await),
        ("deflate", all(DeflateEncoder::new(text)).await),
        ("identity", text.to_vec()),
        ("gzip, br", both),
    ];
    for (coding, body) in cases {
        let head = format!("200 OK\r\nContent-Encoding: {coding}");
        assert_eq!(bytes(&answered(served(Then::Say(answer(&head, &body))).await)), text, "{coding}");
    }
}

#[tokio::test]
async fn codings_that_cannot_be_undone_are_said_to_be() {
    let gzip = all(GzipEncoder::new(&b"some text that is long enough"[..])).await;
    let thrice = all(GzipEncoder::new(&all(GzipEncoder::new(&gzip[..])).await[..])).await;
    let cases = [
        ("gzip", gzip[..gzip.len() - 9].to_vec()),
        ("gzip", b"no gzip at all".to_vec()),
        ("br", vec![0xff; 40]),
        ("zstd", b"no zstd at all".to_vec()),
        ("deflate", vec![0xff; 40]),
        ("compress", gzip),
        ("gzip, gzip, gzip", thrice),
    ];
    for (coding, body) in cases {
        let head = format!("200 OK\r\nContent-Encoding: {coding}");
        let reply = answered(served(Then::Say(answer(&head, &body))).await);
        assert!(matches!(reply.body, Body::Undecodable), "{coding}: {:?}", reply.body);
    }
}

#[tokio::test]
async fn a_zstd_body_may_not_ask_for_more_memory_than_http_allows() {
    // RFC 8878: magic, a frame header without a size, its window (10 + log2 in the upper five bits), one raw block.
    let frame = |window_log: u8| [0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3, 9, 0, 0, b'x'];
    let body = async |window_log| {
        let said = answer("200 OK\r\nContent-Encoding: zstd", &frame(window_log));
        answered(served(Then::Say(said)).await).body
    };
    assert!(matches!(body(23).await, Body::Bytes(bytes) if **bytes == b"x"[..]));
    assert!(matches!(body(24).await, Body::Undecodable));
}

#[tokio::test]
async fn bodies_are_bounded_before_and_after_their_coding() {
    let exact = vec![b'x'; BODY_LEN_MAX];
    assert_eq!(bytes(&answered(served(Then::Say(answer("200 OK", &exact))).await)), exact);
    let bomb = all(GzipEncoder::new(&vec![0; 50 * BODY_LEN_MAX][..])).await;
    assert!(bomb.len() < BODY_LEN_MAX);
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", BODY_LEN_MAX + 1);
    let cases = [
        // Refused by what it announces: not one byte of it has to come.
        Then::SayAndWait(announced.into_bytes()),
        Then::Say(answer("200 OK\r\nContent-Encoding: gzip", &bomb)),
        Then::Say([b"HTTP/1.1 400 No\r\n\r\n", &[b'x'; BODY_LEN_MAX + 1][..]].concat()),
    ];
    for then in cases {
        let reply = answered(served(then).await);
        assert!(matches!(reply.body, Body::TooLarge), "{:?}", reply.body);
    }
}

#[tokio::test]
async fn a_flood_is_cut_off() {
    let endless = Then::Flood(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec());
    assert_eq!(unanswered(served(endless).await).0, "bad_answer");
    let header = Then::Flood(b"HTTP/1.1 200 OK\r\nX-Filler: ".to_vec());
    assert_eq!(unanswered(served(header).await).0, "bad_answer");
    let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
    assert_eq!(unanswered(served(Then::SayAndWait(headers.into_bytes())).await).0, "bad_answer");
}

#[tokio::test]
async fn a_broken_grant_is_unanswered_a_broken_refusal_is_not() {
    for framing in ["Content-Length: 10\r\n\r\n{\"acc", "Transfer-Encoding: chunked\r\n\r\n20\r\n{\"acc"] {
        let said = |status: u16| format!("HTTP/1.1 {status} X\r\nRetry-After: 3\r\n{framing}").into_bytes();
        assert_eq!(unanswered(served(Then::Say(said(200))).await).0, "truncated");
        assert_eq!(unanswered(served(Then::SayAndReset(said(200))).await).0, "reset");
        for status in [302, 400, 401, 429, 500, 502] {
            let reply = answered(served(Then::Say(said(status))).await);
            assert!(reply.status == status && matches!(reply.body, Body::Truncated), "{reply:?}");
            assert_eq!(reply.retry_after.as_deref(), Some("3"));
        }
        let garbled = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nnot a length\r\n".to_vec();
        assert_eq!(unanswered(served(Then::Say(garbled)).await).0, "bad_answer");
    }
}

#[tokio::test]
async fn no_answer_is_told_apart_by_its_kind() {
    assert_eq!(unanswered(served(Then::Say(Vec::new())).await).0, "truncated");
    assert_eq!(unanswered(served(Then::Say(b"HTTP/1.1 200 O".to_vec())).await).0, "truncated");
    assert_eq!(unanswered(served(Then::SayAndReset(Vec::new())).await).0, "reset");
    assert_eq!(unanswered(served(Then::Say(b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec())).await).0, "bad_answer");
}

#[tokio::test]
async fn whoever_hangs_meets_the_deadline() {
    let hang = async |said: &[u8], answer_timeout: Duration| {
        let server = Server::start(Then::SayAndWait(said.to_vec())).await;
        client().call(&post(&server.url()), &CallLimits { answer_timeout, ..LIMITS }, &|| true).await
    };
    for said in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"] {
        assert_eq!(unanswered(hang(said.as_bytes(), SHORT).await).0, "timeout", "{said}");
    }
    let refused = answered(hang(b"HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\n{", LONG_ENOUGH).await);
    assert!(refused.status == 401 && matches!(refused.body, Body::Truncated));
}

#[tokio::test]
async fn a_drip_does_not_move_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let drip = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        server::hear(&mut stream).await;
        let (mut reads, mut writes) = stream.split();
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".iter();
        // One byte whenever the clock has moved on, and never the last one.
        for byte in head.chain(b"1\r\nx\r\n".iter().cycle()) {
            let written = tokio::io::AsyncWriteExt::write_all(&mut writes, std::slice::from_ref(byte)).await;
            let left = tokio::time::timeout(SHORT / 50, reads.read(&mut [0; 1])).await;
            if written.is_err() || left.is_ok() {
                return;
            }
        }
    };
    let (client, request) = (client(), post(&url));
    let limits = CallLimits { answer_timeout: SHORT, ..LIMITS };
    let (delivery, ()) = tokio::join!(client.call(&request, &limits, &|| true), drip);
    assert_eq!(unanswered(delivery).0, "timeout");
}

#[tokio::test]
async fn endless_preliminaries_meet_the_deadline() {
    let server = Server::start(Then::Flood(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec())).await;
    let limits = CallLimits { answer_timeout: SHORT, ..LIMITS };
    let delivery = client().call(&post(&server.url()), &limits, &|| true).await;
    assert_eq!(unanswered(delivery).0, "timeout");
}

#[tokio::test]
async fn an_answer_that_came_while_we_were_stopped_is_read() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let (asked, was_asked) = tokio::sync::oneshot::channel();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        asked.send(()).unwrap();
        let body = [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &b"1\r\nx\r\n".repeat(500)[..]]
            .concat();
        stream.write_all(&body).and_then(|()| stream.write_all(b"0\r\n\r\n")).unwrap();
        // Answered; and the deadline passes while the other side stands still.
        std::thread::park_timeout(LONG_ENOUGH * 2);
        stream
    });
    let (client, request) = (client(), post(&url));
    let limits = CallLimits { answer_timeout: LONG_ENOUGH, ..LIMITS };
    let stopped = async {
        was_asked.await.unwrap();
        // Blocks the runtime's only thread, as SIGSTOP would.
        server.join().unwrap()
    };
    let (delivery, _stream) = tokio::join!(client.call(&request, &limits, &|| true), stopped);
    assert_eq!(bytes(&answered(delivery)).len(), 500);
}

#[tokio::test]
async fn a_call_that_is_dropped_closes_its_connection() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/token", listener.local_addr().unwrap());
    let call = tokio::spawn(async move { call(&url).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(!server::hear(&mut stream).await.is_empty());
    call.abort();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}
