//! The program: begun, told of signals, waited for.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, ExitStatus};
use std::{io, thread};

use rustix::process::{Pid, PidfdFlags, getpgrp, pidfd_open, pidfd_send_signal};
use rustix::termios::tcgetpgrp;
use tokio::sync::oneshot;

use super::super::failure::{Exit, Failure};
use super::super::signals::Signals;
use super::begun;
use super::closed::Closed;
use super::variables::Variables;

/// As `env` ends where the program is not there, and where it cannot be run.
const NOT_THERE: u8 = 127;
const NOT_RUN: u8 = 126;
/// What a shell adds to a signal's number.
const BY_SIGNAL: u8 = 128;

/// A program that runs.
pub(super) struct Child {
    /// Signals go to it alone, even if its number were given to another process.
    handle: Option<OwnedFd>,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
}

impl Child {
    /// Begins it. `closed`: what it may not read; `covers`: what it sees there.
    pub(super) async fn spawn(
        command: &[OsString],
        variables: &Variables,
        closed: Closed,
        covers: (PathBuf, PathBuf),
    ) -> Result<Self, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::usage("there is no program to run"));
        };
        let mut begun = match begun::beginner(&closed) {
            Some(mut beginner) => {
                beginner.arg(program);
                beginner
            }
            None => Command::new(program),
        };
        begun.args(arguments);
        variables.put(&mut begun);
        let ((told_begun, heard_begun), (told_ended, ended)) = (oneshot::channel(), oneshot::channel());
        // The kernel keeps for each thread what a program may not, and takes the end of the thread that began a program for
        // its parent's end: so this thread is the program's, and ends after it.
        let thread = thread::Builder::new().spawn(move || {
            closed.close((&covers.0, &covers.1));
            match begun.spawn() {
                Ok(mut child) => {
                    let handle = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok();
                    // Nobody hears it where the whole process ends.
                    let _ = told_begun.send(Ok(handle));
                    let _ = told_ended.send(child.wait());
                }
                Err(error) => drop(told_begun.send(Err(error))),
            }
        });
        thread.map_err(|error| Failure::failed(format!("no thread can be started: {error}")))?;
        let handle = heard(heard_begun).await.map_err(|error| not_run(Path::new(program), &error))?;
        Ok(Self { handle, ended })
    }

    /// Waits for its end, and passes signals on. Its exit code.
    pub(super) async fn ended(self, signals: &mut Signals) -> Result<u8, Failure> {
        let mut ended = pin!(heard(self.ended));
        loop {
            tokio::select! {
                status = &mut ended => return status.map(code).map_err(Failure::failed),
                signal = signals.any() => {
                    // What is typed at a terminal goes to all of its programs.
                    if let Some(handle) = self.handle.as_ref().filter(|_| !(signal.is_typed() && is_in_front())) {
                        // It may have ended.
                        let _ = pidfd_send_signal(handle, signal.signal());
                    }
                }
            }
        }
    }
}

/// What the program's thread says.
async fn heard<T>(said: oneshot::Receiver<io::Result<T>>) -> io::Result<T> {
    said.await.unwrap_or_else(|_| Err(io::Error::other("a thread ended early")))
}

/// Why a program did not begin.
pub(super) fn not_run(program: &Path, error: &io::Error) -> Failure {
    let code = if error.kind() == io::ErrorKind::NotFound { NOT_THERE } else { NOT_RUN };
    Failure::new(Exit::Code(code), format!("{} cannot be run: {error}", program.display()))
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
