//! Agents and bindings from outside: commands, servers, several hosts; and that no key lies anywhere.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Request;
use crate::place::{Place, everywhere};
use crate::provider::{Provider, access_token};
use crate::sandbox::{Sandbox, in_seconds, until};
use crate::server::Server;

everywhere!(an_agent_from_its_making_to_its_end, no_key_lies_anywhere);

/// No poll of any kind comes in a test's time.
const NO_POLLS: &str = "[listen]\npoll_proven_milliseconds = 60000\npoll_unproven_milliseconds = 60000\n";
/// Far below what a poll takes here: it was told of. How soon that is, is a bench's question.
const EACH_WITHIN: Duration = Duration::from_secs(30);
/// How often a key is taken away.
const ROUNDS: usize = 5;

/// Makes an agent, and gives its key.
#[track_caller]
fn made(sandbox: &Sandbox, args: &[&str]) -> String {
    let view = sandbox.run(&[&["--json", "agent", "create"], args].concat()).ok().json();
    view["key"].as_str().unwrap().to_owned()
}

/// Asks with that key, for the token of that name. Status and code, or the token.
fn asked(server: &Server, key: &str, name: &str) -> (u16, String) {
    let bearer = format!("Bearer {key}");
    let (url, body) = (format!("{}/v1/token", server.url()), json!({"name": name}).to_string());
    let answer = Request::new("POST", &url, &[("authorization", &bearer)], &body).send().unwrap();
    let json = answer.json();
    let said = json["code"].as_str().or(json["access_token"].as_str()).unwrap();
    (answer.status, said.to_owned())
}

fn an_agent_from_its_making_to_its_end(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    // Or the refresh is the background's.
    sandbox.configure("[background]\nenabled = false\n");
    sandbox.import("a", &provider, &in_seconds(-60));
    sandbox.import("b", &provider, &in_seconds(3_600));
    let server = Server::start(&sandbox);
    let key = made(&sandbox, &["bot", "--allow", "a", "--may", "token"]);
    let plain = made(&sandbox, &["plain", "--allow", "a,b"]);
    // Made by another process, and known at once.
    assert_eq!(asked(&server, &key, "a"), (200, access_token("a", 1)));
    assert_eq!(asked(&server, &key, "b"), (403, "denied".into()));
    assert_eq!(asked(&server, &plain, "a"), (403, "denied".into()));
    let list = sandbox.run(&["--json", "agent", "list"]).ok().json();
    let names: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| (&item["name"], &item["allow"])).collect();
    assert_eq!(names, [(&json!("bot"), &json!(["a"])), (&json!("plain"), &json!(["a", "b"]))]);
    assert!(sandbox.run(&["agent", "list"]).ok().out.contains("a b"));
    sandbox.run(&["agent", "create", "bot"]).failed(1, &["'bot'", "exists already"]);
    sandbox.run(&["agent", "create", "x", "--allow", "nobody"]).failed(1, &["'nobody'", "cred list"]);
    sandbox.run(&["agent", "create", "x", "--allow", "a,a"]).failed(1, &["'a'", "twice"]);
    sandbox.run(&["agent", "create", "x", "--may", "all"]).failed(2, &["all", "token"]);
    sandbox.run(&["cred", "remove", "b"]).failed(1, &["'b'", "in use", "agent revoke plain"]);
    let entries = sandbox.run(&["audit", "export"]).ok().out;
    assert!(entries.contains("\"agent:bot\""), "the agent is named: {entries}");
    assert!(sandbox.run(&["agent", "revoke", "bot"]).ok().out.contains("bot is revoked"));
    until("the server knows", || asked(&server, &key, "a") == (401, "unauthorized".into()));
    sandbox.run(&["agent", "revoke", "bot"]).failed(1, &["'bot'", "agent list"]);
    sandbox.run(&["agent", "revoke", "plain"]).ok();
    sandbox.run(&["cred", "remove", "b"]).ok();
    assert_eq!(provider.reuse(), 0);
}

/// The host that did not do it hears of it by a notice.
#[test]
fn a_key_that_one_host_takes_away_opens_nothing_on_the_other() {
    one_host_takes_a_key_away(Place::Postgres);
}

#[test]
fn a_key_that_one_host_takes_away_opens_nothing_on_the_other_with_redis() {
    one_host_takes_a_key_away(Place::PostgresAndRedis);
}

fn one_host_takes_a_key_away(place: Place) {
    let (here, provider) = (place.sandbox(), Provider::new());
    here.configure(NO_POLLS);
    here.import("a", &provider, &in_seconds(3_600));
    let there = here.peer();
    there.configure(NO_POLLS);
    let (one, other) = (Server::start(&here), Server::start(&there));
    let document = json!({"name": "bot", "allow": ["a"], "may": ["token"]}).to_string();
    let make = || {
        let (status, body) = one.ask("POST", "/v1/agents", &document);
        assert_eq!(status, 201, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()["key"].as_str().unwrap().to_owned()
    };
    let revoke = || assert_eq!(one.ask("DELETE", "/v1/agents/bot", "").0, 204);
    // Until it listens, nothing would come before a poll does.
    until("the other host hears", || {
        let key = make();
        let was_open = asked(&other, &key, "a").0 == 200;
        revoke();
        was_open && (0..50).any(|_| asked(&other, &key, "a").0 == 401)
    });
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let key = make();
        assert_eq!(asked(&other, &key, "a").0, 200, "known at once, told or not");
        took.push(refused_after(revoke, || asked(&other, &key, "a").0 == 401));
        assert_eq!(asked(&one, &key, "a").0, 401, "where it was revoked it opens nothing from the answer on");
    }
    assert!(took.iter().all(|took| *took < EACH_WITHIN), "refused after {took:?}");
}

#[expect(clippy::disallowed_methods, reason = "how long real processes take is the question")]
fn refused_after(revoke: impl FnOnce(), is_refused: impl Fn() -> bool) -> Duration {
    revoke();
    let revoked = Instant::now();
    until("the key is refused", is_refused);
    revoked.elapsed()
}

/// Neither the key nor what follows its prefix, in no file, log, list, entry, event or metric.
fn no_key_lies_anywhere(place: Place) {
    let (sandbox, provider) = (place.sandbox(), Provider::new());
    sandbox.set("KEYHERD_LOG", "trace");
    sandbox.import("a", &provider, &in_seconds(3_600));
    let made =
        sandbox.run_unchecked(&["--json", "agent", "create", "bot", "--allow", "a", "--may", "token"], "");
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let secret = key.strip_prefix("kha_").unwrap().to_owned();
    let clean = |what: &str, text: &str| assert!(!text.contains(&secret), "the key is in {what}: {text}");
    clean("the log of its making", &made.err);
    let server = Server::start(&sandbox);
    assert_eq!(asked(&server, &key, "a").0, 200);
    assert_eq!(asked(&server, &key.replace('a', "b"), "a").0, 401);
    for path in ["/v1/agents", "/v1/audit", "/metrics", "/v1/bindings"] {
        clean(path, &server.ask("GET", path, "").1);
    }
    for args in [&["agent", "list"][..], &["--json", "agent", "list"], &["audit", "export"], &["doctor"]] {
        let ran = sandbox.run_unchecked(args, "");
        clean(&args.join(" "), &format!("{}{}", ran.out, ran.err));
    }
    let revoked = sandbox.run_unchecked(&["agent", "revoke", "bot"], "");
    clean("the log of its end", &format!("{}{}", revoked.out, revoked.err));
    server.signal(rustix::process::Signal::TERM);
    clean("the server's log", &server.end().err);
    for (path, bytes) in sandbox.files() {
        let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!is_there, "the key lies in {}", path.display());
    }
}

#[test]
fn bindings_from_making_to_removal() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    let add =
        ["binding", "add", "a", "--host", "*.acme.example", "--upstream", "https://api.acme.example/v1"];
    let told = sandbox.run(&add).ok().out;
    assert!(told.contains("a may go to *.acme.example in header authorization"), "{told}");
    let again = sandbox.run(&add);
    again.failed(1, &["'a'", "binding remove"]);
    let view = sandbox
        .run(&["--json", "binding", "add", "a", "--host", "127.0.0.1", "--port", "80", "--query", "key"])
        .ok()
        .json();
    assert_eq!((view["query"].as_str(), view["port"].as_u64()), (Some("key"), Some(80)));
    let id = view["id"].as_str().unwrap();
    let list = sandbox.run(&["--json", "binding", "list"]).ok().json();
    assert_eq!((list["items"].as_array().map(Vec::len), &list["items"][1]), (Some(2), &view));
    assert!(sandbox.run(&["binding", "list"]).ok().out.contains("Bearer {token}"));
    sandbox.run(&["cred", "remove", "a"]).failed(1, &["'a'", "in use", "binding remove"]);
    sandbox.run(&["binding", "remove", id]).ok();
    sandbox.run(&["binding", "remove", id]).failed(1, &[id, "binding list"]);
    sandbox.run(&["binding", "remove", "nobody"]).failed(2, &["binding list"]);
    sandbox.run(&["binding", "add", "nobody", "--host", "a.b"]).failed(1, &["'nobody'", "pool list"]);
    for (args, said) in [
        (&["--host", "*"][..], "too wide"),
        (&["--host", "a b"], "not a host"),
        (&["--host", "a.b", "--header", "Host"], "not a header"),
        (&["--host", "a.b", "--template", "x"], "{token}"),
        (&["--host", "a.b", "--upstream", "https://c.d"], "may go to"),
        (&["--host", "a.b", "--header", "x", "--query", "y"], "--query"),
        (&["--host", "a.b", "--port", "0"], "port"),
    ] {
        sandbox.run(&[&["binding", "add", "a"], args].concat()).failed(2, &[said]);
    }
}

/// With nothing but a server's address and a key: the administrator's, then an agent's.
#[test]
fn through_a_server() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(-60));
    sandbox.import("b", &provider, &in_seconds(3_600));
    let server = Server::start(&sandbox);
    let far = |bearer: &str| {
        let far = Sandbox::new();
        far.set("KEYHERD_SERVER", &server.url());
        far.set("KEYHERD_TOKEN", bearer);
        far
    };
    let admin = far(server.bearer());
    let key = made(&admin, &["bot", "--allow", "a", "--may", "token"]);
    let told = admin.run(&["agent", "create", "empty"]).ok().out;
    assert!(told.contains("may use nothing") && told.lines().last().unwrap().starts_with("kha_"), "{told}");
    let bound = admin.run(&["--json", "binding", "add", "a", "--host", "a.b"]).ok().json();
    for args in [&["--json", "agent", "list"][..], &["--json", "binding", "list"]] {
        assert_eq!(admin.run(args).ok().json(), sandbox.run(args).ok().json(), "{args:?}");
    }
    let agent = far(&key);
    assert_eq!(agent.token(&["a"]).ok().out.trim(), access_token("a", 1));
    agent.token(&["b"]).failed(5, &["'bot'", "--allow"]);
    agent.run(&["cred", "list"]).failed(5, &["'bot'", "not for agents"]);
    agent.run(&["agent", "create", "more"]).failed(5, &["'bot'"]);
    admin.run(&["cred", "remove", "a"]).failed(1, &["'a'", "in use"]);
    admin.run(&["binding", "add", "nobody", "--host", "a.b"]).failed(1, &["'nobody'"]);
    admin.run(&["binding", "remove", bound["id"].as_str().unwrap()]).ok();
    admin.run(&["agent", "revoke", "bot"]).ok();
    agent.token(&["a"]).failed(1, &["KEYHERD_TOKEN"]);
    admin.run(&["agent", "revoke", "bot"]).failed(1, &["'bot'"]);
}
