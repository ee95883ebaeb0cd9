//! The program: begun, told of signals, waited for.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use rustix::process::{Pid, PidfdFlags, getpgrp, pidfd_open, pidfd_send_signal};
use rustix::termios::tcgetpgrp;

use super::super::failure::{Exit, Failure};
use super::super::signals::Signals;
use super::closed;
use super::variables::Variables;

/// As `env` ends where the program is not there, and where it cannot be run.
const NOT_THERE: u8 = 127;
const NOT_RUN: u8 = 126;
/// What a shell adds to a signal's number.
const BY_SIGNAL: u8 = 128;

/// A program that runs.
pub(super) struct Child {
    child: std::process::Child,
    /// Signals go to it alone, even if its number were given to another process.
    handle: Option<std::os::fd::OwnedFd>,
}

impl Child {
    /// Begins it. `closed`: what it may not read; `covers`: what it sees there.
    pub(super) fn spawn(
        command: &[OsString],
        variables: Variables,
        closed: Vec<PathBuf>,
        covers: (PathBuf, PathBuf),
    ) -> Result<Self, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::usage("there is no program to run"));
        };
        let mut begun = Command::new(program);
        begun.args(arguments);
        variables.put(&mut begun);
        // The kernel keeps what a program may not for each thread: this one's is the program's, and ends here.
        let spawning = std::thread::spawn(move || {
            closed::close(&closed, (&covers.0, &covers.1));
            begun.spawn()
        });
        let spawned = spawning.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended early")));
        let child = spawned.map_err(|error| {
            let code = if error.kind() == io::ErrorKind::NotFound { NOT_THERE } else { NOT_RUN };
            Failure::new(Exit::Code(code), format!("{} cannot be run: {error}", program.display()))
        })?;
        let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
        Ok(Self { child, handle })
    }

    /// Waits for its end, and passes signals on. Its exit code.
    pub(super) async fn ended(mut self, signals: &mut Signals) -> Result<u8, Failure> {
        let handle = self.handle.take();
        let mut waiting = tokio::task::spawn_blocking(move || self.child.wait());
        loop {
            tokio::select! {
                ended = &mut waiting => {
                    let status = ended.map_err(io::Error::other).and_then(|status| status);
                    return status.map(code).map_err(Failure::failed);
                }
                signal = signals.any() => {
                    // What is typed at a terminal goes to all of its programs.
                    if let Some(handle) = handle.as_ref().filter(|_| !(signal.is_typed() && is_in_front())) {
                        // It may have ended.
                        let _ = pidfd_send_signal(handle, signal.signal());
                    }
                }
            }
        }
    }
}

fn code(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, signal) => {
            BY_SIGNAL.saturating_add(signal.and_then(|number| u8::try_from(number).ok()).unwrap_or_default())
        }
    }
}

/// Whether a terminal takes us for the programs that it is typed at for.
fn is_in_front() -> bool {
    let ours = |terminal: Result<Pid, rustix::io::Errno>| terminal.is_ok_and(|group| group == getpgrp());
    ours(tcgetpgrp(io::stdin())) || ours(tcgetpgrp(io::stdout())) || ours(tcgetpgrp(io::stderr()))
}
