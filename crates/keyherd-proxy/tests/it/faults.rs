//! Upstreams that are not there, are silent, are full, or are none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use http::Response;
use http_body_util::BodyExt;
use keyherd_core::refresh::Ask;
use keyherd_proxy::{ExchangeLimits, Fault};
use tokio::net::{TcpListener, TcpSocket};

use crate::stage::{Setting, Stage, actor, get, post};
use crate::upstream::{Upstream, answer, full, lock, status, until};

async fn fault_of(setting: Setting) -> Fault {
    let stage = setting.stage().await;
    let fault = stage.open(get("/gateway/pool/")).await.expect_err("fails");
    assert_eq!((stage.active().await.as_str(), stage.rest("a").await), ("a", None), "nobody is blamed");
    fault
}

#[tokio::test]
async fn nobody_is_there() {
    // Bound and not listened to: nobody else gets it meanwhile.
    let socket = TcpSocket::new_v4().expect("is made");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("binds");
    let closed = socket.local_addr().expect("has one");
    let upstream = Upstream::new(|_| status(200)).await;
    let fault = fault_of(Setting { base: format!("http://{closed}"), ..Setting::at(&upstream) }).await;
    assert!(matches!(fault, Fault::Unreachable { .. }), "{fault:?}");
    assert!(fault.to_string().contains(&closed.to_string()), "{fault}");
}

#[tokio::test]
async fn what_is_no_answer() {
    let long = Box::leak(format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(100_000)).into_boxed_str());
    let cases: [(&'static [u8], &str); 6] = [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer coding"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "transfer coding"),
        (b"", "closed the connection"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: y", "closed the connection"),
        (long.as_bytes(), "too large"),
    ];
    for (said, expected) in cases {
        let fault = fault_of(Setting::at(&Upstream::raw(said).await)).await;
        assert!(matches!(fault, Fault::Broken { .. }), "{fault:?}");
        assert!(fault.to_string().contains(expected), "{fault}");
    }
}

#[tokio::test]
async fn a_head_that_does_not_come() {
    let upstream = Upstream::streaming(Arc::new(|_| Box::pin(std::future::pending())), None).await;
    let limits = ExchangeLimits { head_timeout: Duration::from_millis(30), ..ExchangeLimits::default() };
    let fault = fault_of(Setting { limits, ..Setting::at(&upstream) }).await;
    assert!(matches!(fault, Fault::Late(_)), "{fault:?}");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about() {
    // The backlog takes the connection; nobody shakes hands.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("https://{}", listener.local_addr().expect("has one"));
    let upstream = Upstream::new(|_| status(200)).await;
    let limits = ExchangeLimits { connect_timeout: Duration::from_millis(30), ..ExchangeLimits::default() };
    let fault = fault_of(Setting { limits, base, ..Setting::at(&upstream) }).await;
    assert!(matches!(fault, Fault::Unreachable { .. }), "{fault:?}");
}

#[tokio::test]
async fn who_waits_for_a_dial_that_fails_does_not_dial_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base = format!("https://{}", listener.local_addr().expect("has one"));
    let dials = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dials);
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok(connection) = listener.accept().await {
            count.fetch_add(1, Ordering::Relaxed);
            held.push(connection);
        }
    });
    let upstream = Upstream::new(|_| status(200)).await;
    let limits = ExchangeLimits { connect_timeout: Duration::from_secs(1), ..ExchangeLimits::default() };
    let stage = Setting { limits, base, ..Setting::at(&upstream) }.stage().await;
    // From memory, so that all of them want a connection at the same moment.
    stage.host.broker.acquire("lone", &Ask::foreground(Duration::ZERO), &actor()).await.expect("is there");
    let asking = join_all((0..50).map(|_| stage.open(get("/gateway/lone/"))));
    let asked = tokio::time::timeout(Duration::from_secs(20), asking).await.expect("one after the other");
    assert!(asked.iter().all(|asked| matches!(asked, Err(Fault::Unreachable { .. }))), "{asked:?}");
    assert_eq!(dials.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn there_is_room_for_so_many() {
    let upstream = Upstream::streaming(Arc::new(|_| Box::pin(std::future::pending())), None).await;
    let limits = ExchangeLimits {
        requests_max: 1,
        queue_timeout: Duration::from_millis(30),
        ..ExchangeLimits::default()
    };
    let stage = Arc::new(Setting { limits, ..Setting::at(&upstream) }.stage().await);
    let first = Arc::clone(&stage);
    let first = tokio::spawn(async move { first.read("/gateway/lone/").await.status() });
    until("the first is there", || upstream.connections() == 1).await;
    let fault = stage.open(get("/gateway/lone/")).await.expect_err("is too much");
    assert!(matches!(fault, Fault::Crowded(_)), "{fault:?}");
    first.abort();
}

#[tokio::test]
async fn a_spare_connection_that_was_closed_is_nobodys_trouble() {
    let upstream = Upstream::new(|_| {
        let mut answer = answer(200, "well");
        answer.headers_mut().insert("connection", "close".parse().expect("is a value"));
        answer
    })
    .await;
    let stage = Stage::at(&upstream).await;
    for _ in 0..20 {
        assert_eq!(stage.ask(post("/gateway/lone/", "x")).await.status(), 200);
    }
    assert_eq!(upstream.seen().len(), 20);
}

#[tokio::test]
async fn an_answer_has_so_many_header_lines_and_no_more() {
    for max in [ExchangeLimits::default().headers_max, 7] {
        for (count, passes) in [(max, true), (max + 1, false)] {
            let upstream = Upstream::new(move |_| {
                let mut answer = answer(200, "well");
                // Beside its length and its date.
                for _ in 2..count {
                    answer.headers_mut().append("x", "y".parse().expect("is a value"));
                }
                answer
            })
            .await;
            let limits = ExchangeLimits { headers_max: max, ..ExchangeLimits::default() };
            let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
            assert_eq!(stage.open(get("/gateway/lone/")).await.is_ok(), passes, "{max} {count}");
        }
    }
}

#[tokio::test]
async fn no_more_are_spare_than_may_be() {
    let (first_held, first) = crate::upstream::by_hand();
    let (second_held, second) = crate::upstream::by_hand();
    let held = std::sync::Mutex::new(vec![second, first]);
    let upstream = Upstream::new(move |_| {
        let body = lock(&held).pop().unwrap_or_else(|| full("new"));
        Response::new(body)
    })
    .await;
    let limits = ExchangeLimits { spare_connections_max: 1, ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    let first = stage.open(get("/gateway/lone/")).await.expect("begins");
    let second = stage.open(get("/gateway/lone/")).await.expect("begins");
    for (hand, answer) in [(first_held, first), (second_held, second)] {
        drop(hand);
        assert!(answer.into_body().collect().await.is_ok());
    }
    until("one is closed", || upstream.open() == 1).await;
    assert_eq!(stage.read("/gateway/lone/").await.text(), "new");
    assert_eq!((upstream.connections(), upstream.open()), (2, 1));
}

/// More than are tried before a new one is made; and a request that could not be sent again once any of it was.
#[tokio::test]
async fn nor_are_many_that_were_closed_without_a_word() {
    let (leave, _) = tokio::sync::watch::channel(());
    let upstream = Upstream::leaving(&leave).await;
    let limits = ExchangeLimits { replay_len_max: 16, ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    let asked = join_all((0..5).map(|_| stage.read("/gateway/lone/"))).await;
    assert!(asked.iter().all(|got| got.text() == "well"));
    assert_eq!((upstream.connections(), upstream.open()), (5, 5));
    leave.send_replace(());
    until("all are closed", || upstream.open() == 0).await;
    let got = stage.ask(post("/gateway/lone/", "longer than what is kept to be sent again")).await;
    assert_eq!(got.status(), 200);
    assert_eq!((upstream.connections(), upstream.seen().len()), (6, 6));
    assert_eq!(upstream.seen()[5].body.len(), 41);
}

#[tokio::test]
async fn nor_is_one_that_is_cut_when_it_is_used_again() {
    let upstream = Upstream::resetting().await;
    let stage = Stage::at(&upstream).await;
    for _ in 0..5 {
        assert_eq!(stage.read("/gateway/lone/").await.text(), "well");
    }
    assert_eq!(upstream.connections(), 5);
    // What may have had an effect is not sent twice.
    let fault = stage.open(post("/gateway/lone/", "x")).await.expect_err("is cut");
    assert!(matches!(fault, Fault::Broken { .. }), "{fault:?}");
}

#[tokio::test]
async fn spare_connections_are_closed_in_time() {
    let upstream = Upstream::new(|_| answer(200, "well")).await;
    let limits = ExchangeLimits { spare_timeout: Duration::from_millis(20), ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    stage.read("/gateway/lone/").await;
    until("the spare one is closed", || upstream.open() == 0).await;
    stage.read("/gateway/lone/").await;
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_spare_connection_is_closed_soon_after_upstream_has_closed_it() {
    let (leave, _) = tokio::sync::watch::channel(());
    let upstream = Upstream::finishing(&leave).await;
    let limits = ExchangeLimits { spare_timeout: Duration::from_secs(3_600), ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    assert_eq!(stage.read("/gateway/lone/").await.text(), "well");
    // From here on time passes where nothing else happens.
    tokio::time::pause();
    leave.send_replace(());
    let closed = until("it is closed", || upstream.open() == 0);
    tokio::time::timeout(Duration::from_secs(10), closed).await.expect("is looked at sooner");
}
