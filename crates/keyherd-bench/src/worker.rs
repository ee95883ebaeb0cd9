//! Processes of a fleet: this very program, started again as a worker and spoken to line by line.
//!
//! Owns starting and ending them, and the clock that all of them share. Never knows what they are asked for.

use std::process::Stdio;
use std::time::Duration;

use keyherd_adapters::system::SystemClock;
use keyherd_core::ports::Clock;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::Outcome;

/// A worker that ends has this long for it; one that works, for its answer.
const ANSWER_MAX: Duration = Duration::from_secs(300);

/// A worker, seen from the bench.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts this program with these words; the first one says what kind of worker it is.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(words: &[String]) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(words);
        Self::of(command)
    }

    /// Starts what a command says, which speaks line by line.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn of(mut command: Command) -> Outcome<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let input = child.stdin.take().ok_or("a worker without input")?;
        let output = child.stdout.take().ok_or("a worker without output")?;
        Ok(Self { child, input, output: BufReader::new(output).lines() })
    }

    /// Its process.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Outcome<u32> {
        Ok(self.child.id().ok_or("a worker ended")?)
    }

    /// Says a line to it.
    ///
    /// # Errors
    /// It has ended.
    pub async fn tell(&mut self, line: &str) -> Outcome {
        Ok(self.input.write_all(format!("{line}\n").as_bytes()).await?)
    }

    /// Its next line.
    ///
    /// # Errors
    /// It has ended, or says nothing in time.
    pub async fn answer(&mut self) -> Outcome<String> {
        let line = tokio::time::timeout(ANSWER_MAX, self.output.next_line()).await;
        Ok(line.map_err(|_elapsed| "a worker says nothing")??.ok_or("a worker ended")?)
    }

    /// Without further lines it ends by itself.
    ///
    /// # Errors
    /// It does not.
    pub async fn stop(self) -> Outcome {
        let Self { mut child, input, .. } = self;
        drop(input);
        tokio::time::timeout(ANSWER_MAX, child.wait())
            .await
            .map_err(|_elapsed| "a worker does not end")??;
        Ok(())
    }
}

/// Time since the machine's start, which all its processes share.
pub fn shared_now() -> Duration {
    SystemClock.uptime()
}

/// Returns at that moment of [`shared_now`].
pub async fn until(moment: Duration) {
    tokio::time::sleep(moment.saturating_sub(shared_now())).await;
}
