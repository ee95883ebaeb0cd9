//! The same verbs through a server: `--server`, from a machine that has no store.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;

use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::provider::{Mood, Provider, access_token};
use crate::running::Running;
use crate::sandbox::{MARKER, Ran, Sandbox, in_seconds};
use crate::server::Server;

/// A machine with nothing but the server's address and its bearer.
struct Agent(Sandbox);

impl Agent {
    fn of(server: &Server) -> Self {
        Self::new(&server.url(), server.bearer())
    }

    fn new(url: &str, bearer: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.set("KEYHERD_SERVER", url);
        sandbox.set("KEYHERD_TOKEN", bearer);
        Self(sandbox)
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Ran {
        self.0.run(args)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(!self.0.data().exists(), "a machine without a store was given a data folder");
        }
    }
}

#[test]
fn credentials_from_import_to_removal() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let server = Server::start(&sandbox);
    let agent = Agent::of(&server);
    let document = provider.document("a", &in_seconds(-60)).to_string();
    let import = agent.0.run_with(&["cred", "import", "-"], &document).ok();
    assert_eq!(import.out, "a: created (generic, active, generation 0)\n");
    agent.0.run_with(&["cred", "import", "-"], &document).failed(1, &["'a'", "--replace", "--if-absent"]);
    agent.0.run_with(&["cred", "import", "-", "--if-absent"], &document).ok();
    // A token is what both machines see, and one call of the provider.
    assert_eq!(agent.0.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    let as_json: Value =
        serde_json::from_str(&agent.0.run_unchecked(&["--json", "token", "a"], "").out).unwrap();
    assert_eq!((as_json["credential"].as_str(), as_json["generation"].as_u64()), (Some("a"), Some(1)));
    let rejected = agent.0.run_unchecked(&["token", "a", "--rejected-stdin"], &access_token("a", 1));
    assert_eq!(rejected.ok().out.trim(), access_token("a", 2));
    // What is shown is the same, wherever it is asked for.
    for args in
        [&["--json", "cred", "list"][..], &["--json", "cred", "show", "a"], &["--json", "client", "list"]]
    {
        assert_eq!(agent.run(args).ok().json(), sandbox.run(args).ok().json(), "{args:?}");
    }
    assert!(agent.run(&["cred", "list"]).ok().out.contains("generic"));
    agent.run(&["cred", "disable", "a"]).ok();
    agent.0.token(&["a"]).failed(5, &["'a'", "cred enable a"]);
    agent.run(&["cred", "enable", "a"]).ok();
    agent.run(&["cooldown", "set", "a", "--for", "10m"]).ok();
    agent.0.token(&["a"]).failed(4, &["'a'", "rests until"]);
    let shorter = agent.run(&["cooldown", "set", "a", "--for", "1m"]).ok();
    assert!(shorter.out.contains("rests longer already"), "{}", shorter.out);
    agent.run(&["cooldown", "clear", "a"]).ok();
    agent.run(&["cooldown", "clear", "a"]).failed(1, &["'a'", "does not rest at all"]);
    assert!(agent.run(&["audit", "tail", "-n", "3"]).ok().out.contains("cooldown.clear"));
    assert!(agent.run(&["audit", "verify"]).ok().out.contains("each as it was written"));
    assert_eq!(agent.run(&["audit", "export"]).ok().out, sandbox.run(&["audit", "export"]).ok().out);
    assert!(agent.run(&["provider", "list"]).ok().out.contains("slack"));
    let show = ["--json", "provider", "show", "slack"];
    assert_eq!(agent.run(&show).ok().json(), sandbox.run(&show).ok().json());
    let text = agent.run(&["provider", "show", "slack"]).ok().out;
    assert!(text.contains("name = \"slack\"") && text.contains("token_url = "), "{text}");
    sandbox.run_with(&["provider", "import", "-"], &text).ok();
    agent.run(&["provider", "show", "nobody"]).failed(1, &["'nobody'", "provider list"]);
    agent.run(&["cred", "remove", "a"]).ok();
    agent.run(&["cred", "show", "a"]).failed(1, &["'a'", "cred list"]);
    assert_eq!(provider.reuse(), 0);
}

#[test]
fn refresh_clients_and_amendments() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let server = Server::start(&sandbox);
    let agent = Agent::of(&server);
    sandbox.import("a", &provider, &in_seconds(3_600));
    let refreshed = agent.run(&["cred", "refresh", "a"]).ok();
    assert!(refreshed.out.contains("generation 1"), "{}", refreshed.out);
    let set = &["client", "set", "app", "--provider", "generic", "--client-id", "one"];
    assert!(agent.0.run_with(set, MARKER).ok().out.contains("is set"));
    let again = &["client", "set", "app", "--provider", "generic"];
    assert!(agent.0.run_with(again, MARKER).ok().out.contains("is changed"));
    assert_eq!(agent.run(&["--json", "client", "list"]).ok().json()["items"][0]["client_id"], "one");
    agent.run(&["cred", "amend", "a", "--client", "app"]).ok();
    agent.run(&["client", "remove", "app"]).failed(1, &["'app'", "in use", "'a'"]);
    agent.0.run_with(&["cred", "amend", "a", "--client-id", "two"], MARKER).ok();
    assert_eq!(agent.run(&["--json", "cred", "show", "a"]).ok().json()["client_id"], "two");
    agent.run(&["client", "remove", "app"]).ok();
    agent.run(&["cred", "amend", "a"]).failed(2, &["nothing is to be changed"]);
}

#[test]
fn a_dead_refresh_token_is_told_as_on_the_store() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let server = Server::start(&sandbox);
    sandbox.import("a", &provider, &in_seconds(-60));
    provider.feels(Mood::Says("400 Bad Request", json!({"error": "invalid_grant"}).to_string()));
    let through = Agent::of(&server).0.token(&["a"]);
    through.failed(3, &["'a'", "new login", "invalid_grant", "--replace"]);
    assert_eq!(through.err, sandbox.token(&["a"]).err, "the same line");
}

#[test]
fn many_documents_of_which_one_cannot_be() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let server = Server::start(&sandbox);
    let agent = Agent::of(&server);
    let mut strange = provider.document("c", &in_seconds(60));
    strange["provider"] = json!("google");
    let documents =
        json!([provider.document("b", &in_seconds(60)), strange, provider.document("d", &in_seconds(60))]);
    // A server checks each document's endpoint in its turn.
    let stopped = agent.0.run_with(&["cred", "import", "-"], &documents.to_string());
    stopped.failed(
        1,
        &["'c'", "oauth2.googleapis.com", "imported: 'b'", "not imported: 'c', 'd'", "--if-absent"],
    );
    // On the store it is known before the first one.
    let other = Sandbox::new();
    let refused = other.run_with(&["cred", "import", "-"], &documents.to_string());
    refused.failed(1, &["'c'", "oauth2.googleapis.com"]);
    assert_eq!(other.run(&["--json", "cred", "list"]).ok().json()["items"], json!([]));
}

#[test]
fn what_only_the_stores_machine_can_do() {
    let agent = Agent::new("https://keyherd.invalid:8484", "bearer");
    for args in [&["serve"][..], &["key", "rotate"], &["migrate"]] {
        agent.run(args).failed(2, &["--server", args[0]]);
    }
}

#[test]
fn settings_that_cannot_be() {
    let sandbox = Sandbox::new();
    let url = "http://127.0.0.1:1";
    sandbox.run(&["--server", url, "cred", "list"]).failed(2, &["KEYHERD_TOKEN", "not set"]);
    sandbox.set("KEYHERD_TOKEN", MARKER);
    sandbox
        .run(&["--server", "http://keyherd.example:8484", "cred", "list"])
        .failed(2, &["--server", "https"]);
    sandbox.run(&["--server", "keyherd", "cred", "list"]).failed(2, &["--server", "https://host"]);
    sandbox
        .run(&["--server", url, "--database-url", "sqlite:/x", "cred", "list"])
        .failed(2, &["--server", "--database-url"]);
    assert!(!sandbox.data().exists());
}

#[test]
fn a_server_that_refuses_or_is_not_there() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox);
    let stranger = Agent::new(&server.url(), &format!("{MARKER}-bearer"));
    stranger.run(&["cred", "list"]).failed(1, &["KEYHERD_TOKEN", "admin.token", &server.url()]);
    stranger.run(&["doctor"]).failed(1, &["KEYHERD_TOKEN"]);
    let known = Agent::of(&server);
    assert!(known.run(&["doctor"]).ok().out.contains("store ok"));
    known.0.token(&["a"]).failed(1, &["'a'"]);
    // Bound and not listened to: nobody else gets it meanwhile.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let free = socket.local_addr().unwrap();
    let nobody = Agent::new(&format!("http://{free}"), "bearer");
    nobody.0.token(&["a"]).failed(4, &["cannot be reached", &free.to_string(), "--server"]);
    nobody.run(&["doctor"]).failed(1, &["cannot be reached"]);
}

#[test]
fn something_else_than_keyherd() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = Agent::new(&format!("http://{}", listener.local_addr().unwrap()), "bearer");
    let other = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        while head != "\r\n" {
            head.clear();
            assert_ne!(reader.read_line(&mut head).unwrap(), 0, "it left");
        }
        stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\nnone").unwrap();
    });
    agent.run(&["cred", "list"]).failed(1, &["does not answer as a keyherd server", "404", "--server"]);
    other.join().unwrap();
}

/// The certificate in `certificate/` is for `localhost`, and nobody trusts it who was not told to.
#[test]
fn a_certificate_is_verified() {
    let sandbox = Sandbox::new();
    let (certificate, key) = crate::tls::files(&sandbox, 0o600);
    let args = crate::tls::flags(&certificate, &key);
    let mut server = Running::start(&sandbox, &args, "", None);
    let places: Value = serde_json::from_str(&server.first_line()).unwrap();
    let port = places["api"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let bearer = fs::read_to_string(places["admin_token_file"].as_str().unwrap()).unwrap();
    let agent = Agent::new(&format!("https://localhost:{port}"), bearer.trim());
    let distrusted = agent.run(&["cred", "list"]);
    let trusted = agent.run(&["--ca-bundle", certificate.to_str().unwrap(), "--json", "cred", "list"]);
    server.kill();
    distrusted.failed(1, &["certificate is not trusted", "--ca-bundle"]);
    assert_eq!(trusted.ok().json(), json!({"items": []}));
}

/// The kernel takes connections in a listener's name; nobody ever answers them.
#[test]
#[expect(clippy::disallowed_methods, reason = "how long a command takes is what is looked at")]
fn a_server_that_never_answers_keeps_nobody_beyond_their_own_wait() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = Agent::new(&format!("http://{}", silent.local_addr().unwrap()), MARKER);
    let took = |args: &[&str]| {
        let began = std::time::Instant::now();
        agent.run(args).failed(4, &["no answer within", "may have done"]);
        began.elapsed().as_secs()
    };
    // The wait, the margin, and what a busy machine takes for the rest: below what is waited without being told.
    assert!(took(&["token", "a", "--wait", "1"]) < 3 + 20);
    let config = agent.0.path("client.toml");
    fs::write(&config, "[client]\nanswer_timeout_seconds = 1\n").unwrap();
    agent.0.set("KEYHERD_CONFIG", config.to_str().unwrap());
    assert!(took(&["cred", "list"]) < 1 + 20);
    let doctor = agent.run(&["doctor"]);
    assert!(doctor.code != 0 && doctor.out.contains("no answer within"), "{doctor:?}");
}

#[test]
fn a_bearer_or_an_address_that_cannot_be_is_said_to_be_what_it_is() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox);
    Agent::new(&server.url(), &format!("{}\n", server.bearer())).run(&["cred", "list"]).ok();
    let broken = format!("{MARKER}\n{MARKER}");
    Agent::new(&server.url(), &broken).run(&["cred", "list"]).failed(2, &["KEYHERD_TOKEN", "admin.token"]);
    let encrypted = server.url().replace("http:", "https:");
    let refused = Agent::new(&encrypted, MARKER).run(&["cred", "list"]);
    refused.failed(1, &["does not speak TLS"]);
    assert!(!refused.err.contains("trusted"), "{}", refused.err);
    let with_user = server.url().replace("http://", "http://someone:else@");
    let refused = Agent::new(&with_user, MARKER).run(&["cred", "list"]);
    refused.failed(2, &["user or password", "KEYHERD_TOKEN"]);
    assert!(!refused.err.contains("client_secret") && !refused.err.contains("else@"), "{}", refused.err);
}
