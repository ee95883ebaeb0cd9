//! One server's process: started as another user where need be, known to be ready by its own word, and never left over.
//!
//! Owns processes, ports and signals. Never knows what a server serves.

use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// A start that takes longer has failed: several times what a busy machine needs.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How many of a server's last lines an error shows.
const LINES_MAX: usize = 20;
/// Below the range from which the kernel takes ports for outgoing connections (ip(7)): a server that is killed and
/// started again finds its port free.
const PORTS: std::ops::Range<u16> = 18_000..32_000;

/// What is started, and how it says that it is ready.
pub(super) struct Start<'a> {
    pub(super) command: &'a [&'a str],
    pub(super) user: Option<(u32, u32)>,
    /// Part of the line on standard error that says so.
    pub(super) ready: &'a str,
}

/// A process that runs.
#[derive(Debug)]
pub(super) struct Process(Child);

impl Process {
    /// Starts it and waits until it is ready.
    pub(super) fn start(start: &Start<'_>) -> io::Result<Self> {
        let mut child = spawn(command(start.command, start.user))?;
        let stderr = child.stderr.take();
        let process = Self(child);
        let Some(stderr) = stderr else { return Err(io::Error::other("no standard error")) };
        let told = listen(stderr, start.ready.to_owned())?;
        match told.recv_timeout(START_TIMEOUT) {
            Ok(Ok(())) => Ok(process),
            Ok(Err(lines)) => Err(io::Error::other(format!("{} ended: {lines}", start.command[0]))),
            Err(_) => Err(io::Error::other(format!("{} does not get ready", start.command[0]))),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends a signal to it and to the processes it has started.
    pub(super) fn signal(&self, signal: Signal) {
        for id in std::iter::once(self.0.id()).chain(self.children()) {
            if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
                // One that has ended meanwhile needs none.
                let _ = kill_process(pid, signal);
            }
        }
    }

    /// Asks it to end, and waits for that.
    pub(super) fn end(mut self, signal: Signal) -> io::Result<()> {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, signal)?;
        }
        self.0.wait().map(drop)
    }

    fn children(&self) -> Vec<u32> {
        let id = self.0.id();
        let listed = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(Some(_ended)) = self.0.try_wait() {
            return;
        }
        self.signal(Signal::KILL);
        let _ = self.0.wait();
    }
}

/// Runs a program to its end, and says what it said where it failed.
pub(super) fn run(words: &[&str], user: Option<(u32, u32)>) -> io::Result<()> {
    let done = command(words, user).stdout(Stdio::null()).output()?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    Err(io::Error::other(format!("{} failed: {}", words[0], said.trim())))
}

/// The kernel kills what is started here when this process ends (prctl(2), PR_SET_PDEATHSIG): setpriv(1) asks it to,
/// after it has dropped to another user.
fn command(words: &[&str], user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if let Some((user, group)) = user {
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".into()]);
    }
    command.arg("--").args(words).current_dir("/").env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // An interrupt in the terminal is not for the servers: they go when their user goes.
    command.process_group(0);
    command
}

/// Starts it from a thread that lives as long as the process: to the kernel the parent that must not die is a thread,
/// and that of a test ends with the test.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, SyncSender<io::Result<Child>>);
    static SPAWNER: OnceLock<SyncSender<Order>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (orders, taken) = sync_channel::<Order>(16);
        std::thread::spawn(move || {
            for (mut command, answer) in taken {
                // Whoever does not wait any more drops the child, which is killed by its owner's end.
                let _ = answer.send(command.spawn());
            }
        });
        orders
    });
    let gone = |_| io::Error::other("the starting thread is gone");
    let (answer, child) = sync_channel(1);
    spawner.send((command, answer)).map_err(|_| io::Error::other("the starting thread is gone"))?;
    child.recv().map_err(gone)?
}

/// Reads on after the word came: a server must never wait for a full pipe.
fn listen(stderr: ChildStderr, ready: String) -> io::Result<Receiver<Result<(), String>>> {
    let (tell, told) = sync_channel(1);
    let read = move || {
        let mut lines = std::collections::VecDeque::new();
        let mut tell = Some(tell);
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            if line.contains(&ready)
                && let Some(tell) = tell.take()
            {
                let _ = tell.send(Ok(()));
            }
            lines.push_back(line);
            if lines.len() > LINES_MAX {
                lines.pop_front();
            }
        }
        if let Some(tell) = tell {
            let _ = tell.send(Err(Vec::from(lines).join("; ")));
        }
    };
    std::thread::Builder::new().name("server's words".into()).spawn(read)?;
    Ok(told)
}

/// A port that nobody listens on now.
pub(super) fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let len = PORTS.len();
    // Processes begin at different places, so that they rarely try for the same port.
    let start = std::process::id() as usize * 97;
    for _ in 0..len {
        let step = usize::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + u16::try_from((start + step) % len).unwrap_or(0);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free"))
}
