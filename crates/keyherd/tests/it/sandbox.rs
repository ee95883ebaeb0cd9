//! A data folder of its own for each test, the program run in it, and the search for what must not be found.

use std::cell::RefCell;
use std::fs::{self, DirBuilder};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::provider::Provider;

/// Every planted secret begins with it.
pub(crate) const MARKER: &str = "pl4nt3d";

/// The longest a condition is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// The longest that a run may take from its beginning to its end.
const RUN_MAX: Duration = Duration::from_secs(300);

/// How one run ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self
    }

    /// It ended with that code and one line that has all of these in it.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, said: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.starts_with("keyherd: "), "{}", self.err);
        for part in said {
            assert!(self.err.contains(part), "'{part}' is missing in: {}", self.err);
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// A data folder. When it is dropped, it is searched for planted secrets.
pub(crate) struct Sandbox {
    folder: tempfile::TempDir,
    environment: RefCell<Vec<(String, String)>>,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), environment: RefCell::default() }
    }

    /// Another host of the same fleet: a data folder of its own, with this one's master key, if it has one already.
    pub(crate) fn peer(&self) -> Self {
        let peer = Self { folder: tempfile::tempdir().unwrap(), environment: self.environment.clone() };
        let key = self.data().join("master.key");
        if key.exists() {
            DirBuilder::new().mode(0o700).create(peer.data()).unwrap();
            // With its permissions.
            fs::copy(key, peer.data().join("master.key")).unwrap();
        }
        peer
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Beside the data folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// For every run from here on.
    pub(crate) fn set(&self, variable: &str, value: &str) {
        self.environment.borrow_mut().push((variable.into(), value.into()));
    }

    /// Whether that was set for every run.
    pub(crate) fn sets(&self, variable: &str) -> bool {
        self.environment.borrow().iter().any(|(name, _)| name == variable)
    }

    pub(crate) fn configure(&self, toml: &str) {
        fs::create_dir_all(self.data()).unwrap();
        fs::write(self.data().join("keyherd.toml"), toml).unwrap();
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyherd"));
        command.env_clear().envs(self.environment.borrow().iter().cloned()).env("HOME", self.folder.path());
        command.arg("--data").arg(self.data()).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it; no output may hold a planted secret.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    /// The same, with a text on standard input.
    #[track_caller]
    pub(crate) fn run_with(&self, args: &[&str], input: &str) -> Ran {
        let ran = self.run_unchecked(args, input);
        assert!(!ran.out.contains(MARKER), "a secret is in the output of {args:?}: {}", ran.out);
        ran
    }

    /// A token is what is asked for: it may be on standard output.
    #[track_caller]
    pub(crate) fn token(&self, args: &[&str]) -> Ran {
        self.run_unchecked(&[&["token"], args].concat(), "")
    }

    #[track_caller]
    pub(crate) fn run_unchecked(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().unwrap();
        // Whoever does not read it has left already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let ran = finished(child);
        assert!(!ran.err.contains(MARKER), "a secret is in the errors of {args:?}: {}", ran.err);
        ran
    }

    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    /// Imports a credential of that provider with a token that ends then.
    #[track_caller]
    pub(crate) fn import(&self, name: &str, provider: &Provider, expires_at: &str) {
        let document = provider.document(name, expires_at);
        self.run_with(&["cred", "import", "-"], &document.to_string()).ok();
    }

    /// All bytes of all files of the data folder.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        walk(&self.data(), &mut found);
        found
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (path, bytes) in self.files() {
            let is_there = bytes.windows(MARKER.len()).any(|window| window == MARKER.as_bytes());
            assert!(!is_there, "a secret lies open in {}", path.display());
        }
    }
}

fn walk(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), found),
            // What is gone meanwhile holds nothing.
            _ => found.extend(fs::read(entry.path()).ok().map(|bytes| (entry.path(), bytes))),
        }
    }
}

/// How it ended by itself: one that does not is killed, and shows no code.
pub(crate) fn finished(child: Child) -> Ran {
    let _leash = leash(&child);
    Ran::of(&child.wait_with_output().unwrap())
}

/// Kills a process that is still there after that time, unless what is returned was dropped before.
pub(crate) fn leash(child: &Child) -> mpsc::SyncSender<()> {
    let (held, end) = mpsc::sync_channel(0);
    let pid = Pid::from_child(child);
    std::thread::spawn(move || {
        if end.recv_timeout(RUN_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            // It may just have ended.
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    held
}

/// Waits for a condition, within a bound.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the test's own patience, with real processes")]
pub(crate) fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A time in seconds from now, as documents write it.
pub(crate) fn in_seconds(seconds: i64) -> String {
    let at = keyherd_core::time::Timestamp::from_millis(now_millis() + seconds * 1_000);
    keyherd_api::documents::Moment::from(at).to_string()
}

#[expect(clippy::disallowed_methods, reason = "the test's own clock, with real processes")]
fn now_millis() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}
