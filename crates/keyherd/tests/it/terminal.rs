//! Prompts on a real terminal, which `script` (util-linux) makes: secrets are asked for, and never shown.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::provider::{Provider, access_token};
use crate::sandbox::{MARKER, Sandbox, in_seconds, leash};

/// Runs a command on a terminal of its own and types these lines; what the terminal showed.
fn typed(sandbox: &Sandbox, args: &[&str], lines: &[&str]) -> Option<(bool, String)> {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let data = sandbox.data();
    let program = [env!("CARGO_BIN_EXE_keyherd"), "--data", data.to_str().unwrap()];
    let command: Vec<String> = program.iter().chain(args).map(|word| quoted(word)).collect();
    let script = Command::new("script")
        .args(["-qec", &command.join(" "), "/dev/null"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = match script {
        Ok(child) => child,
        Err(error) => {
            // Said, so that nobody believes it was tested.
            eprintln!("SKIPPED: 'script' of util-linux cannot be run: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    for line in lines {
        writeln!(stdin, "{line}").unwrap();
    }
    drop(stdin);
    let _leash = leash(&child);
    let ended = child.wait_with_output().unwrap();
    Some((ended.status.success(), String::from_utf8_lossy(&ended.stdout).into_owned()))
}

#[test]
fn a_credential_is_added_by_prompts() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let document = provider.document("a", &in_seconds(-60));
    let secret = |field: &str| document[field].as_str().unwrap().to_owned();
    let url = provider.token_url();
    let args = ["cred", "add", "a", "--provider", "generic", "--client-id", "a", "--token-url", &url];
    let answers = [secret("refresh_token"), secret("client_secret"), String::new()];
    let answers: Vec<&str> = answers.iter().map(String::as_str).collect();
    let Some((is_done, shown)) = typed(&sandbox, &args, &answers) else { return };
    assert!(is_done, "{shown}");
    for prompt in ["Refresh token: ", "Client secret (empty: public client): ", "Access token (empty"] {
        assert!(shown.contains(prompt), "{prompt} is missing in: {shown}");
    }
    assert!(shown.contains("a: created (generic, active, generation 0)"), "{shown}");
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
}

#[test]
fn what_is_typed_is_not_shown() {
    let sandbox = Sandbox::new();
    let args = ["client", "set", "app", "--provider", "generic", "--client-id", "x"];
    // `script` itself echoes what comes before the program has taken the echo away: so the secret comes after the prompt.
    let Some((is_done, shown)) = typed(&sandbox, &args, &["an-answer"]) else { return };
    assert!(is_done && shown.contains("client app of generic is set"), "{shown}");
    assert!(!shown.contains(MARKER), "{shown}");
    assert_eq!(sandbox.run(&["--json", "client", "list"]).ok().json()["items"][0]["has_client_secret"], true);
}
