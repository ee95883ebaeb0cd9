//! Failing answers: who is blamed, who is next, and what is sent again.

use std::sync::Arc;

use async_compression::tokio::write::GzipEncoder;
use bytes::Bytes;
use keyherd_core::fakes::granted;
use keyherd_core::pool::Strategy;
use keyherd_proxy::{ExchangeLimits, Fault};
use tokio::io::AsyncWriteExt;
use tokio::sync::Barrier;

use crate::stage::{Setting, Stage, get, post};
use crate::upstream::{Seen, Upstream, answer, full, lock, status};

const QUOTA: &str = r#"{"error":{"code":"insufficient_quota"}}"#;

/// Answers that status to the tokens named, and 200 to others.
async fn refusing(code: u16, tokens: &'static [&'static str]) -> Upstream {
    Upstream::new(move |seen: &Seen| {
        if tokens.contains(&seen.bearer()) { answer(code, "refused") } else { answer(200, seen.body.clone()) }
    })
    .await
}

#[tokio::test]
async fn the_next_member_answers_in_place_of_a_limited_one() {
    let upstream = refusing(429, &["secret-a", "secret-b"]).await;
    let stage = Stage::at(&upstream).await;
    let got = stage.ask(post("/gateway/pool/", "again")).await;
    assert_eq!((got.status(), got.text()), (200, "again"));
    assert_eq!(upstream.bearers(), ["secret-a", "secret-b", "secret-c"]);
    assert_eq!(stage.active().await, "c");
    for (name, reason) in [("a", Some("rate_limit")), ("b", Some("rate_limit")), ("c", None)] {
        assert_eq!(stage.rest(name).await.as_deref(), reason, "{name}");
    }
    assert_eq!((stage.audited("failover").await, stage.audited("cooldown.set").await), (2, 2));
    stage.read("/gateway/pool/").await;
    assert_eq!(upstream.bearers()[3..], ["secret-c"], "it stays there");
}

#[tokio::test]
async fn when_all_refuse_the_last_answer_passes_as_it_came() {
    let upstream = refusing(429, &["secret-a", "secret-b", "secret-c"]).await;
    let stage = Stage::at(&upstream).await;
    let got = stage.read("/gateway/pool/").await;
    assert_eq!((got.status(), got.text()), (429, "refused"));
    assert_eq!(upstream.bearers(), ["secret-a", "secret-b", "secret-c"], "each once");
    // All rest: the soonest is used, once, and no other.
    stage.read("/gateway/pool/").await;
    assert_eq!(upstream.seen().len(), 4);
}

#[tokio::test]
async fn a_lone_credential_has_no_next() {
    let upstream = refusing(429, &["secret-lone"]).await;
    let stage = Stage::at(&upstream).await;
    assert_eq!(stage.read("/gateway/lone/").await.status(), 429);
    assert_eq!(stage.rest("lone").await.as_deref(), Some("rate_limit"));
    let fault = stage.open(get("/gateway/lone/")).await.expect_err("it rests");
    assert!(matches!(fault, Fault::Refused { .. }), "{fault:?}");
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_stale_token_is_replaced_and_nobody_rests() {
    let upstream = refusing(401, &["access-one-0"]).await;
    let setting =
        Setting { answers: vec![granted("access-one-1", "refresh-one-1")], ..Setting::at(&upstream) };
    let stage = setting.stage().await;
    assert_eq!(stage.ask(post("/gateway/one/", "x")).await.status(), 200);
    assert_eq!(upstream.bearers(), ["access-one-0", "access-one-1"]);
    assert_eq!((stage.rest("one").await, stage.provider.calls()), (None, 1));
}

#[tokio::test]
async fn the_same_member_is_tried_with_its_new_token_before_the_next() {
    let upstream = refusing(401, &["access-one-0", "access-one-1"]).await;
    let setting =
        Setting { answers: vec![granted("access-one-1", "refresh-one-1")], ..Setting::at(&upstream) };
    let stage = setting.stage().await;
    assert_eq!(stage.ask(post("/gateway/duo/", "x")).await.status(), 200);
    assert_eq!(upstream.bearers(), ["access-one-0", "access-one-1", "access-two-0"]);
    assert_eq!(stage.rest("one").await.as_deref(), Some("authentication"));
    assert_eq!((stage.rest("two").await, stage.provider.calls()), (None, 1));
}

#[tokio::test]
async fn a_key_that_is_refused_rests() {
    let upstream = refusing(401, &["secret-a"]).await;
    let stage = Stage::at(&upstream).await;
    assert_eq!(stage.read("/gateway/pool/").await.status(), 200);
    assert_eq!(upstream.bearers(), ["secret-a", "secret-b"]);
    assert_eq!(stage.rest("a").await.as_deref(), Some("authentication"));
}

#[tokio::test]
async fn a_quota_is_read_in_a_compressed_body() {
    let mut encoder = GzipEncoder::new(Vec::new());
    encoder.write_all(QUOTA.as_bytes()).await.expect("is in memory");
    encoder.shutdown().await.expect("is in memory");
    let coded = Bytes::from(encoder.into_inner());
    let upstream = Upstream::new(move |seen: &Seen| {
        let mut refusal = answer(403, coded.clone());
        refusal.headers_mut().insert("content-encoding", "gzip".parse().expect("is a value"));
        if seen.bearer() == "secret-b" { answer(200, "well") } else { refusal }
    })
    .await;
    let stage = Stage::at(&upstream).await;
    assert_eq!(stage.read("/gateway/pool/").await.status(), 200);
    assert_eq!(stage.rest("a").await.as_deref(), Some("rate_limit"));
    let got = stage.read("/gateway/lone/").await;
    assert_eq!(
        (got.status(), got.head.headers.get("content-encoding").map(|v| v.as_bytes())),
        (403, Some(&b"gzip"[..]))
    );
    assert!(got.body.starts_with(&[0x1f, 0x8b]), "it passes as it came");
}

#[tokio::test]
async fn what_proves_nothing_is_not_sent_again() {
    for code in [400, 403, 404, 500, 502, 503] {
        let upstream = refusing(code, &["secret-a"]).await;
        let stage = Stage::at(&upstream).await;
        let got = stage.read("/gateway/pool/").await;
        assert_eq!((got.status(), got.text()), (code, "refused"));
        assert_eq!((upstream.seen().len(), stage.active().await.as_str()), (1, "a"), "{code}");
    }
}

#[tokio::test]
async fn what_is_too_long_to_be_kept_is_not_sent_again_and_the_next_request_moves_on() {
    let upstream = refusing(429, &["secret-a"]).await;
    let limits = ExchangeLimits { replay_len_max: 100, ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    assert_eq!(stage.ask(post("/gateway/pool/", vec![b'x'; 101])).await.status(), 429);
    assert_eq!(upstream.bearers(), ["secret-a"]);
    assert_eq!(stage.ask(post("/gateway/pool/", vec![b'x'; 101])).await.status(), 200);
    assert_eq!(upstream.bearers(), ["secret-a", "secret-b"]);
}

#[tokio::test]
async fn tries_are_bounded() {
    let upstream = refusing(429, &["secret-a", "secret-b"]).await;
    let limits = ExchangeLimits { tries_max: 2, ..ExchangeLimits::default() };
    let stage = Setting { limits, ..Setting::at(&upstream) }.stage().await;
    assert_eq!(stage.read("/gateway/pool/").await.status(), 429);
    assert_eq!(upstream.bearers(), ["secret-a", "secret-b"]);
}

#[tokio::test]
async fn turns_go_round_and_pass_over_who_rests() {
    let upstream = refusing(429, &["secret-b"]).await;
    let stage = Setting { strategy: Strategy::RoundRobin, ..Setting::at(&upstream) }.stage().await;
    for _ in 0..9 {
        assert_eq!(stage.read("/gateway/pool/").await.status(), 200);
    }
    let count = |key: &str| upstream.bearers().iter().filter(|bearer| *bearer == key).count();
    assert_eq!((count("secret-b"), count("secret-a") + count("secret-c")), (1, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_fail_over_once() {
    const MANY: usize = 100;
    // All are at the limited one before it answers any of them.
    let all = Arc::new(Barrier::new(MANY));
    let gate = Arc::clone(&all);
    let upstream = Upstream::streaming(
        Arc::new(move |request| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                let is_limited = request.headers()["authorization"] == "Bearer secret-a";
                if is_limited {
                    gate.wait().await;
                }
                status(if is_limited { 429 } else { 200 })
            })
        }),
        None,
    )
    .await;
    let stage = Arc::new(Stage::at(&upstream).await);
    let asking = (0..MANY).map(|_| {
        let stage = Arc::clone(&stage);
        tokio::spawn(async move { stage.ask(post("/gateway/pool/", "x")).await.status() })
    });
    for asked in asking.collect::<Vec<_>>() {
        assert_eq!(asked.await.expect("no panic"), 200);
    }
    assert_eq!((stage.audited("failover").await, stage.audited("cooldown.set").await), (1, 1));
    assert_eq!(stage.active().await, "b");
}

#[tokio::test]
async fn a_late_refusal_blames_the_one_who_was_used() {
    let (held, late) = crate::upstream::by_hand();
    let late = std::sync::Mutex::new(Some(late));
    let upstream = Upstream::new(move |seen: &Seen| {
        let late = if seen.body == "late" { lock(&late).take() } else { None };
        match (late, seen.bearer()) {
            // Its head comes at once, what it says only later.
            (Some(late), _) => http::Response::builder().status(403).body(late).expect("is an answer"),
            (None, "secret-a") => answer(429, ""),
            (None, _) => http::Response::new(full("well")),
        }
    })
    .await;
    let stage = Arc::new(Stage::at(&upstream).await);
    let slow = Arc::clone(&stage);
    let slow = tokio::spawn(async move { slow.ask(post("/gateway/pool/", "late")).await });
    crate::upstream::until("it is under way", || upstream.seen().len() == 1).await;
    assert_eq!(stage.ask(post("/gateway/pool/", "x")).await.status(), 200);
    assert_eq!(stage.active().await, "b");
    held.send(crate::upstream::data(QUOTA)).await.expect("is read");
    drop(held);
    assert_eq!(slow.await.expect("no panic").status(), 200);
    assert_eq!((stage.rest("b").await, stage.active().await.as_str()), (None, "b"));
    assert_eq!(upstream.bearers(), ["secret-a", "secret-a", "secret-b", "secret-b"]);
}
