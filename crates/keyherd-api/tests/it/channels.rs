//! Channels at the dashboard: how it goes there, what waits, and a test with one click.

use std::time::Duration;

use keyherd_core::ids::Name;
use keyherd_core::ports::Undelivered;
use serde_json::json;

use crate::dashboard::Browser;
use crate::world::World;

async fn webhook(world: &World, name: &str) {
    let url = format!("https://{name}.example/planted-path");
    let answer =
        world.ask("POST", "/v1/channels", Some(json!({"name": name, "kind": "webhook", "url": url}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// From now on that channel fails so; or it does not.
fn fails(world: &World, name: &str, failure: Option<bool>) {
    let name = Name::parse(name).expect("a name");
    let undelivered =
        |is_final| Undelivered { problem: "it answers <500>".into(), is_final, retry_after: None };
    world.fleet.courier.fails(&name, failure.map(undelivered));
}

/// Asks, and lets so much time pass that it is announced.
async fn asked(world: &World) {
    let body = json!({"agent": "bot", "key": "rm", "question": "may I?", "coalesce": false});
    assert_eq!(world.ask("POST", "/v1/approvals", Some(body)).await.status, 201);
    for _ in 0..40 {
        tokio::time::advance(Duration::from_millis(100)).await;
        tokio::task::yield_now().await;
    }
}

/// What the page says of one.
fn row<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) =
        page.split_once(&format!("id=\"channel-{name}\"")).unwrap_or_else(|| panic!("{name}: {page}"));
    rest.split("<tr id=").next().expect("a part")
}

#[tokio::test(start_paused = true)]
async fn each_says_how_it_goes_there() {
    let world = World::new([]);
    let browser = Browser::logged_in(&world).await;
    assert!(browser.get("/ui/channels").await.text.contains("keyherd channel add"), "what to do without one");
    for name in ["down", "refusing", "well"] {
        webhook(&world, name).await;
    }
    let chat = json!({"name": "chat", "kind": "telegram", "token": "12:planted-token", "chat": -100, "users": [5, 77]});
    assert_eq!(world.ask("POST", "/v1/channels", Some(chat)).await.status, 201);
    let page = browser.get("/ui/channels").await.text;
    assert_eq!(page.matches("not used yet").count(), 4, "{page}");
    assert!(!page.contains("planted"), "secrets and paths are shown to nobody: {page}");
    let row_of_chat = row(&page, "chat");
    for said in ["telegram", "https://api.telegram.org", "chat -100", ">5<", ">77<"] {
        assert!(row_of_chat.contains(said), "{said}: {row_of_chat}");
    }
    assert!(row(&page, "well").contains("the endpoint"), "{page}");

    fails(&world, "down", Some(false));
    fails(&world, "refusing", Some(true));
    world.host.broker.run_background();
    asked(&world).await;
    let page = browser.get("/ui/channels").await.text;
    assert!(row(&page, "well").contains("delivers") && !row(&page, "well").contains("500"), "{page}");
    let down = row(&page, "down");
    for said in ["failing", "it answers &lt;500&gt;", "1 message to be sent again", "the first was tried"] {
        assert!(down.contains(said), "{said}: {down}");
    }
    let refusing = row(&page, "refusing");
    assert!(refusing.contains("it answers &lt;500&gt;") && refusing.contains("Nothing waits"), "{refusing}");

    fails(&world, "down", None);
    asked(&world).await;
    let down = browser.get("/ui/channels").await.text;
    let down = row(&down, "down");
    assert!(
        down.contains("delivers") && !down.contains("500"),
        "what is over is not held against it: {down}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_test_is_one_click() {
    let world = World::new([]);
    webhook(&world, "ops").await;
    let browser = Browser::logged_in(&world).await;
    let said = async |body: &str| {
        let answer = browser.post("/ui/channels/test", body).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, "/ui/channels"),
            "{body}: {}",
            answer.text
        );
        browser.get("/ui/channels").await.text
    };
    assert!(said("name=ops").await.contains("ops has a message that asks nothing"));
    fails(&world, "ops", Some(false));
    assert!(said("name=ops").await.contains("ops was not reached: it answers &lt;500&gt;"));
    assert!(said("name=gone").await.contains("no channel is named"));
    assert_eq!(browser.post("/ui/channels/test", "name=no+name").await.status, 400);
    assert_eq!(browser.post("/ui/channels/test", "").await.status, 400);
    assert_eq!(world.fleet.courier.sent().len(), 2, "each click is one message");
}

#[tokio::test(start_paused = true)]
async fn many_channels_are_paged() {
    let world = World::new([]);
    for number in 0..32 {
        webhook(&world, &format!("ops-{number:02}")).await;
    }
    let browser = Browser::logged_in(&world).await;
    let page = browser.get("/ui/channels").await.text;
    assert_eq!(page.matches("id=\"channel-ops-").count(), 25, "{page}");
    assert!(page.contains("/ui/channels?after=ops-24"), "{page}");
    let rest = browser.get("/ui/channels?after=ops-24").await.text;
    assert_eq!(rest.matches("id=\"channel-ops-").count(), 7, "{rest}");
    assert!(!rest.contains("Further ones"), "{rest}");
}
