//! Announced elsewhere: once, by whichever host; answered there at once, later, or by a button; and by nobody else.

mod stand_ins;

use serde_json::{Value, json};

use self::stand_ins::{BotApi, Receiver};
use crate::http::{Answer, Request};
use crate::place::{Place, everywhere};
use crate::sandbox::{MARKER, Sandbox, until};
use crate::server::Server;

everywhere!(
    a_burst_on_two_hosts_is_announced_once_and_a_button_answers_it,
    a_webhook_is_tried_again_and_answers,
    presses_are_heard_from_where_the_last_server_was,
);

const BURST: usize = 1_000;
const CONFIG: &str =
    "[channels]\nretry_first_milliseconds = 50\nlisten_seconds = 2\nlook_every_seconds = 0.2\n";
const USER: i64 = 5;
const STRANGER: i64 = 6;

fn key() -> String {
    format!("{MARKER} signing key")
}

fn bot_token() -> String {
    format!("12:{MARKER}-bot")
}

/// Tries again soon, and lets no test wait for a long poll.
fn configured(place: Place) -> Sandbox {
    let sandbox = place.sandbox();
    sandbox.configure(CONFIG);
    sandbox
}

fn add_webhook(sandbox: &Sandbox, receiver: &Receiver) {
    let url = receiver.url(&format!("/{MARKER}-path"));
    let added =
        sandbox.run_with(&["--json", "channel", "add", "webhook", "hook", "--url", &url], &key()).ok();
    assert_eq!((added.json()["kind"].as_str(), added.json().get("signing_key")), (Some("webhook"), None));
}

fn add_chat(sandbox: &Sandbox, bot: &BotApi) {
    let (user, api) = (USER.to_string(), bot.url());
    let args = ["channel", "add", "telegram", "chat", "--chat", "-100", "--user", &user, "--bot-api", &api];
    sandbox.run_with(&args, &format!("token={}\n", bot_token())).ok();
}

fn question(tool: &str) -> Value {
    json!({"agent": "builder", "key": tool, "question": {"tool": tool}})
}

fn ask(server: &Server, tool: &str) -> String {
    let (status, text) = server.ask("POST", "/v1/approvals", &question(tool).to_string());
    assert_eq!(status, 201, "{text}");
    serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned()
}

fn show(server: &Server, id: &str) -> Value {
    let (status, text) = server.ask("GET", &format!("/v1/approvals/{id}"), "");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn answer_with(server: &Server, bearer: &str, id: &str, decision: &str) -> Answer {
    let url = format!("{}/v1/approvals/{id}/answer", server.url());
    let body = json!({"decision": decision}).to_string();
    Request::new("POST", &url, &[("authorization", &format!("Bearer {bearer}"))], &body).send().unwrap()
}

fn a_burst_on_two_hosts_is_announced_once_and_a_button_answers_it(place: Place) {
    let sandbox = configured(place);
    let (receiver, bot) = (Receiver::new([]), BotApi::new());
    add_webhook(&sandbox, &receiver);
    add_chat(&sandbox, &bot);
    // Two hosts with folders of their own; on one machine two servers on one folder.
    let peer = (place != Place::Sqlite).then(|| sandbox.peer());
    peer.iter().for_each(|peer| peer.configure(CONFIG));
    // What goes on is written down with its every word.
    let other = peer.as_ref().unwrap_or(&sandbox);
    let servers = [Server::logging(&sandbox, "debug"), Server::logging(other, "debug")];
    let body = question("delete").to_string();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let bearers = servers.each_ref().map(|server| format!("Bearer {}", server.bearer()));
        let sent: Vec<_> = (0..BURST)
            .map(|n| {
                let url = format!("{}/v1/approvals", servers[n % 2].url());
                let headers = [("authorization", bearers[n % 2].as_str())];
                tokio::spawn(Request::new("POST", &url, &headers, &body).send_async())
            })
            .collect();
        for one in sent {
            assert_eq!(one.await.unwrap().unwrap().status, 201);
        }
    });
    let list = || sandbox.run(&["--json", "approval", "list"]).ok().json()["items"].clone();
    until("all are counted", || list()[0]["waiters"] == BURST);
    let id = list()[0]["id"].as_str().unwrap().to_owned();
    until("it is announced", || bot.messages().len() == 1 && receiver.heard("approval_opened").len() == 1);
    let opened = receiver.heard("approval_opened").remove(0);
    assert!(opened.is_signed_with(&key()) && !opened.is_signed_with("another key"));
    assert_eq!(
        (opened.header("keyherd-attempt"), opened.json()["approval"]["id"].as_str()),
        ("1", Some(&*id))
    );
    assert_eq!(bot.messages()[0]["chat_id"], -100);
    bot.press(STRANGER, "Allow once");
    until("the stranger is told", || bot.replies().len() == 1);
    assert_eq!(
        (bot.replies()[0].as_str(), &show(&servers[0], &id)["state"]),
        ("You may not answer here.", &json!("open"))
    );
    let log = sandbox.run(&["--json", "audit", "tail", "-n", "50"]).ok().out;
    let refused: Vec<Value> = log
        .lines()
        .filter(|line| line.contains("approval.refuse"))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let [refused] = &refused[..] else { panic!("not one: {log}") };
    let who = format!("telegram:chat user {STRANGER}");
    assert_eq!((refused["actor"].as_str(), refused["subject"].as_str()), (Some(&*who), Some(&*id)));
    bot.press(USER, "Allow once");
    until("it is answered", || show(&servers[1], &id)["state"] == "answered");
    let answered = show(&servers[0], &id);
    assert_eq!(
        (answered["decision"].as_str(), answered["answered_by"].as_str()),
        (Some("allow_once"), Some("telegram:chat user 5"))
    );
    until("all are told", || bot.edits().len() == 1 && receiver.heard("approval_answered").len() == 1);
    let edit = &bot.edits()[0];
    let text = edit["text"].as_str().unwrap();
    assert!(text.contains("Allowed once by telegram:chat user 5, for 1000 requests"), "{text}");
    assert_eq!((edit["message_id"].as_i64(), edit.get("reply_markup")), (Some(1), None));
    assert_eq!(receiver.heard("approval_answered")[0].json()["approval"]["waiters"], BURST);
    bot.press(USER, "Deny");
    until("who comes late is told", || bot.replies().len() == 3);
    assert!(bot.replies()[2].starts_with("Too late. Allowed once"), "{:?}", bot.replies());
    assert!(bot.knows_only(&bot_token()));
    assert_eq!((bot.messages().len(), receiver.heard("approval_opened").len()), (1, 1), "once");
    assert_eq!(bot.listening_max(), 1, "one host listens");
    for server in servers {
        server.signal(rustix::process::Signal::TERM);
        let ran = server.end();
        assert_eq!(ran.code, 0);
        assert!(!ran.err.contains(MARKER), "a secret is in the log: {}", ran.err);
    }
}

fn a_webhook_is_tried_again_and_answers(place: Place) {
    let sandbox = configured(place);
    let receiver =
        Receiver::new([("500 Oops", ""), ("503 Later", "not now"), ("200 OK", r#"{"decision":"deny"}"#)]);
    add_webhook(&sandbox, &receiver);
    let server = Server::start(&sandbox);
    let id = ask(&server, "delete");
    until("it is answered", || show(&server, &id)["state"] == "answered");
    let answered = show(&server, &id);
    assert_eq!(
        (answered["decision"].as_str(), answered["answered_by"].as_str()),
        (Some("deny"), Some("webhook:hook"))
    );
    let tries = receiver.heard("approval_opened");
    let attempts: Vec<&str> = tries.iter().map(|heard| heard.header("keyherd-attempt")).collect();
    assert_eq!(attempts, ["1", "2", "3"]);
    assert!(tries.iter().all(|heard| heard.is_signed_with(&key())));
    assert!(tries.iter().all(|heard| heard.header("keyherd-message") == tries[0].header("keyherd-message")));
    until("it is told", || receiver.heard("approval_answered").len() == 1);
    // An answer that comes later, by the ticket that came with the question.
    let (first, second) = (ask(&server, "read"), ask(&server, "write"));
    until("both are announced", || receiver.heard("approval_opened").len() == 5);
    let ticket_of = |id: &str| {
        let opened = receiver.heard("approval_opened").into_iter().map(|heard| heard.json());
        let about = opened.rev().find(|one| one["approval"]["id"] == id).unwrap();
        assert_eq!(about["answer"]["path"], format!("/v1/approvals/{id}/answer"));
        about["answer"]["token"].as_str().unwrap().to_owned()
    };
    let ticket = ticket_of(&first);
    let forged = format!("{}{}", &ticket[..ticket.len() - 1], if ticket.ends_with('0') { "1" } else { "0" });
    assert_eq!(answer_with(&server, &forged, &first, "allow_once").status, 401);
    assert_eq!(answer_with(&server, &ticket, &second, "allow_once").status, 403, "another's");
    let elsewhere = Request::new(
        "GET",
        &format!("{}/v1/approvals", server.url()),
        &[("authorization", &format!("Bearer {ticket}"))],
        "",
    );
    assert_eq!(elsewhere.send().unwrap().status, 403);
    let taken = answer_with(&server, &ticket, &first, "always_allow");
    assert_eq!((taken.status, taken.json()["answered_by"].as_str()), (200, Some("webhook:hook")));
    assert_eq!(answer_with(&server, &ticket, &first, "deny").status, 409, "once");
    assert_eq!(show(&server, &second)["state"], "open");
    let listed = sandbox.run(&["--json", "channel", "list"]).ok().json();
    let channel = &listed["items"][0];
    assert_eq!(
        (channel["name"].as_str(), channel["problem"].as_str()),
        (Some("hook"), Some("it answers 503"))
    );
    assert!(channel["delivered_at"].is_string() && channel["origin"] == receiver.url(""), "{channel}");
    sandbox.run(&["channel", "remove", "hook"]).ok();
    assert_eq!(answer_with(&server, &ticket_of(&second), &second, "deny").status, 401, "its channel is gone");
    sandbox.run(&["audit", "verify"]).ok();
}

fn presses_are_heard_from_where_the_last_server_was(place: Place) {
    let sandbox = configured(place);
    let bot = BotApi::new();
    add_chat(&sandbox, &bot);
    for (tool, label, decision) in [("one", "Deny", "deny"), ("two", "Allow for 10 min", "allow_for")] {
        let server = Server::start(&sandbox);
        let id = ask(&server, tool);
        until("it is announced", || {
            bot.messages().last().is_some_and(|one| one["text"].as_str().unwrap().contains(&id))
        });
        let last = bot.press(USER, label);
        until("it is answered", || show(&server, &id)["decision"] == decision);
        until("the message says so", || {
            bot.edits().iter().any(|edit| edit["text"].as_str().unwrap().contains(&id))
        });
        until("it is listened from behind the press", || bot.offsets().last() == Some(&(last + 1)));
        server.signal(rustix::process::Signal::TERM);
        assert_eq!(server.end().code, 0);
    }
    assert_eq!(bot.replies().len(), 2, "no press is heard twice: {:?}", bot.replies());
    let offsets = bot.offsets();
    assert!(offsets.is_sorted(), "the second server goes on where the first one was: {offsets:?}");
}

#[test]
fn channels_are_added_listed_tested_and_removed() {
    let sandbox = Sandbox::new();
    let (receiver, bot) = (Receiver::new([("200 OK", ""), ("404 Nothing", "")]), BotApi::new());
    assert!(sandbox.run(&["channel", "list"]).ok().out.contains("no channels yet"));
    add_webhook(&sandbox, &receiver);
    add_chat(&sandbox, &bot);
    sandbox.run(&["channel", "test", "hook"]).ok();
    assert!(receiver.heard("test")[0].is_signed_with(&key()));
    sandbox.run(&["channel", "test", "hook"]).failed(1, &["hook", "it answers 404"]);
    let tested = sandbox.run(&["--json", "channel", "test", "chat"]).ok().json();
    assert_eq!((tested["delivered"].as_bool(), bot.messages().len()), (Some(true), 1));
    let listed = sandbox.run(&["channel", "list"]).ok().out;
    assert!(
        listed.contains("hook") && listed.contains("chat -100") && listed.contains(&receiver.url("")),
        "{listed}"
    );
    let taken = ["channel", "add", "webhook", "hook", "--url", "https://x.example/"];
    sandbox.run_with(&taken, &key()).failed(1, &["hook", "exists already"]);
    let made = sandbox
        .run(&["--json", "channel", "add", "webhook", "own", "--url", "https://x.example/"])
        .ok()
        .json();
    assert!(made["signing_key"].as_str().is_some_and(|key| key.starts_with("khs_")), "{made}");
    sandbox.run(&["channel", "remove", "hook"]).ok();
    sandbox.run(&["channel", "remove", "hook"]).failed(1, &["no channel is named 'hook'"]);
}

#[test]
fn a_channel_that_does_not_do_is_refused_and_no_secret_is_repeated() {
    let sandbox = Sandbox::new();
    let chat = ["channel", "add", "telegram", "chat", "--chat", "1", "--user", "5"];
    sandbox.run_with(&chat, "").failed(2, &["bot token", "standard input"]);
    sandbox.run_with(&chat, &format!("{MARKER}/../x")).failed(1, &["bot token"]);
    let plain = ["channel", "add", "webhook", "hook", "--url", "http://hooks.example/x"];
    sandbox.run_with(&plain, &key()).failed(1, &["https"]);
    let short = ["channel", "add", "webhook", "hook", "--url", "https://hooks.example/x"];
    sandbox.run_with(&short, "short").failed(1, &["signing key", "16"]);
}

#[test]
fn a_server_does_the_same() {
    let sandbox = Sandbox::new();
    let receiver = Receiver::new([]);
    let server = Server::start(&sandbox);
    let away = Sandbox::new();
    away.set("KEYHERD_SERVER", &server.url());
    away.set("KEYHERD_TOKEN", server.bearer());
    add_webhook(&away, &receiver);
    away.run(&["channel", "test", "hook"]).ok();
    assert!(receiver.heard("test")[0].is_signed_with(&key()));
    let listed = away.run(&["--json", "channel", "list"]).ok().json();
    assert_eq!(listed["items"][0]["name"], "hook");
    away.run(&["channel", "remove", "hook"]).ok();
    assert_eq!(away.run(&["--json", "channel", "list"]).ok().json()["items"], json!([]));
}
