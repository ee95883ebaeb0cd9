//! The gateway with clients that nobody here wrote, pointed at it by its base URL alone: the `openai` and `anthropic`
//! packages, curl, Node's fetch. Two accounts stand behind each name; the first is used up on the way.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Request;
use crate::place::{Place, everywhere};
use crate::running::until_some;
use crate::sandbox::{MARKER, Sandbox, until};
use crate::server::Server;

everywhere!(
    openai_fails_over_within_one_request,
    anthropic_streams_past_a_stream_that_opens_with_a_limit,
    curl_and_fetch,
    a_key_that_is_refused_is_passed_over,
);

/// `e2e/upstream.mjs`; it ends with its standard input.
pub(crate) struct StandIn {
    child: Child,
    pub(crate) url: String,
    pub(crate) control: String,
    _output: TempDir,
}

impl StandIn {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same, with flags of its own.
    pub(crate) fn with(flags: &[&str]) -> Self {
        let output = tempfile::tempdir().unwrap();
        let out = output.path().join("out");
        let mut command = Command::new("node");
        command.current_dir(e2e()).arg("upstream.mjs").args(flags).stdin(Stdio::piped());
        let child =
            command.stdout(std::fs::File::create(&out).unwrap()).spawn().expect("node: run scripts/test");
        let places: Value = until_some("the stand-in says where it is", || {
            serde_json::from_str(&std::fs::read_to_string(&out).ok()?).ok()
        });
        let place = |name: &str| places[name].as_str().unwrap().to_owned();
        Self { child, url: place("url"), control: place("control_url"), _output: output }
    }

    /// From now on that account is answered so.
    pub(crate) fn limits(&self, account: &str, how: &str) {
        let body = json!({"key": secret(account), "how": how}).to_string();
        assert_eq!(
            Request::new("POST", &format!("{}/limit", self.control), &[], &body).send().unwrap().status,
            200
        );
    }

    /// Whose keys it was asked with, in order.
    pub(crate) fn seen(&self) -> Vec<String> {
        let key = |one: &Value| one["key"].as_str().unwrap().rsplit('-').next().unwrap().to_owned();
        self.requests().iter().map(key).collect()
    }

    /// All that was asked, in order.
    pub(crate) fn requests(&self) -> Vec<Value> {
        let seen = Request::new("GET", &format!("{}/seen", self.control), &[], "").send().unwrap().json();
        assert!(!seen.to_string().contains("kha_"), "the agent's own key went upstream: {seen}");
        seen.as_array().unwrap().clone()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Two hosts of one installation; `gpt` and `claude` are pools of two keys each, and an agent may use both.
struct Stage {
    upstream: StandIn,
    sandbox: Sandbox,
    hosts: [Server; 2],
    key: String,
    _peer: Option<Sandbox>,
}

impl Stage {
    fn new(place: Place) -> Self {
        let (sandbox, upstream) = (place.sandbox(), StandIn::start());
        let accounts = ["g1", "g2", "c1", "c2"].map(
            |name| json!({"name": name, "provider": "generic", "kind": "static", "secret": secret(name)}),
        );
        sandbox.run_with(&["cred", "import", "-"], &json!(accounts).to_string()).ok();
        let port = upstream.url.rsplit(':').next().unwrap().to_owned();
        for (pool, members, header) in [("gpt", "g1,g2", "authorization"), ("claude", "c1,c2", "x-api-key")] {
            sandbox.run(&["pool", "create", pool, "--members", members]).ok();
            let binding =
                ["--host", "127.0.0.1", "--port", &port, "--header", header, "--upstream", &upstream.url];
            sandbox.run(&[&["binding", "add", pool], &binding[..]].concat()).ok();
        }
        let made = sandbox.run(&["--json", "agent", "create", "bot", "--allow", "gpt,claude"]).ok().json();
        let key = made["key"].as_str().unwrap().to_owned();
        let peer = (place != Place::Sqlite).then(|| sandbox.peer());
        // All that they write down is searched for the real keys when they end.
        let hosts = [&sandbox, peer.as_ref().unwrap_or(&sandbox)].map(|host| Server::logging(host, "trace"));
        Self { upstream, sandbox, hosts, key, _peer: peer }
    }

    fn base(&self, host: usize, name: &str) -> String {
        format!("{}/gateway/{name}", self.hosts[host].url())
    }

    /// What a Python package makes of the answer.
    fn python(&self, package: &str, base: &str, flags: &[&str]) -> Value {
        self.said(Command::new(python()).arg("clients/ask.py").args([package, base]).args(flags))
    }

    fn node(&self, base: &str, flags: &[&str]) -> Value {
        self.said(Command::new("node").arg("clients/ask.mjs").arg(base).args(flags))
    }

    fn curl(&self, args: &[&str], url: &str) -> String {
        let mut command = Command::new("curl");
        let bearer = format!("Authorization: Bearer {}", self.key);
        command.args(["-sS", "--max-time", "120", "-H", &bearer]).args(args).arg(url);
        let output = command.output().expect("curl: run scripts/test");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn said(&self, command: &mut Command) -> Value {
        let output = command.current_dir(e2e()).env("KEY", &self.key).stdin(Stdio::null()).output().unwrap();
        let (out, err) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(!out.contains(MARKER) && !err.contains(MARKER), "a real key reached the agent");
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"))
    }

    /// Waits until that host's memory has heard who serves.
    fn heard(&self, host: usize, pool: &str, active: &str) {
        until("the other host has heard of it", || {
            let (status, body) =
                self.hosts[host].ask("POST", "/v1/token", &json!({"name": pool}).to_string());
            status == 200 && serde_json::from_str::<Value>(&body).unwrap()["credential"] == active
        });
    }

    fn entered(&self, action: &str) -> usize {
        let log = self.sandbox.run(&["--json", "audit", "tail", "-n", "1000"]).ok();
        log.out
            .lines()
            .filter(|line| serde_json::from_str::<Value>(line).unwrap()["action"] == action)
            .count()
    }
}

fn openai_fails_over_within_one_request(place: Place) {
    let stage = Stage::new(place);
    let bases = [0, 1].map(|host| format!("{}/v1", stage.base(host, "gpt")));
    let hello = json!({"text": "hello there", "parts": 1});
    assert_eq!(stage.python("openai", &bases[0], &[]), hello);
    assert_eq!(stage.python("openai", &bases[1], &["--stream"]), json!({"text": "hello there", "parts": 3}));
    assert_eq!(stage.upstream.seen(), ["g1", "g1"]);
    stage.upstream.limits("g1", "429");
    assert_eq!(stage.python("openai", &bases[0], &[]), hello, "one request, no retry of the client's");
    assert_eq!(stage.upstream.seen()[2..], ["g1", "g2"]);
    stage.heard(1, "gpt", "g2");
    assert_eq!(stage.python("openai", &bases[1], &["--stream"])["parts"], 3);
    assert_eq!(stage.upstream.seen()[4..], ["g2"], "the other host does not ask the limited one again");
    assert_eq!((stage.entered("failover"), stage.entered("cooldown.set")), (1, 1));
    stage.upstream.limits("g2", "429");
    assert_eq!(stage.python("openai", &bases[0], &[]), json!({"error": "RateLimitError", "status": 429}));
    stage.sandbox.run(&["audit", "verify"]).ok();
}

fn anthropic_streams_past_a_stream_that_opens_with_a_limit(place: Place) {
    let stage = Stage::new(place);
    let streamed = json!({"text": "hello there", "parts": 3});
    assert_eq!(stage.python("anthropic", &stage.base(0, "claude"), &["--stream"]), streamed);
    stage.upstream.limits("c1", "stream");
    assert_eq!(stage.python("anthropic", &stage.base(0, "claude"), &["--stream"]), streamed);
    assert_eq!(stage.upstream.seen(), ["c1", "c1", "c2"]);
    stage.heard(1, "claude", "c2");
    assert_eq!(stage.python("anthropic", &stage.base(1, "claude"), &[])["text"], "hello there");
    assert_eq!(stage.upstream.seen()[3..], ["c2"]);
    assert_eq!(stage.entered("failover"), 1);
}

fn curl_and_fetch(place: Place) {
    let stage = Stage::new(place);
    let base = format!("{}/v1", stage.base(0, "gpt"));
    assert_eq!(stage.node(&base, &[]), json!({"text": "hello there", "parts": 1}));
    stage.upstream.limits("g1", "quota");
    assert_eq!(stage.node(&base, &["--stream"]), json!({"text": "hello there", "parts": 3}));
    assert_eq!(stage.upstream.seen(), ["g1", "g1", "g2"]);
    let url = format!("{}/some/where?a=b", stage.base(0, "gpt"));
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let said: Value = serde_json::from_str(&stage.curl(&[version, "-d", "{}"], &url)).unwrap();
        assert_eq!(said, json!({"method": "POST", "path": "/some/where", "length": 2}), "{version}");
    }
    let streamed = stage.curl(&["-N", "-d", r#"{"stream": true}"#], &format!("{base}/chat/completions"));
    assert!(streamed.ends_with("data: [DONE]\n\n"), "{streamed}");
    let status = |url: &str| stage.curl(&["-o", "/dev/null", "-w", "%{http_code}"], url);
    assert_eq!(status(&format!("{}/x", stage.base(0, "g1"))), "403", "not allowed, although it exists");
    assert_eq!(status(&format!("{}/../x", stage.base(0, "gpt")).replace("..", "%2e%2e")), "400");
}

fn a_key_that_is_refused_is_passed_over(place: Place) {
    let stage = Stage::new(place);
    stage.upstream.limits("g1", "401");
    let base = format!("{}/v1", stage.base(0, "gpt"));
    assert_eq!(stage.python("openai", &base, &[])["text"], "hello there");
    assert_eq!(stage.upstream.seen(), ["g1", "g2"]);
    stage.upstream.limits("g2", "401");
    let said = stage.python("openai", &base, &[]);
    assert_eq!(said, json!({"error": "AuthenticationError", "status": 401}));
}

/// A planted one, of that account.
pub(crate) fn secret(account: &str) -> String {
    format!("{MARKER}-key-{account}")
}

/// That of the clients' packages.
pub(crate) fn python() -> PathBuf {
    let python = e2e().join("clients/venv/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/test, which installs it", python.display());
    python
}

pub(crate) fn e2e() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e")
}
