//! The herd with keyherd: tasks in this process and processes of their own, all at once.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::audit::Actor;
use keyherd_core::broker::{Acquired, Broker};
use keyherd_core::refresh::Ask;
use serde::Serialize;
use tokio::process::Command;
use tokio::task::JoinSet;

use super::provider::DemoProvider;
use super::screen::Screen;
use super::{CREDENTIAL, PROCESSES, TASKS, uptime};
use crate::cli::Failure;
use crate::wire::Wired;

/// How long one of them waits.
const WAIT: Duration = Duration::from_secs(30);

/// One expiry.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Round {
    pub(super) tasks: usize,
    pub(super) processes: usize,
    pub(super) failed: usize,
    pub(super) provider_calls: usize,
    pub(super) reuse_detected: usize,
    pub(super) slowest_task_ms: u64,
    pub(super) slowest_process_ms: u64,
    /// Until the last one was answered.
    #[serde(skip)]
    took: Duration,
}

impl Round {
    /// Before anyone has a token.
    fn begin() -> Self {
        Self {
            tasks: TASKS,
            processes: PROCESSES,
            failed: TASKS + PROCESSES,
            provider_calls: 0,
            reuse_detected: 0,
            slowest_task_ms: 0,
            slowest_process_ms: 0,
            took: Duration::ZERO,
        }
    }

    fn served(&mut self, one: &Served) {
        let took = u64::try_from(one.took.as_millis()).unwrap_or(u64::MAX);
        let slowest = if one.is_process { &mut self.slowest_process_ms } else { &mut self.slowest_task_ms };
        *slowest = took.max(*slowest);
        self.failed -= usize::from(one.got);
    }

    /// Whether everybody had asked before half of such a life was over, from which on callers want a newer token.
    pub(super) fn fits_into(&self, lifetime: Duration) -> bool {
        self.took < lifetime / 2
    }

    /// One call, no reuse, a token for everyone.
    pub(super) fn is_ok(&self) -> bool {
        self.provider_calls == 1 && self.reuse_detected == 0 && self.failed == 0
    }
}

/// One of the herd: whether it got a token, and when.
struct Served {
    is_process: bool,
    got: bool,
    took: Duration,
}

/// Everyone asks.
pub(super) async fn ask(
    wired: &Wired,
    provider: &Arc<DemoProvider>,
    data: &Path,
    screen: &Screen,
) -> Result<Round, Failure> {
    let (before, began) = (provider.counts(CREDENTIAL), uptime());
    let mut herd = JoinSet::new();
    for _ in 0..PROCESSES {
        let command = command(data, CREDENTIAL)
            .map_err(|error| Failure::failed(format!("no process can be started: {error}")))?;
        herd.spawn(process(command));
    }
    for _ in 0..TASKS {
        herd.spawn(task(wired.broker.clone()));
    }
    let live = screen.herd(TASKS + PROCESSES);
    let mut round = Round::begin();
    while let Some(one) = herd.join_next().await {
        // One that panicked has no token.
        if let Ok(served) = &one {
            round.served(served);
        }
        let counts = provider.counts(CREDENTIAL).since(before);
        (round.provider_calls, round.reuse_detected) = (counts.calls, counts.reuse);
        live.reach(
            TASKS + PROCESSES - herd.len(),
            counts,
            round.slowest_task_ms.max(round.slowest_process_ms),
        );
    }
    round.took = uptime().saturating_sub(began);
    Ok(round)
}

async fn task(broker: Broker) -> Served {
    let began = uptime();
    let acquired = broker.acquire(CREDENTIAL, &Ask::foreground(WAIT), &Actor::new("demo")).await;
    let got = matches!(acquired, Ok(Acquired::Token(_)));
    Served { is_process: false, got, took: uptime().saturating_sub(began) }
}

/// Its token goes nowhere: that there is one is all that counts.
async fn process(mut command: Command) -> Served {
    let began = uptime();
    let got = match command.output().await {
        Ok(done) => done.status.success() && !done.stdout.is_empty(),
        Err(_) => false,
    };
    Served { is_process: true, got, took: uptime().saturating_sub(began) }
}

/// `keyherd token` by this very program, with nothing of the user's settings.
pub(super) fn command(data: &Path, name: &str) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--data").arg(data).args(["token", name]);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_herd_is_through_before_anybody_wants_the_next_token() {
        let took = |seconds| Round { took: Duration::from_secs(seconds), ..Round::begin() };
        let lifetime = Duration::from_secs(8);
        assert!(took(3).fits_into(lifetime));
        assert!(!took(4).fits_into(lifetime));
        assert!(took(4).fits_into(lifetime * 2));
    }
}
