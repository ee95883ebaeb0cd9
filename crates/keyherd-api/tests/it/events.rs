//! `GET /v1/events`: live, resumed, bounded, and over when the server stops.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use keyherd_api::ApiLimits;
use keyherd_core::fakes::granted;
use serde_json::{Value, json};

use crate::world::{World, request};

/// One listener's stream, read event by event.
struct Stream {
    body: Body,
    text: String,
}

impl Stream {
    async fn open(world: &World, request: Request<Body>) -> Self {
        let response = world.open(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut stream = Self { body: response.into_body(), text: String::new() };
        assert_eq!(stream.block().await.as_deref(), Some("retry: 1000"));
        stream
    }

    /// The next block; `None`: the stream ended.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let data = self.body.frame().await?.expect("is whole").into_data().expect("is data");
            self.text.push_str(std::str::from_utf8(&data).expect("is text"));
        }
    }

    /// The next event: its id, and its data; comments are passed over.
    async fn event(&mut self) -> (Option<i64>, Value) {
        loop {
            let block = self.block().await.expect("goes on");
            let field =
                |name: &str| block.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            let Some(data) = field("data: ") else { continue };
            let data: Value = serde_json::from_str(&data).expect("is JSON");
            assert_eq!(field("event: ").as_deref(), data["event"].as_str());
            return (field("id: ").map(|id| id.parse().expect("is a number")), data);
        }
    }
}

fn listen(after: Option<i64>) -> Request<Body> {
    let mut head = request("GET", "/v1/events");
    if let Some(after) = after {
        head = head.header("last-event-id", after);
    }
    head.body(Body::empty()).expect("is a request")
}

#[tokio::test(start_paused = true)]
async fn events_come_as_they_are_committed() {
    let world = World::new([granted("planted-access", "planted-refresh")]);
    let mut stream = Stream::open(&world, listen(None)).await;
    world.credential("acme-1", -1).await;
    let (id, created) = stream.event().await;
    assert_eq!((&created["event"], &created["subject"]), (&json!("credential_created"), &json!("acme-1")));
    assert_eq!(id, created["seq"].as_i64());
    world.token(json!({"name": "acme-1"})).await;
    let (_, refreshed) = stream.event().await;
    assert_eq!(refreshed["event"], "refreshed");
    assert!(refreshed["at"].as_str().is_some_and(|at| at.starts_with("2026-01-01T00:00:0")));
    assert!(!refreshed.to_string().contains("planted"));
}

#[tokio::test(start_paused = true)]
async fn a_listener_resumes_where_it_was() {
    let world = World::new([]);
    for number in 0..3 {
        world.credential(&format!("acme-{number}"), 3600).await;
    }
    let mut all = Stream::open(&world, listen(Some(0))).await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let (id, event) = all.event().await;
        assert_eq!(event["subject"], format!("acme-{number}"));
        ids.extend(id);
    }
    let mut rest = Stream::open(&world, listen(Some(ids[1]))).await;
    assert_eq!(rest.event().await.1["subject"], "acme-2");
    world.credential("acme-3", 3600).await;
    assert_eq!(rest.event().await.1["subject"], "acme-3");
    assert_eq!(all.event().await.1["subject"], "acme-3");
    let bad = request("GET", "/v1/events").header("last-event-id", "x").body(Body::empty());
    world.raw(bad.expect("is a request")).await.is_problem(400, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn a_listener_from_another_store_is_told() {
    let world = World::new([]);
    world.credential("acme-1", 3600).await;
    let mut stream = Stream::open(&world, listen(Some(1_000))).await;
    let (id, event) = stream.event().await;
    assert_eq!((id, &event["event"]), (None, &json!("lagged")));
    world.credential("acme-2", 3600).await;
    assert_eq!(stream.event().await.1["subject"], "acme-2");
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_is_told_and_catches_up() {
    let world = World::new([]);
    let lag_max = world.fleet.options.events_lag_max;
    let mut stream = Stream::open(&world, listen(None)).await;
    let count = lag_max + 10;
    for number in 0..count {
        world.credential(&format!("acme-{number:05}"), 3600).await;
    }
    // The broker has passed on the last one, perhaps with many others at once, and the listener has read nothing yet.
    let mut last = world.host.broker.events();
    world.credential("last", 3600).await;
    while !matches!(last.recv().await, Ok(event) if event.subject == "last") {}
    let (_, first) = stream.event().await;
    assert_eq!(first["event"], "lagged", "{first}");
    for number in 0..count {
        assert_eq!(stream.event().await.1["subject"], format!("acme-{number:05}"));
    }
    assert_eq!(stream.event().await.1["subject"], "last");
}

#[tokio::test(start_paused = true)]
async fn silence_is_commented() {
    let world = World::new([]);
    let mut stream = Stream::open(&world, listen(None)).await;
    assert_eq!(stream.block().await.as_deref(), Some(": keep-alive"));
    assert_eq!(stream.block().await.as_deref(), Some(": keep-alive"));
}

#[tokio::test(start_paused = true)]
async fn listeners_are_bounded() {
    let world = World::with_limits([], ApiLimits { events_max: 2, ..ApiLimits::default() });
    let first = Stream::open(&world, listen(None)).await;
    let _second = Stream::open(&world, listen(None)).await;
    let refused = world.raw(listen(None)).await;
    refused.is_problem(503, "busy");
    assert_eq!(refused.header("retry-after"), "15");
    drop(first);
    tokio::time::advance(Duration::from_millis(1)).await;
    let _third = Stream::open(&world, listen(None)).await;
}
