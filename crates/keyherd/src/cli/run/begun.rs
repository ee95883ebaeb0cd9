//! The program's first moment: in a process of its own already, and still keyherd.
//!
//! Owns what only that process can ask of the kernel: to be killed when `keyherd run` is. Reads no settings and opens nothing;
//! what the program may not, it has from the thread that began it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use super::super::failure::Failure;
use super::closed::Closed;
use super::{OURS, child};

/// What a process is called that is to become a program: no person calls keyherd so.
const NAME: &str = "keyherd: begins a program";
/// This very program, also where its file was replaced.
const OURSELVES: &str = "/proc/self/exe";

/// What begins a program through ourselves. `None`: it has to be begun without, since this system offers nothing of the kind, or
/// since our own file is closed to the program.
pub(super) fn beginner(closed: &Closed) -> Option<Command> {
    let own = std::env::current_exe().ok().filter(|_| cfg!(target_os = "linux"))?;
    if closed.holds(&own) {
        return None;
    }
    let mut beginner = Command::new(OURSELVES);
    beginner.arg0(NAME).arg(std::process::id().to_string());
    Some(beginner)
}

/// Becomes the program, if that is what this process is for. What comes back is why it could not.
pub(crate) fn begun(mut arguments: impl Iterator<Item = OsString>) -> Option<Failure> {
    if arguments.next()? != NAME {
        return None;
    }
    let run = arguments.next()?.to_str()?.parse().ok()?;
    let program = arguments.next()?;
    if !is_leashed(run) {
        return Some(Failure::silent(OURS));
    }
    let error = Command::new(&program).args(arguments).exec();
    Some(child::not_run(Path::new(&program), &error))
}

/// Has the kernel kill this process when its parent ends. Whether that one is still there.
#[cfg(target_os = "linux")]
fn is_leashed(run: i32) -> bool {
    use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
    // Where it is refused, the program is as it would be elsewhere.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    getppid() == Pid::from_raw(run)
}

#[cfg(not(target_os = "linux"))]
fn is_leashed(_run: i32) -> bool {
    true
}
