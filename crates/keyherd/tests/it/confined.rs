//! What a program under `keyherd run` cannot reach, and what is left when `run` is killed. Where the kernel cannot close
//! something, `run` says so, and there is nothing to be tested.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::provider::Provider;
use crate::proxied::{Program, Stage, asked};
use crate::running::Running;
use crate::sandbox::{MARKER, Ran, Sandbox, in_seconds, until};

const NOT_CLOSED: &str = "is not closed to the program";

/// A run of a shell's script, with its temporary files in a folder of its own.
fn begin(sandbox: &Sandbox, script: &str) -> Running {
    let folder = sandbox.path("tmp");
    fs::create_dir_all(&folder).unwrap();
    let mut command = sandbox.command(&["run", "--", "sh", "-c", script]);
    command.env("PATH", "/usr/bin:/bin").env("TMPDIR", folder).env("KEYHERD_TOKEN", MARKER);
    Running::of(sandbox, command, "")
}

/// How it ended; `None`: nothing is closed here.
fn ran(sandbox: &Sandbox, script: &str) -> Option<Ran> {
    Some(begin(sandbox, script).end()).filter(|ran| !ran.err.contains(NOT_CLOSED))
}

fn make(folder: &Path) {
    DirBuilder::new().mode(0o700).create(folder).unwrap();
}

/// The folders of runs, living and dead.
fn folders(sandbox: &Sandbox) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(sandbox.path("tmp")).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[cfg(target_os = "linux")]
fn is_over(pid: &str) -> bool {
    let stat = fs::read_to_string(Path::new("/proc").join(pid).join("stat")).unwrap_or_default();
    // It may be that nobody reaps it here.
    stat.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with(['Z', 'X']))
}

#[cfg(target_os = "linux")]
#[test]
fn a_killed_run_takes_its_program_along_and_the_next_one_tidies() {
    let stage = Stage::new();
    let sandbox = &stage.sandbox;
    let script = "echo $$; exec sleep 300";
    let is_shown = |running: &Running| running.out().ends_with('\n');
    let killed = begin(sandbox, script);
    until("it runs", || is_shown(&killed));
    let dead = folders(sandbox);
    assert_eq!(dead.len(), 1);
    let alive = begin(sandbox, script);
    until("the other one runs", || is_shown(&alive));
    assert_eq!(folders(sandbox).len(), 2, "a run that lives keeps its folder");
    let program = killed.kill().out.trim().to_owned();
    until("its program is gone", || is_over(&program));
    assert_eq!(folders(sandbox).len(), 2, "nobody was there to remove it");
    assert_eq!(begin(sandbox, "true").end().code, 0);
    let left = folders(sandbox);
    assert!(left.len() == 1 && left != dead, "{left:?}");
    assert!(!is_over(alive.out().trim()), "the other one runs on");
    assert_eq!(alive.terminate().code, 128 + 15);
    assert!(folders(sandbox).is_empty());
}

/// The kernel is asked to kill a program with its run; the run may have been killed before that.
#[cfg(target_os = "linux")]
#[test]
fn a_program_does_not_begin_after_its_runs_end() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyherd"));
    // Nobody's child here is that of the first process.
    command.env_clear().arg0("keyherd: begins a program").args(["1", "/bin/echo", "begun"]);
    let output = command.output().unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), b"".as_slice()));
}

#[test]
fn a_program_cannot_see_the_environment_of_keyherd() {
    let stage = Stage::new();
    let ran = ran(&stage.sandbox, "cat /proc/$PPID/environ; echo; echo end");
    let Some(ran) = ran else { return };
    assert_eq!((ran.code, ran.out.as_str()), (0, "\nend\n"), "{}", ran.err);
}

#[test]
fn a_store_elsewhere_is_closed_with_all_that_lies_beside_it() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let folder = sandbox.path("elsewhere");
    make(&folder);
    sandbox.set("KEYHERD_DATABASE_URL", &format!("sqlite:{}", folder.join("x.db").display()));
    sandbox.import("a", &provider, &in_seconds(-60));
    // Its answer is in the journal.
    assert_eq!(sandbox.token(&["a"]).code, 0);
    assert_eq!(fs::read_dir(folder.join("x.db.journal/done")).unwrap().count(), 1);
    let script = format!("find {} -type f -exec cat '{{}}' + 2>/dev/null | wc -c", folder.display());
    let Some(ran) = ran(&sandbox, &script) else { return };
    assert_eq!((ran.code, ran.out.trim()), (0, "0"), "{}", ran.err);
}

/// A new file in another's place has no cover.
#[test]
fn a_key_elsewhere_stays_closed_when_it_is_rotated() {
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let (keys, flag) = (sandbox.path("keys"), sandbox.path("flag"));
    let key = keys.join("master.key").display().to_string();
    make(&keys);
    sandbox.set("KEYHERD_MASTER_KEY_FILE", &key);
    sandbox.import("a", &provider, &in_seconds(3_600));
    let read = format!("cat {key} 2>/dev/null");
    let script = format!(
        "{read}; echo first; while [ ! -e {} ]; do sleep 0.02; done; {read}; echo then",
        flag.display()
    );
    let running = begin(&sandbox, &script);
    until("it has looked once", || running.out().ends_with("first\n"));
    let before = fs::read(&key).unwrap();
    sandbox.run(&["key", "rotate"]).ok();
    assert_ne!(fs::read(&key).unwrap(), before);
    fs::write(flag, "").unwrap();
    let ran = running.end();
    if !ran.err.contains(NOT_CLOSED) {
        assert_eq!((ran.code, ran.out.as_str()), (0, "first\nthen\n"), "{}", ran.err);
    }
}

/// Each process knows its own listeners; those of others on the same data folder it is told.
#[test]
fn a_program_is_not_led_to_a_server_on_its_data_folder() {
    let stage = Stage::new();
    let sandbox = &stage.sandbox;
    sandbox.run(&["rule", "add", "allow", "--host", "127.0.0.1"]).ok();
    let program = Program::start(sandbox, &[], "true");
    let (proxy, caller) = program.proxy();
    // It begins when the program runs already.
    let mut command = sandbox.command(&["--json", "serve", "--api", "127.0.0.1:0", "--proxy", "127.0.0.1:0"]);
    command.env("KEYHERD_LOG", "warn");
    let mut server = Running::of(sandbox, command, "");
    let places: serde_json::Value = serde_json::from_str(&server.first_line()).unwrap();
    for place in ["api", "proxy"] {
        let told = asked(&proxy, &caller, &format!("{}/healthz", places[place].as_str().unwrap()), "x");
        assert!(told.contains("keyherd itself"), "{place}: {told}");
    }
    let upstream = format!("http://{}/v1/things", stage.upstream.authority());
    assert!(!asked(&proxy, &caller, &upstream, "x").contains("keyherd itself"));
    assert_eq!(server.terminate().code, 0);
    assert_eq!(program.end().0, 0);
}
