//! keyherd on a data folder, with an account that leads to an upstream and an agent that may use it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::{Ground, Outcome, cli};

/// The word that makes a bench's program the upstream.
const UPSTREAM: &str = "upstream";

/// See the module.
#[derive(Debug)]
pub struct Place {
    ground: Ground,
    /// The upstream's process, and where it is.
    upstream: (Child, SocketAddr),
    /// Through keyherd.
    pub server: cli::Server,
    /// The agent's key.
    pub key: String,
}

impl Place {
    /// Starts the upstream and the server.
    ///
    /// # Errors
    /// One of them does not start.
    pub async fn start(binary: &Path) -> Outcome<Self> {
        let ground = Ground::new()?;
        let upstream = Self::worker(UPSTREAM, &[]).await?;
        let account = json!({"name": "acme", "provider": "generic", "kind": "static", "secret": "token-of-the-account"});
        cli::import(binary, ground.path(), &account).await?;
        let (host, port) = (upstream.1.ip().to_string(), upstream.1.port().to_string());
        let url = format!("http://{}", upstream.1);
        let binding = ["binding", "add", "acme", "--host", &host, "--port", &port, "--upstream", &url];
        cli::run(binary, ground.path(), &binding).await?;
        let made = cli::run(binary, ground.path(), &["agent", "create", "bot", "--allow", "acme"]).await?;
        let key = made.get("key").and_then(Value::as_str).ok_or("an agent has a key")?.to_owned();
        let server = cli::Server::start(binary, ground.path()).await?;
        Ok(Self { ground, upstream, server, key })
    }

    /// The upstream itself.
    pub fn upstream(&self) -> SocketAddr {
        self.upstream.1
    }

    /// A folder for what belongs to this run.
    pub fn folder(&self) -> &Path {
        self.ground.path()
    }

    /// This program with a word: it prints where it listens.
    ///
    /// # Errors
    /// It does not.
    pub async fn worker(word: &str, more: &[&str]) -> Outcome<(Child, SocketAddr)> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(word).args(more).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("it has no output")?;
        let line = BufReader::new(output).lines().next_line().await?.ok_or("it says nothing")?;
        Ok((child, line.parse()?))
    }
}
