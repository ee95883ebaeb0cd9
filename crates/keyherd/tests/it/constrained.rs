//! Certificates that are believed for some hosts alone, by clients that nobody here wrote: that of `keyherd run`, and those of
//! `keyherd ca --constrain`.

use std::process::Command;

use serde_json::{Value, json};

use crate::behind::{ACCOUNT, Stage, path};
use crate::running::Running;

/// Whoever dials one host and has TLS name another is told so, by a certificate of that other one.
const ASTRAY: &str = "curl -sS --max-time 30 -o answer -w '%{http_code}\\n' --connect-to other.example:443:localhost:${API##*:} \\
    https://other.example/";

/// What is trusted is believed for the hosts that the account may go to, and for no other.
#[test]
fn a_certificate_for_its_hosts_alone() {
    let stage = Stage::new("generic");
    let said = stage.begin(&format!(
        "for name in localhost other.example; do
           $PYTHON clients/handshake.py ${{API#https://}} $name
           node clients/handshake.mjs ${{API#https://}} $name
         done
         cd ~; {ASTRAY} 2>&1 || echo $?"
    ));
    let [python, node, python_other, node_other, curl @ ..] = &said.lines[..] else {
        panic!("{:?}", said.lines)
    };
    assert_eq!((python.as_str(), node.as_str()), ("localhost", "localhost"));
    let refused = "permitted subtree violation";
    let curl = curl.join(" ");
    for told in [python_other, node_other, &curl] {
        assert!(told.contains(refused), "{:?}", said.lines);
    }
    assert!(curl.ends_with("60"), "{curl}");
    let said = stage.begin_with(&["--any-host"], &format!("cd ~; {ASTRAY}"));
    assert_eq!(said.lines, ["421"]);
}

/// The server's own, for an agent that is elsewhere: another certificate of the same key.
#[test]
fn a_constrained_certificate_of_the_server() {
    let stage = Stage::new("generic");
    let sandbox = &stage.sandbox;
    let made = sandbox.run(&["--json", "agent", "create", "robot", "--allow", ACCOUNT]).ok().json();
    let listening = ["serve", "--api", "127.0.0.1:0", "--proxy", "127.0.0.1:0"];
    let command = sandbox.command(&[&["--ca-bundle", &stage.root, "--json"], &listening[..]].concat());
    let mut server = Running::of(sandbox, command, "");
    let places: Value = serde_json::from_str(&server.first_line()).unwrap();
    let proxy = places["proxy"].as_str().unwrap().replace("http://", "");
    let proxy = format!("http://robot:{}@{proxy}", made["key"].as_str().unwrap());
    let asked = |ca: &str, args: &[&str]| {
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "30", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", ca]);
        let output =
            command.args(["--proxy", &proxy]).args(args).env_clear().env("PATH", path()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (url, port) =
        (format!("{}/echo", stage.upstream.url), stage.upstream.url.rsplit(':').next().unwrap());
    let astray = ["--connect-to", &format!("other.example:443:localhost:{port}"), "https://other.example/"];
    let constrained = sandbox.run(&["--json", "ca", "--constrain", "--agent", "robot"]).ok().json();
    assert_eq!(constrained["names"], json!(["localhost"]));
    let (constrained, whole) = (constrained["ca_file"].as_str().unwrap(), sandbox.run(&["ca"]).ok().out);
    assert_ne!(constrained, whole.trim());
    for ca in [constrained, whole.trim()] {
        assert_eq!(asked(ca, &[&url]), (0, "200".into()), "{ca}");
    }
    assert_eq!(asked(whole.trim(), &astray), (0, "421".into()));
    assert_eq!(asked(constrained, &astray).0, 60);
    assert_eq!(server.terminate().code, 0);
    assert!(sandbox.run(&["ca", "--constrain"]).ok().out.trim().ends_with("/ca-constrained.pem"));
    sandbox.run(&["ca", "--constrain", "--agent", "nobody"]).failed(1, &["'nobody'", "agent list"]);
    sandbox.run(&["rule", "add", "deny", "--host", "10.0.0.0/8", "--method", "PUT"]).ok();
    sandbox.run(&["ca", "--constrain"]).failed(1, &["can be constrained", "10.0.0.0/8"]);
    let rules = sandbox.run(&["--json", "rule", "list"]).ok().json();
    sandbox.run(&["rule", "remove", rules["items"][0]["id"].as_str().unwrap()]).ok();
    sandbox.run(&["rule", "add", "deny", "--host", "api.*", "--path", "/admin"]).ok();
    sandbox.run(&["ca", "--constrain"]).failed(1, &["'api.*' may be any host"]);
}
