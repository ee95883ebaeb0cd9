//! Asked once, from outside: one prompt for a burst, answered by whoever comes first, on whichever host.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Request;
use crate::place::{Place, everywhere};
use crate::running::{Running, until_some};
use crate::sandbox::{Sandbox, until};
use crate::server::Server;

everywhere!(
    a_thousand_ask_and_one_prompt_is_answered_once,
    an_open_approval_outlives_the_server,
    an_answer_that_comes_at_once_counts_all_whom_it_reached,
    an_answer_is_remembered_and_forgotten,
);

const BURST: usize = 1_000;

fn question(agent: &str) -> Value {
    json!({"agent": agent, "key": "fs.delete", "question": {"tool": "delete", "path": "/tmp/x"}})
}

fn ask(server: &Server, body: &Value) -> Value {
    let (status, text) = server.ask("POST", "/v1/approvals", &body.to_string());
    assert_eq!(status, 201, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn open(server: &Server) -> Vec<Value> {
    let (status, text) = server.ask("GET", "/v1/approvals?state=open", "");
    assert_eq!(status, 200, "{text}");
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().unwrap().clone()
}

fn show(server: &Server, id: &str, wait_seconds: u64) -> Value {
    let (status, text) = server.ask("GET", &format!("/v1/approvals/{id}?wait_seconds={wait_seconds}"), "");
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn answer(server: &Server, id: &str, body: &Value) -> (u16, String) {
    server.ask("POST", &format!("/v1/approvals/{id}/answer"), &body.to_string())
}

/// Many requests at once, on connections of their own.
fn burst(server: &Server, requests: impl Iterator<Item = (&'static str, String, String)>) -> Vec<Value> {
    let bearer = format!("Bearer {}", server.bearer());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let sent: Vec<_> = requests
            .map(|(method, path, body)| {
                let url = format!("{}{path}", server.url());
                let headers = [("authorization", bearer.as_str())];
                tokio::spawn(Request::new(method, &url, &headers, &body).send_async())
            })
            .collect();
        let mut answers = Vec::new();
        for one in sent {
            let answer = one.await.unwrap().unwrap();
            assert!((200..300).contains(&answer.status), "{answer:?}");
            answers.push(answer.json());
        }
        answers
    })
}

fn events(sandbox: &Sandbox, action: &str) -> usize {
    let tail = sandbox.run(&["--json", "audit", "tail", "-n", "5000"]).ok();
    tail.out.lines().filter(|line| line.contains(&format!("\"action\":\"{action}\""))).count()
}

fn a_thousand_ask_and_one_prompt_is_answered_once(place: Place) {
    let sandbox = place.sandbox();
    let server = Server::start(&sandbox);
    let body = question("builder").to_string();
    let asked = burst(&server, (0..BURST).map(|_| ("POST", "/v1/approvals".to_owned(), body.clone())));
    let id = asked[0]["id"].as_str().unwrap().to_owned();
    assert!(asked.iter().all(|one| one["id"] == id.as_str() && one["state"] == "open"));
    let [prompt] = &open(&server)[..] else { panic!("not one prompt: {:?}", open(&server)) };
    assert_eq!((prompt["agent"].as_str(), prompt["waiters"].as_u64()), (Some("builder"), Some(BURST as u64)));
    assert_eq!(prompt["question"], json!({"tool": "delete", "path": "/tmp/x"}));
    ask(&server, &question("other"));
    assert_eq!(open(&server).len(), 2, "another agent, its own prompt");
    // A process tells the others how many wait with it, and not each time.
    until("all are counted", || {
        let list = sandbox.run(&["--json", "approval", "list"]).ok().json();
        list["items"][0]["waiters"] == BURST
    });
    // A person on the server's own machine answers, while requests wait.
    let path = format!("/v1/approvals/{id}?wait_seconds=60");
    let answered = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| burst(&server, (0..50).map(|_| ("GET", path.clone(), String::new()))));
        let said = sandbox.run(&["--json", "approval", "allow", &id]).ok().json();
        assert_eq!(
            (said["decision"].as_str(), said["waiters"].as_u64()),
            (Some("allow_once"), Some(BURST as u64))
        );
        waiting.join().unwrap()
    });
    assert!(answered.iter().all(|one| one["decision"] == "allow_once" && one["answered_by"] == "cli"));
    let (status, second) = answer(&server, &id, &json!({"decision": "deny"}));
    assert_eq!(status, 409, "{second}");
    assert!(second.contains("cli answered 'allow_once'"), "{second}");
    assert_eq!((events(&sandbox, "approval.open"), events(&sandbox, "approval.answer")), (2, 1));
    let again = ask(&server, &question("builder"));
    assert_ne!(again["id"], id.as_str(), "once is once");
    sandbox.run(&["audit", "verify"]).ok();
}

fn an_answer_that_comes_at_once_counts_all_whom_it_reached(place: Place) {
    let sandbox = place.sandbox();
    let server = Server::start(&sandbox);
    let body = question("builder").to_string();
    let asked = burst(&server, (0..20).map(|_| ("POST", "/v1/approvals".to_owned(), body.clone())));
    let id = asked[0]["id"].as_str().unwrap();
    sandbox.run(&["approval", "allow", id]).ok();
    until("the server has said how many there were", || show(&server, id, 0)["waiters"] == 20);
    let counted = "keyherd_approvals_total{decision=\"allow_once\"} 1\n";
    until("it is counted", || server.ask("GET", "/metrics", "").1.contains(counted));
}

fn an_open_approval_outlives_the_server(place: Place) {
    let sandbox = place.sandbox();
    let server = Server::start(&sandbox);
    let id = ask(&server, &question("builder"))["id"].as_str().unwrap().to_owned();
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.end().code, 0);
    let server = Server::start(&sandbox);
    assert_eq!(open(&server).len(), 1);
    assert_eq!(ask(&server, &question("builder"))["id"], id.as_str(), "it is the same one");
    assert_eq!(answer(&server, &id, &json!({"decision": "deny"})).0, 200);
    assert_eq!(show(&server, &id, 0)["decision"], "deny");
    assert_eq!(open(&server).len(), 0);
}

fn an_answer_is_remembered_and_forgotten(place: Place) {
    let sandbox = place.sandbox();
    let server = Server::start(&sandbox);
    let id = ask(&server, &question("builder"))["id"].as_str().unwrap().to_owned();
    sandbox.run(&["approval", "deny", &id, "--always"]).ok();
    let covered = |body: &Value| {
        until_some("the server knows", || Some(ask(&server, body)).filter(|it| it["state"] == "answered"))
    };
    let denied = covered(&question("builder"));
    assert_eq!(denied["decision"], "always_deny");
    assert_eq!(denied["id"], id.as_str(), "the approval whose answer it is");
    let rules = sandbox.run(&["--json", "rule", "list"]).ok().json();
    let [rule] = &rules["items"].as_array().unwrap()[..] else { panic!("not one rule: {rules}") };
    assert_eq!((rule["remembered"].as_bool(), rule["key"].as_str()), (Some(true), Some("fs.delete")));
    sandbox.run(&["rule", "remove", rule["id"].as_str().unwrap()]).ok();
    until("it is asked anew", || ask(&server, &question("builder"))["state"] == "open");
    // For a time, and a question without a name.
    let plain = json!({"agent": "builder", "question": "may I?"});
    let id = ask(&server, &plain)["id"].as_str().unwrap().to_owned();
    let (status, refused) = answer(&server, &id, &json!({"decision": "always_allow"}));
    assert_eq!(status, 400, "{refused}");
    assert!(refused.contains("key"), "{refused}");
    sandbox.run(&["approval", "allow", &id, "--for", "1h"]).ok();
    assert_eq!(covered(&plain)["decision"], "allow_for");
    let own = json!({"agent": "builder", "question": "may I?", "coalesce": false});
    assert_ne!(ask(&server, &own)["id"], ask(&server, &own)["id"], "each asks for itself");
}

/// How long the release of a hundred may take, on a busy machine too.
const EACH_WITHIN: Duration = Duration::from_secs(30);
/// Polls are as good as switched off: what arrives has come by a notice.
const NO_POLLS: &str = "[listen]\npoll_proven_milliseconds = 60000\npoll_unproven_milliseconds = 60000\n";

#[test]
fn asked_on_one_host_and_answered_on_the_other() {
    let here = Place::Postgres.sandbox();
    here.configure(NO_POLLS);
    let first = Server::start(&here);
    let there = here.peer();
    there.configure(NO_POLLS);
    let second = Server::start(&there);
    until("the other host hears of rules", || {
        here.run(&["rule", "add", "deny", "--host", "probe.example"]).ok();
        let test = json!({"method": "GET", "url": "http://probe.example/"}).to_string();
        second.ask("POST", "/v1/rules/test", &test).1.contains("\"verdict\":\"deny\"")
    });
    let mut took = Vec::new();
    for round in 0..5 {
        let body = json!({"agent": "builder", "question": {"round": round}});
        let id = ask(&first, &body)["id"].as_str().unwrap().to_owned();
        assert_eq!(ask(&second, &body)["id"], id.as_str(), "the other host attaches to it");
        let path = format!("/v1/approvals/{id}?wait_seconds=60");
        let (released, answered) = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let all = burst(&first, (0..100).map(|_| ("GET", path.clone(), String::new())));
                (now(), all)
            });
            until("it waits", || show(&second, &id, 0)["waiters"] == 2);
            assert_eq!(answer(&second, &id, &json!({"decision": "allow_once"})).0, 200);
            let answered = now();
            let (released, all) = waiting.join().unwrap();
            assert!(all.iter().all(|one| one["decision"] == "allow_once" && one["answered_by"] == "admin"));
            (released, answered)
        });
        took.push(released.saturating_duration_since(answered));
    }
    assert_eq!(events(&here, "approval.open"), 5, "one announcement for each question");
    assert!(took.iter().all(|took| *took < EACH_WITHIN), "they were released after {took:?}");
}

#[test]
fn who_waited_with_a_host_that_was_killed_is_not_counted() {
    let here = Place::Postgres.sandbox();
    let first = Server::start(&here);
    let second = Server::start(&here.peer());
    let id = ask(&first, &question("builder"))["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/approvals/{id}?wait_seconds=60");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| burst(&second, (0..3).map(|_| ("GET", path.clone(), String::new()))));
        ask(&second, &question("builder"));
        until("both are counted", || show(&second, &id, 0)["waiters"] == 2);
        // SIGKILL.
        drop(first);
        until("the dead are not", || show(&second, &id, 0)["waiters"] == 1);
        assert_eq!(answer(&second, &id, &json!({"decision": "allow_once"})).0, 200);
        assert!(waiting.join().unwrap().iter().all(|one| one["decision"] == "allow_once"));
    });
    assert_eq!(show(&second, &id, 0)["waiters"], 1);
}

#[expect(clippy::disallowed_methods, reason = "the test's own clock, with real processes")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn nobody_in_time_is_said_so() {
    let sandbox = Sandbox::new();
    sandbox.configure("[approvals]\ntimeout_seconds = 1\n");
    let server = Server::start(&sandbox);
    let id = ask(&server, &question("builder"))["id"].as_str().unwrap().to_owned();
    let ended = show(&server, &id, 30);
    assert_eq!((ended["state"].as_str(), ended.get("decision")), (Some("timed_out"), None));
    let (status, refused) = answer(&server, &id, &json!({"decision": "allow_once"}));
    assert_eq!(status, 409, "{refused}");
    assert_eq!(events(&sandbox, "approval.timeout"), 1);
}

#[test]
fn bounds_are_said() {
    let sandbox = Sandbox::new();
    sandbox.configure("[approvals]\nwaiters_max = 2\nopen_max = 2\nprompts_per_minute = 3\n");
    let server = Server::start(&sandbox);
    let refused = |body: &Value, word: &str| {
        let (status, text) = server.ask("POST", "/v1/approvals", &body.to_string());
        assert_eq!(status, 503, "{text}");
        assert!(text.contains(word) && text.contains("\"code\":\"busy\""), "{text}");
    };
    ask(&server, &question("builder"));
    ask(&server, &question("builder"));
    refused(&question("builder"), "waiters_max");
    ask(&server, &question("other"));
    refused(&question("third"), "open_max");
    for (agent, text) in [("builder", "1"), ("builder", "2")] {
        for one in open(&server) {
            answer(&server, one["id"].as_str().unwrap(), &json!({"decision": "deny"}));
        }
        ask(&server, &json!({"agent": agent, "question": text}));
    }
    for one in open(&server) {
        answer(&server, one["id"].as_str().unwrap(), &json!({"decision": "deny"}));
    }
    refused(&json!({"agent": "builder", "question": "3"}), "prompts_per_minute");
    for (body, word) in [
        (json!({"agent": "builder"}), "question"),
        (json!({"agent": "a b", "question": 1}), "agent"),
        (json!({"agent": "builder", "question": 1, "key": ""}), "key"),
        (json!({"agent": "builder", "question": 1, "more": 1}), "more"),
    ] {
        let (status, text) = server.ask("POST", "/v1/approvals", &body.to_string());
        assert_eq!(status, 400, "{text}");
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_person_lists_and_answers_by_command_and_through_a_server() {
    let sandbox = Sandbox::new();
    sandbox.run(&["approval", "list"]).ok();
    let server = Server::start(&sandbox);
    let id = ask(&server, &question("builder"))["id"].as_str().unwrap().to_owned();
    let listed = sandbox.run(&["approval", "list"]).ok().out;
    assert!(listed.contains(&id) && listed.contains("builder") && listed.contains("delete"), "{listed}");
    let agent = Sandbox::new();
    agent.set("KEYHERD_SERVER", &server.url());
    agent.set("KEYHERD_TOKEN", server.bearer());
    let list = agent.run(&["--json", "approval", "list"]).ok().json();
    assert_eq!(list["items"][0]["id"], id.as_str());
    let said = agent.run(&["approval", "allow", &id, "--for", "10m"]).ok().out;
    assert!(said.contains(&id) && said.contains("allow_for") && said.contains("1 request"), "{said}");
    agent.run(&["approval", "deny", &id]).failed(1, &[&id, "allow_for"]);
    agent.run(&["approval", "deny", "0000000000"]).failed(1, &["0000000000"]);
    agent.run(&["approval", "allow", &id, "--for", "10m", "--always"]).failed(2, &["--always"]);
    let all = agent.run(&["approval", "list", "--all"]).ok().out;
    assert!(all.contains("allow_for"), "{all}");
}

#[test]
fn a_watch_outlives_its_server() {
    let sandbox = Sandbox::new();
    let first = Server::start(&sandbox);
    let watcher = Sandbox::new();
    watcher.set("KEYHERD_SERVER", &first.url());
    watcher.set("KEYHERD_TOKEN", first.bearer());
    let mut watch = Running::start(&watcher, &["--json", "approval", "watch"], "", None);
    let id = ask(&first, &question("builder"))["id"].as_str().unwrap().to_owned();
    until("it is shown", || watch.out().contains(&id));
    let address = first.url().replace("http://", "");
    first.signal(rustix::process::Signal::TERM);
    assert_eq!(first.end().code, 0);
    until("it says that nothing is seen", || watch.err().contains("cannot be reached"));
    assert!(!watch.is_over(), "{}", watch.err());
    let second = Server::at(&sandbox, &address);
    until("it sees again", || watch.err().contains("approvals are seen again"));
    assert_eq!(answer(&second, &id, &json!({"decision": "deny"})).0, 200);
    until("the end is shown", || watch.out().contains("\"answered_by\":\"admin\""));
    let said = watch.err();
    assert_eq!(said.lines().count(), 2, "each is said once: {said}");
    watch.signal(rustix::process::Signal::TERM);
    watch.end();
    // Who never saw anything is told at once.
    drop(second);
    watcher.run(&["approval", "watch"]).failed(4, &["cannot be reached"]);
}
