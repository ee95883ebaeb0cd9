//! The dashboard in a real browser: `e2e/browser.mjs` drives Debian's Chromium, and says what a person would see.
//!
//! Its pictures stay in the build's own folder for whoever wants to look: `target/tmp/screenshots`.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::clients::{StandIn, e2e, secret};
use crate::provider::{Mood, Provider};
use crate::sandbox::{MARKER, Sandbox, in_seconds};
use crate::server::Server;

const CHROMIUM: &str = "/usr/bin/chromium";
/// For all of it together; it takes some 20 s on an idle machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// An installation with something to see: a pool before the gateway, rules, and accounts in every state.
fn furnish(sandbox: &Sandbox, provider: &Provider, upstream: &StandIn) -> String {
    let keys = ["gpt-1", "gpt-2", "gpt-3"]
        .map(|name| json!({"name": name, "provider": "generic", "kind": "static", "secret": secret(name)}));
    sandbox.run_with(&["cred", "import", "-"], &json!(keys).to_string()).ok();
    sandbox.run(&["pool", "create", "gpt", "--members", "gpt-1,gpt-2,gpt-3"]).ok();
    let port = upstream.url.rsplit(':').next().unwrap();
    let binding = ["--host", "127.0.0.1", "--port", port, "--upstream", &upstream.url];
    sandbox.run(&[&["binding", "add", "gpt"], &binding[..]].concat()).ok();
    for (name, lasts) in
        [("calendar", 3_600), ("crm", 5_400), ("files", 1_200), ("reports", -60), ("wiki", 7_000)]
    {
        sandbox.import(name, provider, &in_seconds(lasts));
    }
    let refusing = Provider::new();
    refusing.feels(Mood::Says("400 Bad Request", json!({"error": "invalid_grant"}).to_string()));
    sandbox.import("mail", &refusing, &in_seconds(-60));
    sandbox.token(&["mail"]).failed(3, &["'mail'"]);
    sandbox.run(&["cooldown", "set", "crm", "--for", "25m", "--reason", "rate_limit"]).ok();
    sandbox.run(&["cred", "disable", "wiki"]).ok();
    sandbox.run(&["pool", "create", "docs", "--members", "calendar,files", "--strategy", "round_robin"]).ok();
    sandbox.run(&["rule", "add", "ask", "--host", "127.0.0.1", "--method", "POST"]).ok();
    sandbox.run(&["rule", "add", "deny", "--host", "**.internal.example"]).ok();
    // One that is there, and one where nobody is.
    for (name, url) in
        [("ops", format!("{}/hook", upstream.control)), ("pager", "http://127.0.0.1:9/hook".into())]
    {
        sandbox.run_with(&["channel", "add", "webhook", name, "--url", &url], "\n").ok();
    }
    let made = sandbox.run(&["--json", "agent", "create", "builder", "--allow", "gpt"]).ok().json();
    sandbox.run(&["agent", "create", "reporter", "--allow", "docs,crm", "--may", "token"]).ok();
    made["key"].as_str().unwrap().to_owned()
}

#[test]
fn a_person_at_the_dashboard() {
    assert!(Path::new(CHROMIUM).exists(), "{CHROMIUM} is missing: run scripts/test, which installs it");
    let (sandbox, provider, upstream) = (Sandbox::new(), Provider::new(), StandIn::start());
    sandbox.configure("[background]\nenabled = false\n");
    let agent_key = furnish(&sandbox, &provider, &upstream);
    let server = Server::start(&sandbox);
    let stage = json!({
        "url": server.url(), "token": server.bearer(), "agent_key": agent_key,
        "control_url": upstream.control, "account": secret("gpt-1"),
    });
    let pictures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    let said = node(&pictures, &stage.to_string());
    assert!(!said.contains(MARKER), "a secret is in what the browser's driver says: {said}");
    for step in [
        "one answer releases them",
        "by keyboard",
        "a failover",
        "while a page is asked for",
        "channels say",
        "searched and verified",
        "logs out",
    ] {
        assert!(said.contains(step), "'{step}' is missing: {said}");
    }
    assert!(pictures.join("overview-phone-dark.png").exists());
}

/// Runs it within its bound; what it said.
#[expect(clippy::disallowed_methods, reason = "the test's own patience, with real processes")]
fn node(pictures: &Path, stage: &str) -> String {
    let output = tempfile::tempdir().unwrap();
    let (out, err) = (output.path().join("out"), output.path().join("err"));
    let mut command = Command::new("node");
    command.current_dir(e2e()).arg("browser.mjs").arg(pictures).stdin(Stdio::piped());
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let mut child = command.spawn().expect("node: run scripts/test, which sees to it");
    child.stdin.take().unwrap().write_all(format!("{stage}\n").as_bytes()).unwrap();
    let began = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if began.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        std::thread::park_timeout(Duration::from_millis(20));
    };
    let (out, err) = (std::fs::read_to_string(out).unwrap(), std::fs::read_to_string(err).unwrap());
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{out}{err}");
    out
}
