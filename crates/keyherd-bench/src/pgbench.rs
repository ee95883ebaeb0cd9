//! PostgreSQL's own load generator, put to the same statements.

use std::fs;
use std::path::{Path, PathBuf};

use tokio::process::Command;

use crate::Outcome;

/// How statements are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Parsed and planned anew each time.
    Extended,
    /// By a name, parsed and planned once a session.
    Prepared,
}

/// How often a second a script ran, so many clients at a time, so often by each. The script finds `:each` (how often),
/// `:n` and `:place` (both 0 at first, and its own to count).
///
/// # Errors
/// There is no pgbench, or a statement fails.
pub async fn rate(
    script: &Path,
    database: &str,
    protocol: Protocol,
    clients: u32,
    each: u32,
) -> Outcome<f64> {
    let protocol = match protocol {
        Protocol::Extended => "extended",
        Protocol::Prepared => "prepared",
    };
    let mut command = Command::new(program()?);
    command.env_clear().args(["--no-vacuum", "--jobs=2"]);
    command.arg(format!("--protocol={protocol}"));
    command.arg(format!("--client={clients}")).arg(format!("--transactions={each}"));
    command.arg(format!("--define=each={each}")).args(["--define=n=0", "--define=place=0"]);
    let done = command.arg("--file").arg(script).arg(database).kill_on_drop(true).output().await?;
    let (said, problem) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if !done.status.success() || !said.contains("number of failed transactions: 0 ") {
        return Err(format!("pgbench failed: {said}{problem}").into());
    }
    let rate = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
    Ok(rate.ok_or("pgbench says no rate")?)
}

/// The newest that is installed.
fn program() -> Outcome<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").map_err(|_| "install postgresql")?;
    let found = versions.filter_map(Result::ok).map(|version| version.path().join("bin/pgbench"));
    let number = |path: &PathBuf| -> Option<u32> { path.iter().rev().nth(2)?.to_str()?.parse().ok() };
    let newest = found.filter(|path| path.exists()).max_by_key(number);
    Ok(newest.ok_or("there is no pgbench: install postgresql")?)
}
