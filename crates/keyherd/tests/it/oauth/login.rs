//! A person logs in at the server, with a real browser, and `cred login` keeps what was granted: `e2e/login.mjs`.

use std::process::{Command, Stdio};

use crate::clients::e2e;
use crate::oidc::{Counts, OidcProvider};
use crate::running::{Running, until_some};
use crate::sandbox::Sandbox;

/// The longest that the browser may take, in seconds.
const BROWSER_MAX: &str = "280";

/// Logs in as a client of that kind, at the place that `find` reads from what the command says; and uses what was granted.
#[track_caller]
fn check(client: &str, flags: &[&str], find: impl Fn(&str) -> Option<String>, page: &str) {
    let (sandbox, server) = (Sandbox::new(), OidcProvider::start(600));
    OidcProvider::write_profiles(&sandbox);
    let urls = ["token_url", "authorize_url", "device_url"].map(|name| server.place(name));
    let (provider, id) = (format!("oidc-{client}"), format!("keyherd-{client}"));
    let mut args = vec!["cred", "login", "acme", "--provider", &provider, "--client-id", &id];
    args.extend(["--token-url", urls[0], "--authorize-url", urls[1], "--device-url", urls[2]]);
    args.extend(["--scope", "openid", "--scope", "offline_access"]);
    args.extend(flags);
    let running = Running::start(&sandbox, &args, &server.client_secret(client), None);
    let place = until_some("it says where to log in", || running.err().lines().find_map(&find));
    assert!(browse(&place).contains(page));
    let ran = running.end();
    assert_eq!(
        (ran.code, ran.out),
        (0, format!("acme: created ({provider}, active, generation 0)\n")),
        "{}",
        ran.err
    );
    let token = sandbox.token(&["acme"]).ok().out;
    assert_eq!(server.userinfo_status(token.trim_end()), 200);
    assert!(!ran.err.contains(token.trim_end()));
    sandbox.run(&["cred", "refresh", "acme"]).ok();
    let renewed = sandbox.token(&["acme"]).ok().out;
    assert_ne!(renewed, token);
    assert_eq!(server.userinfo_status(renewed.trim_end()), 200);
    assert_eq!(server.counts(), Counts { calls: 1, granted: 1, replays: 0, reuses: 0 });
}

/// What the last page says.
fn browse(place: &str) -> String {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", BROWSER_MAX, "node", "login.mjs", place]).current_dir(e2e());
    let output = command.stdin(Stdio::null()).output().expect("timeout: run scripts/test");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{err}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn by_code_with_pkce() {
    let find = |line: &str| line.trim().starts_with("http").then(|| line.trim().to_owned());
    // OpenID Connect Core, section 11: offline access is granted only where consent is asked for.
    check("basic", &["--param", "prompt=consent"], find, "keyherd has what it needs");
}

#[test]
fn by_a_devices_code() {
    let find = |line: &str| line.split_once("at once: ").map(|(_, place)| place.to_owned());
    check("none", &["--device"], find, "Success");
}
