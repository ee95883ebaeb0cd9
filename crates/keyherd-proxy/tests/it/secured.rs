//! Upstreams in TLS: verified, over HTTP/2 where they speak it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Response, Version};
use http_body_util::BodyExt;
use keyherd_core::fakes::granted;
use keyherd_proxy::{ExchangeLimits, Fault};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::stage::{Setting, Stage, get, post, trusting};
use crate::upstream::{Upstream, full, until};

/// A certificate for `localhost`, and who trusts it.
pub(crate) fn certified(protocols: &[&[u8]]) -> (TlsAcceptor, ClientConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("is made");
    let certificate = CertificateDer::from(made.cert.der().to_vec());
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("is a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("is a root");
    let mut server =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("are there")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("fits");
    server.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    (TlsAcceptor::from(Arc::new(server)), trusting(roots))
}

/// An upstream for `localhost` with a certificate of its own, and who trusts that.
async fn secured(protocols: &[&[u8]]) -> (Upstream, ClientConfig) {
    let (acceptor, trusting) = certified(protocols);
    let upstream = Upstream::streaming(
        Arc::new(|request| {
            Box::pin(async move {
                let version = format!("{:?}", request.version());
                let uri = request.uri().to_string();
                let code =
                    if request.headers()["authorization"] == "Bearer access-one-0" { 401 } else { 200 };
                let body = BodyExt::collect(request.into_body()).await.expect("is whole").to_bytes();
                let answer =
                    Response::builder().status(code).header("x-version", version).header("x-uri", uri);
                answer.body(full(body)).expect("is an answer")
            })
        }),
        Some(acceptor),
    )
    .await;
    (upstream, trusting)
}

async fn stage(upstream: &Upstream, tls: ClientConfig) -> Stage {
    let base = format!("https://localhost:{}/base", upstream.at.port());
    let answers = vec![granted("access-one-1", "refresh-one-1")];
    Setting { base, tls, answers, ..Setting::at(upstream) }.stage().await
}

#[tokio::test]
async fn http2_where_both_speak_it() {
    let (upstream, tls) = secured(&[b"h2", b"http/1.1"]).await;
    let stage = Arc::new(stage(&upstream, tls).await);
    let asking = (0..50).map(|number| {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { stage.ask(post("/gateway/lone/x?y", format!("{number}"))).await })
    });
    for (number, asked) in asking.collect::<Vec<_>>().into_iter().enumerate() {
        let got = asked.await.expect("no panic");
        assert_eq!((got.status(), got.text()), (200, number.to_string().as_str()));
        assert_eq!(got.head.headers["x-version"], "HTTP/2.0");
        let uri = format!("https://localhost:{}/base/x?y", upstream.at.port());
        assert_eq!(got.head.headers["x-uri"], uri.as_str());
        assert_eq!(got.head.version, Version::HTTP_11, "the listener says what its caller speaks");
    }
    assert_eq!(upstream.connections(), 1);
    assert_eq!(stage.ask(post("/gateway/one/", "again")).await.text(), "again", "replayed on HTTP/2 too");
}

#[tokio::test]
async fn http2_connections_are_shared_by_so_many() {
    let (upstream, tls) = secured(&[b"h2"]).await;
    let base = format!("https://localhost:{}", upstream.at.port());
    let limits = ExchangeLimits { streams_max: 2, ..ExchangeLimits::default() };
    let stage = Setting { base, tls, limits, ..Setting::at(&upstream) }.stage().await;
    let (mut hands, mut opened) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let (hand, body) = crate::upstream::by_hand();
        let request = crate::stage::asked("POST", "/gateway/lone/").body(body).expect("is a request");
        hands.push(hand);
        opened.push(stage.open(request));
    }
    // All are open at once: none has sent its end before the last has a connection.
    let end = async {
        until("all have one", || upstream.connections() == 3).await;
        drop(hands);
    };
    let (opened, ()) = tokio::join!(futures_util::future::join_all(opened), end);
    assert!(opened.iter().all(Result::is_ok), "{opened:?}");
    assert_eq!(upstream.connections(), 3);
}

/// A connection wakes the runtime that made it: the requests of another one use theirs, again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn each_runtime_has_connections_of_its_own() {
    for offered in ["h2", "http/1.1"] {
        let (upstream, tls) = secured(&[offered.as_bytes()]).await;
        let stage = Arc::new(stage(&upstream, tls).await);
        let asked_by = |runtime: Runtime| {
            let stage = Arc::clone(&stage);
            let asked = move || {
                let got = runtime.block_on(async {
                    // One that is woken elsewhere is not served at all.
                    timeout(Duration::from_secs(20), stage.ask(post("/gateway/lone/", "x"))).await
                });
                assert_eq!(got.expect("comes").text(), "x");
                runtime
            };
            async { spawn_blocking(asked).await.expect("no panic") }
        };
        let runtime = || Builder::new_current_thread().enable_all().build().expect("is made");
        let (mut one, mut other) = (runtime(), runtime());
        for _ in 0..3 {
            (one, other) = (asked_by(one).await, asked_by(other).await);
        }
        assert_eq!(upstream.connections(), 2, "{offered}");
        one.shutdown_background();
        other.shutdown_background();
    }
}

#[tokio::test]
async fn http1_where_they_do_not() {
    let (upstream, tls) = secured(&[b"http/1.1"]).await;
    let got = stage(&upstream, tls).await.read("/gateway/lone/").await;
    assert_eq!(got.head.headers["x-version"], "HTTP/1.1");
    assert_eq!(got.head.headers["x-uri"], "/base/");
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused_and_why_is_said() {
    let (upstream, _) = secured(&[b"h2"]).await;
    let fault = stage(&upstream, trusting(RootCertStore::empty())).await.open(get("/gateway/lone/")).await;
    let Err(Fault::Unreachable { problem, .. }) = fault else { panic!("{fault:?}") };
    assert!(problem.contains("--ca-bundle"), "{problem}");
    let (upstream, tls) = secured(&[b"h2"]).await;
    let base = format!("https://127.0.0.1:{}", upstream.at.port());
    let elsewhere = Setting { base, tls, ..Setting::at(&upstream) }.stage().await;
    let fault = elsewhere.open(get("/gateway/lone/")).await.expect_err("is another name");
    assert!(fault.to_string().contains("not valid for name"), "{fault}");
}

/// Answers the first request of each connection, and refuses the second one.
async fn refusing_streams(acceptor: TlsAcceptor) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has one").port();
    let refused = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&refused);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("is HTTP/2");
                let mut is_first = true;
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    if std::mem::take(&mut is_first) {
                        drop(respond.send_response(Response::new(()), true));
                    } else {
                        count.fetch_add(1, Ordering::Relaxed);
                        respond.send_reset(h2::Reason::REFUSED_STREAM);
                    }
                }
            });
        }
    });
    (port, refused)
}

#[tokio::test]
async fn a_stream_that_upstream_refused_goes_again_on_a_fresh_connection() {
    let (acceptor, tls) = certified(&[b"h2"]);
    let (port, refused) = refusing_streams(acceptor).await;
    let nowhere = Upstream::new(|_| crate::upstream::status(500)).await;
    let base = format!("https://localhost:{port}");
    let stage = Setting { base, tls, ..Setting::at(&nowhere) }.stage().await;
    for _ in 0..2 {
        let asked = timeout(Duration::from_secs(20), stage.ask(post("/gateway/lone/", "x")));
        assert_eq!(asked.await.expect("is answered").status(), 200);
    }
    assert!(refused.load(Ordering::Relaxed) > 0);
}

/// Leaves so many connections before it looks at a request, for that reason, and answers on the next ones.
async fn going_away(acceptor: TlsAcceptor, leaves: usize, reason: h2::Reason) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has one").port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let is_leaving = count.fetch_add(1, Ordering::Relaxed) < leaves;
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.expect("is HTTP/2");
                if is_leaving {
                    connection.abrupt_shutdown(reason);
                }
                while let Some(Ok((_, mut respond))) = connection.accept().await {
                    drop(respond.send_response(Response::new(()), true));
                }
            });
        }
    });
    (port, connections)
}

#[tokio::test]
async fn what_upstream_left_before_it_looked_at_it_goes_again() {
    // The last number: how many connections it took. Beyond that, it is upstream's trouble.
    for (leaves, status, connections) in [(1, 200, 2), (3, 200, 4), (4, 502, 4)] {
        for reason in [h2::Reason::NO_ERROR, h2::Reason::ENHANCE_YOUR_CALM] {
            let (acceptor, tls) = certified(&[b"h2"]);
            let (port, count) = going_away(acceptor, leaves, reason).await;
            let nowhere = Upstream::new(|_| crate::upstream::status(500)).await;
            let base = format!("https://localhost:{port}");
            let stage = Setting { base, tls, ..Setting::at(&nowhere) }.stage().await;
            let asked = timeout(Duration::from_secs(20), stage.open(post("/gateway/lone/", "x")));
            let got = asked.await.expect("takes no 20 s").map_or(502, |answer| answer.status().as_u16());
            assert_eq!((got, count.load(Ordering::Relaxed)), (status, connections), "{leaves} {reason:?}");
        }
    }
}

/// Answers each request with a beginning, `/whole` with all of it, and takes the stream back when it is told to.
async fn taking_back(acceptor: TlsAcceptor, now: Arc<Notify>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("has one").port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("comes");
        let stream = acceptor.accept(stream).await.expect("shakes hands");
        let mut connection = h2::server::handshake(stream).await.expect("is HTTP/2");
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let mut answer = Response::builder().header("content-type", "text/plain");
            if request.uri().path() == "/declared" {
                answer = answer.header("content-length", "1000");
            }
            let answer = answer.body(()).expect("is an answer");
            let mut body = respond.send_response(answer, false).expect("is sent");
            body.send_data("partial".into(), request.uri().path() == "/whole").expect("is sent");
            let now = Arc::clone(&now);
            tokio::spawn(async move {
                now.notified().await;
                body.send_reset(h2::Reason::NO_ERROR);
            });
        }
    });
    port
}

#[tokio::test]
async fn an_answer_that_upstream_took_back_is_no_whole_one() {
    let (acceptor, tls) = certified(&[b"h2"]);
    let now = Arc::new(Notify::new());
    let port = taking_back(acceptor, Arc::clone(&now)).await;
    let nowhere = Upstream::new(|_| crate::upstream::status(500)).await;
    let base = format!("https://localhost:{port}");
    let stage = Setting { base, tls, ..Setting::at(&nowhere) }.stage().await;
    for (path, is_whole) in [("whole", true), ("declared", false), ("undeclared", false)] {
        let asked = timeout(Duration::from_secs(20), stage.open(get(&format!("/gateway/lone/{path}"))));
        let answer = asked.await.expect("takes no 20 s").expect("has a head");
        now.notify_one();
        let got = timeout(Duration::from_secs(20), answer.into_body().collect()).await.expect("ends");
        assert_eq!(got.is_ok(), is_whole, "{path}");
    }
}
