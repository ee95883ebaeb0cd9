//! A process of ours that is watched while it runs: held at a crash point, stopped, continued, killed. What it says goes
//! to files, so that nobody has to read along.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::Timestamp;
use keyherd_adapters::system::SystemClock;
use keyherd_core::ports::Clock;
use rustix::process::{Pid, Signal, kill_process};

use crate::sandbox::{Ran, Sandbox, in_seconds, until};

/// Killed where the test forgets it.
pub(crate) struct Running {
    child: Child,
    out: File,
    err: File,
}

impl Running {
    /// Starts it with this text on standard input; it dies or stalls where `crash_at` says.
    pub(crate) fn start(sandbox: &Sandbox, args: &[&str], input: &str, crash_at: Option<&str>) -> Self {
        let mut command = sandbox.command(args);
        if let Some(crash_at) = crash_at {
            command.env("KEYHERD_CRASH_AT", crash_at);
        }
        Self::of(sandbox, command, input)
    }

    /// The same, of a command that is ready.
    pub(crate) fn of(sandbox: &Sandbox, mut command: Command, input: &str) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let file = |ending| sandbox.path(&format!("{number}.{ending}"));
        let (out, err) = (file("out"), file("err"));
        command.stdin(Stdio::piped());
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        // Readable even when the sandbox is gone.
        let (out, err) = (File::open(out).unwrap(), File::open(err).unwrap());
        // A core dump, where the system makes one, goes with the sandbox.
        command.current_dir(sandbox.path("."));
        let mut child = command.spawn().unwrap();
        // Whoever does not read it has left already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        Self { child, out, err }
    }

    /// Starts `keyherd token acme`.
    pub(crate) fn token(sandbox: &Sandbox) -> Self {
        Self::start(sandbox, &["token", "acme"], "", None)
    }

    /// What it has written to standard output so far.
    pub(crate) fn out(&self) -> String {
        whole(&self.out)
    }

    /// What it has written to standard error so far.
    pub(crate) fn err(&self) -> String {
        whole(&self.err)
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for the crash point to be reached, at which it is held.
    #[track_caller]
    pub(crate) fn reaches(&mut self, point: &str) {
        let line = format!("crash point reached: {point}\n");
        until_some(&format!("crash point {point}"), || {
            let is_there = self.err().contains(&line);
            assert!(is_there || !self.is_over(), "it ended before crash point {point}: {}", self.err());
            is_there.then_some(())
        });
    }

    /// The first line of its standard output, which a server writes when it is ready.
    #[track_caller]
    pub(crate) fn first_line(&mut self) -> String {
        until_some("it is ready", || {
            let is_over = self.is_over();
            let line = self
                .out()
                .split_inclusive('\n')
                .next()
                .filter(|line| line.ends_with('\n'))
                .map(str::to_owned);
            assert!(line.is_some() || !is_over, "it ended before it was ready: {}", self.err());
            line
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGSTOP, and until it has stopped, or was over before.
    #[track_caller]
    pub(crate) fn stop(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
        until_some("it stops", || matches!(self.state()?, 'T' | 'Z').then_some(()));
    }

    /// SIGCONT, and until it goes on.
    #[track_caller]
    pub(crate) fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
        until_some("it goes on", || (self.state()? != 'T').then_some(()));
    }

    /// SIGKILL.
    #[track_caller]
    pub(crate) fn kill(mut self) -> Ran {
        self.child.kill().unwrap();
        self.end()
    }

    /// SIGTERM.
    #[track_caller]
    pub(crate) fn terminate(self) -> Ran {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.end()
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let status = until_some("it ends", || self.child.try_wait().unwrap());
        Ran { code: status.code().unwrap_or(-1), out: self.out(), err: self.err() }
    }

    /// The kernel's letter for it (proc(5)). `T`: stopped; `Z`: over.
    fn state(&self) -> Option<char> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be over already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn whole(mut file: &File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

/// Waits until there is something to see, within the usual bound.
#[track_caller]
pub(crate) fn until_some<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    let (look, seen) = (RefCell::new(look), RefCell::new(None));
    until(what, || {
        let now = (look.borrow_mut())();
        let is_seen = now.is_some();
        *seen.borrow_mut() = now;
        is_seen
    });
    seen.into_inner().unwrap()
}

/// The wall clock, which tokens end by.
pub(crate) fn now() -> Timestamp {
    in_seconds(0).parse().unwrap()
}

/// Waits until that time is past for the program under test too: by its clock, which may be behind the test's own.
#[track_caller]
pub(crate) fn until_past(at: Timestamp) {
    until("that time comes", || SystemClock.now().as_millis() > at.as_millisecond());
}
