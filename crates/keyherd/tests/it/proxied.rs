//! Programs behind the forward proxy: `keyherd run`, `serve --proxy`, `agent env`. The test itself is what the program does.

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::provider::Provider;
use crate::running::{Running, until_some};
use crate::sandbox::{MARKER, Sandbox, in_seconds, until};
use crate::upstream::Upstream;

/// The longest that one answer is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A store with the account `a`, which may go to an upstream.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) upstream: Upstream,
    _provider: Provider,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let (sandbox, provider, upstream) = (Sandbox::new(), Provider::new(), Upstream::new());
        sandbox.import("a", &provider, &in_seconds(3_600));
        let authority = upstream.authority();
        let (host, port) = authority.split_once(':').unwrap();
        sandbox.run(&["binding", "add", "a", "--host", host, "--port", port]).ok();
        Self { sandbox, upstream, _provider: provider }
    }
}

/// A program that shows its environment, and lives until it is told to end.
pub(crate) struct Program {
    running: Running,
    flag: PathBuf,
    variables: HashMap<String, String>,
}

impl Program {
    pub(crate) fn start(sandbox: &Sandbox, flags: &[&str], last: &str) -> Self {
        let flag = sandbox.path("flag");
        let script = format!("env; echo =; while [ ! -e {} ]; do sleep 0.02; done; {last}", flag.display());
        let args = [&["run"], flags, &["--", "sh", "-c", &script]].concat();
        let mut command = sandbox.command(&args);
        command.env("PATH", "/usr/bin:/bin").env("TMPDIR", sandbox.path("."));
        command.env("KEYHERD_TOKEN", "planted").env("KEYHERD_ANYTHING", "planted");
        let running = Running::of(sandbox, command, "");
        let shown = until_some("it shows its environment", || {
            running.out().split_once("\n=\n").map(|(shown, _)| shown.to_owned())
        });
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.into(), value.into()));
        Self { running, flag, variables: shown.lines().filter_map(pair).collect() }
    }

    /// Proxy's address, agent's name and key.
    pub(crate) fn proxy(&self) -> (String, String) {
        let url = self.variables["https_proxy"].strip_prefix("http://").unwrap();
        let (caller, address) = url.split_once('@').unwrap();
        (address.to_owned(), caller.to_owned())
    }

    pub(crate) fn end(self) -> (i32, String) {
        fs::write(self.flag, "").unwrap();
        let ran = self.running.end();
        (ran.code, ran.err)
    }
}

/// Everything that is said to a request through a proxy.
pub(crate) fn asked(proxy: &str, caller: &str, url: &str, bearer: &str) -> String {
    let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap();
    let caller = base64(caller.as_bytes());
    said(
        proxy,
        &format!(
            "GET {url} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nProxy-Authorization: Basic {caller}\r\n\
             Authorization: Bearer {bearer}\r\n\r\n"
        ),
    )
}

/// Everything that is said to these bytes.
pub(crate) fn said(proxy: &str, text: &str) -> String {
    let mut stream = TcpStream::connect(proxy).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
            << (8 * (3 - three.len()));
        let digits = (0..4).map(|place| char::from(DIGITS[number >> (18 - 6 * place) & 63]));
        text.extend(digits.take(three.len() + 1));
        text.push_str(["", "==", "="][if three.len() == 3 { 0 } else { three.len() }]);
    }
    text
}

/// How many roots replace others.
fn in_bundle(variables: &HashMap<String, String>) -> usize {
    fs::read_to_string(&variables["SSL_CERT_FILE"]).unwrap().matches("BEGIN CERTIFICATE").count()
}

/// How many OpenSSL finds where Java is told to look. What Java itself asks for more, it does not look at.
fn in_truststore(variables: &HashMap<String, String>) -> usize {
    let (_, rest) = variables["JAVA_TOOL_OPTIONS"].split_once("javax.net.ssl.trustStore=").unwrap();
    let (file, _) = rest.split_once('"').unwrap();
    let mut command = std::process::Command::new("openssl");
    command.args(["pkcs12", "-in", file, "-nokeys", "-nomacver", "-passin", "pass:"]);
    let output =
        command.env_clear().env("PATH", "/usr/bin:/bin").output().expect("openssl: run scripts/test");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    assert!(output.status.success(), "{err}");
    // Each is marked as Java wants it; later versions of OpenSSL have a name for the mark.
    let marked = out.matches("2.16.840.1.113894.746875.1.1: ").count() + out.matches("(Oracle): ").count();
    let found = out.matches("BEGIN CERTIFICATE").count();
    assert_eq!((marked, out.matches("friendlyName: root ").count()), (found, found), "{out}");
    found
}

#[test]
fn a_program_has_phantoms_and_no_secret() {
    let stage = Stage::new();
    let program = Program::start(&stage.sandbox, &["--env", "API_KEY=a"], "exit 7");
    let shown = format!("{:?}", program.variables);
    assert!(!shown.contains(MARKER) && !shown.contains("KEYHERD_"), "{shown}");
    let (proxy, caller) = program.proxy();
    let phantom = program.variables["API_KEY"].clone();
    let url = format!("http://{}/v1/things", stage.upstream.authority());
    let told = asked(&proxy, &caller, &url, &phantom);
    assert!(told.starts_with("HTTP/1.1 200") && told.contains(r#"{"ok":true}"#), "{told}");
    assert_eq!(stage.upstream.calls("a"), 1, "it came with the real token");
    assert!(asked(&proxy, "run:kha_0", &url, &phantom).starts_with("HTTP/1.1 407"));
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"] {
        let text = fs::read_to_string(&program.variables[name]).unwrap();
        assert!(text.contains("BEGIN CERTIFICATE") && !text.contains("PRIVATE"), "{name}");
    }
    assert_eq!(in_truststore(&program.variables), in_bundle(&program.variables));
    let folder = program.variables["SSL_CERT_FILE"].clone();
    let (code, err) = program.end();
    assert_eq!((code, err.as_str()), (7, ""));
    assert!(!fs::exists(folder).unwrap(), "nothing is left of it");
    assert!(TcpStream::connect(proxy).is_err(), "its proxy is gone");
    let log = stage.sandbox.run(&["audit", "tail", "-n", "1"]).ok().out;
    assert!(log.contains("agent:run") && log.contains("proxy.request"), "{log}");
}

#[test]
fn a_programs_end_is_the_commands_end() {
    let stage = Stage::new();
    let run = |args: &[&str]| {
        let mut command = stage.sandbox.command(&[&["run", "--"], args].concat());
        command.env("PATH", "/usr/bin:/bin").env("TMPDIR", stage.sandbox.path("."));
        Running::of(&stage.sandbox, command, "").end()
    };
    let check = |args: &[&str], code: i32| {
        let ran = run(args);
        assert_eq!(ran.code, code, "{args:?}: {}", ran.err);
    };
    check(&["true"], 0);
    check(&["sh", "-c", "exit 3"], 3);
    check(&["sh", "-c", "kill -9 $$"], 137);
    check(&["/nowhere/program"], 127);
    check(&["/etc/passwd"], 126);
    assert_eq!(run(&["echo", "--env", "x"]).out, "--env x\n");
    stage.sandbox.run(&["run", "--env", "A=nobody", "--", "true"]).failed(125, &["'nobody'", "cred list"]);
    stage.sandbox.run(&["run", "--env", "KEYHERD_A=a", "--", "true"]).failed(125, &["keyherd's own"]);
    // Called wrongly: as `env` does, so that nobody takes it for the program's own end.
    stage.sandbox.run(&["run"]).failed(125, &["CMD"]);
    stage.sandbox.run(&["run", "--env", "bad", "--", "true"]).failed(125, &["--env"]);
    let twice = ["run", "--env", "A=a", "--env", "B=a", "--env", "A=a", "--", "true"];
    stage.sandbox.run(&twice).failed(125, &["--env A ", "twice"]);
    stage.sandbox.run(&["run", "--evn", "T=P", "--", "true"]).failed(125, &["--evn"]);
    assert_eq!(run(&["echo", "--evn", "--", "-x"]).out, "--evn -- -x\n");
    stage.sandbox.run(&["run", "--", "--evn"]).failed(127, &["--evn"]);
    stage.sandbox.run(&["--server", "http://127.0.0.1:1", "run", "--", "true"]).failed(125, &[]);
}

#[test]
fn signals_reach_the_program() {
    let stage = Stage::new();
    let script = "trap 'exit 9' TERM; echo set; while :; do sleep 0.02; done";
    let mut command = stage.sandbox.command(&["run", "--", "sh", "-c", script]);
    command.env("PATH", "/usr/bin:/bin").env("TMPDIR", stage.sandbox.path("."));
    let running = Running::of(&stage.sandbox, command, "");
    until("the trap is set", || running.out() == "set\n");
    assert_eq!(running.terminate().code, 9);
}

#[test]
fn a_program_cannot_read_the_store() {
    let stage = Stage::new();
    let key = stage.sandbox.data().join("master.key");
    let work = stage.sandbox.path("work");
    fs::create_dir(&work).unwrap();
    let script = format!(
        "cat {}; cd {}; touch new; cat new && mkdir d && mv new d/new && cat d/new",
        key.display(),
        work.display()
    );
    let mut command = stage.sandbox.command(&["run", "--", "sh", "-c", &script]);
    command.env("PATH", "/usr/bin:/bin").env("TMPDIR", stage.sandbox.path("."));
    let ran = Running::of(&stage.sandbox, command, "").end();
    if ran.err.contains("is not closed to the program") {
        return;
    }
    assert_eq!((ran.code, ran.out.as_str()), (0, ""), "{}", ran.err);
    assert!(ran.err.contains("master.key"), "{}", ran.err);
}

#[test]
fn a_kept_agent_behind_the_servers_proxy() {
    let stage = Stage::new();
    let sandbox = &stage.sandbox;
    let made = sandbox.run(&["--json", "agent", "create", "robot", "--allow", "a"]).ok().json();
    let key = made["key"].as_str().unwrap().to_owned();
    let mut command = sandbox.command(&["--json", "serve", "--api", "127.0.0.1:0", "--proxy", "127.0.0.1:0"]);
    command.env("KEYHERD_LOG", "warn");
    let mut server = Running::of(sandbox, command, "");
    let places: serde_json::Value = serde_json::from_str(&server.first_line()).unwrap();
    let proxy = places["proxy"].as_str().unwrap().strip_prefix("http://").unwrap().to_owned();
    let ca = places["ca_file"].as_str().unwrap();
    assert_eq!(sandbox.run(&["ca"]).ok().out.trim(), ca);
    assert!(fs::read_to_string(ca).unwrap().contains("BEGIN CERTIFICATE"));
    let env = sandbox.run(&["agent", "env", "robot"]).ok().out;
    let phantom = env.trim().strip_prefix("A=").unwrap().to_owned();
    assert_eq!(sandbox.run(&["agent", "env", "robot"]).ok().out, env, "the same every time");
    let url = format!("http://{}/v1/things", stage.upstream.authority());
    let caller = format!("robot:{key}");
    assert!(asked(&proxy, &caller, &url, &phantom).starts_with("HTTP/1.1 200"));
    assert_eq!(stage.upstream.calls("a"), 1);
    sandbox.run(&["rule", "add", "deny", "--host", "127.0.0.1", "--method", "GET"]).ok();
    until("the server knows the rule", || asked(&proxy, &caller, &url, &phantom).starts_with("HTTP/1.1 403"));
    sandbox.run(&["agent", "revoke", "robot"]).ok();
    until("the server knows of it", || asked(&proxy, &caller, &url, &phantom).starts_with("HTTP/1.1 407"));
    let api = places["api"].as_str().unwrap();
    let _ = asked(&proxy, &caller, &format!("{api}/healthz"), &phantom);
    assert_eq!(server.terminate().code, 0);
    let log = sandbox.run(&["audit", "tail", "-n", "50"]).ok().out;
    assert!(log.contains("proxy.request") && log.contains("agent:robot"), "{log}");
}

/// A profile that says another prefix makes other phantoms; those that are out there stay good.
#[test]
fn a_phantom_outlives_its_look() {
    let stage = Stage::new();
    let sandbox = &stage.sandbox;
    let made = sandbox.run(&["--json", "agent", "create", "robot", "--allow", "a"]).ok().json();
    let caller = format!("robot:{}", made["key"].as_str().unwrap());
    let phantom = || sandbox.run(&["agent", "env", "robot"]).ok().out.trim().replacen("A=", "", 1);
    let mut phantoms = vec![phantom()];
    for prefix in ["sk-", "eyJ"] {
        let profile = format!("name = \"generic\"\nphantom_prefix = \"{prefix}\"\n");
        sandbox.run_with(&["provider", "import", "-"], &profile).ok();
        phantoms.push(phantom());
        assert!(phantom().starts_with(prefix), "{}", phantom());
    }
    phantoms.remove(1);
    let mut command = sandbox.command(&["--json", "serve", "--api", "127.0.0.1:0", "--proxy", "127.0.0.1:0"]);
    command.env("KEYHERD_LOG", "warn");
    let mut server = Running::of(sandbox, command, "");
    let places: serde_json::Value = serde_json::from_str(&server.first_line()).unwrap();
    let proxy = places["proxy"].as_str().unwrap().strip_prefix("http://").unwrap();
    let url = format!("http://{}/v1/things", stage.upstream.authority());
    for phantom in &phantoms {
        assert!(asked(proxy, &caller, &url, phantom).starts_with("HTTP/1.1 200"), "{phantom}");
    }
    assert_eq!(stage.upstream.calls("a"), phantoms.len(), "each came with the real token");
    assert_eq!(server.terminate().code, 0);
}
