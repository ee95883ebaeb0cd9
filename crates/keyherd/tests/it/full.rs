//! A disk that is full, as a bound on the size of files (RLIMIT_FSIZE): a clear line, a whole store, no token lost.

use std::fs;
use std::process::{Command, Stdio};

use crate::provider::{Provider, access_token};
use crate::sandbox::{Ran, Sandbox, finished, in_seconds};

/// Runs a command that can make no file longer than so many blocks of 512 bytes. A file that grows past it is answered
/// with an error, since the signal is ignored.
#[track_caller]
fn bounded(sandbox: &Sandbox, blocks: usize, args: &[&str], input: &std::path::Path) -> Ran {
    let mut command = Command::new("sh");
    let line = format!("trap '' XFSZ; ulimit -f {blocks} || exit 99; exec \"$@\"");
    command.arg("-c").arg(line).arg("sh").arg(env!("CARGO_BIN_EXE_keyherd"));
    command.arg("--data").arg(sandbox.data()).args(args).env_clear();
    command.stdin(fs::File::open(input).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = finished(command.spawn().unwrap());
    assert_ne!(ran.code, 99, "the bound cannot be set: {}", ran.err);
    ran
}

#[test]
fn commands_on_a_full_disk() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    sandbox.import("a", &provider, &in_seconds(3_600));
    let document = sandbox.path("b.json");
    fs::write(&document, provider.document("b", &in_seconds(3_600)).to_string()).unwrap();
    // Nothing can be written: what writes says so, and nothing is half there. Reading needs SQLite's index of its log,
    // which is a file as well.
    for (args, is_change) in [
        (&["token", "a"][..], false),
        (&["cred", "list"], false),
        (&["cred", "import", "-"], true),
        (&["cred", "disable", "a"], true),
        (&["key", "rotate"], true),
        (&["cred", "refresh", "a"], true),
    ] {
        let ran = bounded(&sandbox, 0, args, &document);
        if !is_change && ran.code == 0 {
            continue;
        }
        assert!(ran.code == 1 || ran.code == 4, "{args:?}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{args:?}: {}", ran.err);
        assert!(ran.err.contains("keyherd.db") || ran.err.contains("master.key"), "{args:?}: {}", ran.err);
        assert!(ran.out.is_empty(), "{args:?}: {}", ran.out);
    }
    assert_eq!(provider.calls(), 0, "no token is spent whose successor could not be kept");
    let listed = sandbox.run(&["--json", "cred", "list"]).ok().json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    // With room again everything is as before.
    sandbox.run(&["cred", "import", document.to_str().unwrap()]).ok();
    sandbox.run(&["cred", "refresh", "a"]).ok();
    assert_eq!(sandbox.token(&["a"]).ok().out.trim(), access_token("a", 1));
    assert_eq!(sandbox.token(&["b"]).ok().out.trim(), access_token("b", 0));
    sandbox.run(&["key", "rotate"]).ok();
    sandbox.run(&["audit", "verify"]).ok();
}
