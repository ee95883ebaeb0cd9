//! The released `keyherd`, as its users run it: built, started, asked, stopped.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::{Arguments, Outcome, Stopwatch};

/// Between two tries to reach a server that starts.
const READY_POLL: Duration = Duration::from_millis(2);
/// A server that is not ready by then will not be.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server that finishes what is in flight ends by then.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);

/// Builds the release binary, unless it is up to date, and says where it is. `--binary PATH` names another one.
///
/// # Errors
/// It does not build.
pub async fn binary(arguments: &Arguments) -> Outcome<PathBuf> {
    if let Some(path) = arguments.value("binary") {
        return Ok(path.into());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let build = ["build", "--release", "--locked", "--quiet", "--package", "keyherd"];
    let built = Command::new(env!("CARGO")).args(build).current_dir(root).status().await?;
    if !built.success() {
        return Err("keyherd does not build: see above".into());
    }
    // This bench lies in target/release/deps.
    let own = std::env::current_exe()?;
    let folder = own.ancestors().nth(2).ok_or("this bench is in no target folder")?;
    Ok(folder.join("keyherd"))
}

/// `keyherd` on a data folder, with nothing of this process's environment.
pub fn command(binary: &Path, data: &Path) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().arg("--data").arg(data).kill_on_drop(true);
    command
}

/// `keyherd cred import -`.
///
/// # Errors
/// It refuses.
pub async fn import(binary: &Path, data: &Path, document: &Value) -> Outcome {
    let mut command = command(binary, data);
    let mut child =
        command.args(["cred", "import", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(document.to_string().as_bytes()).await?;
    }
    match child.wait().await?.success() {
        true => Ok(()),
        false => Err("keyherd cred import failed: see above".into()),
    }
}

/// One command, and the JSON that it prints.
///
/// # Errors
/// It fails.
pub async fn run(binary: &Path, data: &Path, words: &[&str]) -> Outcome<Value> {
    let ran = command(binary, data).arg("--json").args(words).stderr(Stdio::inherit()).output().await?;
    if !ran.status.success() {
        return Err(format!("keyherd {} failed: see above", words.join(" ")).into());
    }
    Ok(serde_json::from_slice(&ran.stdout)?)
}

/// A running `keyherd serve`; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Its API.
    pub address: SocketAddr,
    /// Its proxy.
    pub proxy: SocketAddr,
    /// From its start to its first `200` at `/readyz`.
    pub ready_after: Duration,
}

impl Server {
    /// Starts it on a free port, and waits until it is ready.
    ///
    /// # Errors
    /// It is not ready in time.
    pub async fn start(binary: &Path, data: &Path) -> Outcome<Self> {
        Self::begin(command(binary, data)).await
    }

    /// The same by a command as [`command`] makes one, perhaps with flags of its own.
    ///
    /// # Errors
    /// It is not ready in time.
    pub async fn begin(mut command: Command) -> Outcome<Self> {
        let watch = Stopwatch::start();
        command
            .args(["--json", "serve", "--api", "127.0.0.1:0", "--proxy", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .env("KEYHERD_LOG", "error");
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("keyherd serve has no output")?;
        let line = BufReader::new(output).lines().next_line().await?.ok_or("keyherd serve says nothing")?;
        let places: Value = serde_json::from_str(&line)?;
        let place = |name: &str| -> Outcome<SocketAddr> {
            let url =
                places.get(name).and_then(Value::as_str).ok_or("keyherd serve does not say where it is")?;
            Ok(url.trim_start_matches("http://").parse()?)
        };
        let (address, proxy) = (place("api")?, place("proxy")?);
        while !is_ready(address).await {
            if watch.elapsed() > READY_WITHIN {
                return Err("keyherd serve is not ready in time".into());
            }
            tokio::time::sleep(READY_POLL).await;
        }
        Ok(Self { child, address, proxy, ready_after: watch.elapsed() })
    }

    /// Its process.
    ///
    /// # Errors
    /// It has ended.
    pub fn pid(&self) -> Outcome<u32> {
        Ok(self.child.id().ok_or("keyherd serve has ended")?)
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    /// It does not end in time, or not well.
    pub async fn stop(mut self) -> Outcome {
        Command::new("kill").arg(self.pid()?.to_string()).status().await?;
        match tokio::time::timeout(STOPPED_WITHIN, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            ended => Err(format!("keyherd serve did not end well: {ended:?}").into()),
        }
    }
}

async fn is_ready(address: SocketAddr) -> bool {
    matches!(get(address, "/readyz", "").await, Ok((200, _)))
}

/// One GET over a connection of its own: status and body. `head`: further header lines, each with its line end.
///
/// # Errors
/// There is no answer.
pub async fn get(address: SocketAddr, path: &str, head: &str) -> Outcome<(u16, String)> {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{head}\r\n")).await
}

/// One POST of a JSON body, as [`get`].
///
/// # Errors
/// There is no answer.
pub async fn post(address: SocketAddr, path: &str, head: &str, body: &str) -> Outcome<(u16, String)> {
    let len = body.len();
    let head =
        format!("Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n{head}");
    ask(address, &format!("POST {path} HTTP/1.1\r\nHost: {address}\r\n{head}\r\n{body}")).await
}

/// One request as it stands, and the whole answer.
///
/// # Errors
/// There is no answer.
pub async fn exchange(address: SocketAddr, request: &str) -> Outcome<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn ask(address: SocketAddr, request: &str) -> Outcome<(u16, String)> {
    let answer = exchange(address, request).await?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the answer has no end to its head")?;
    let status =
        head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or("the answer has no status")?;
    Ok((status, body.to_owned()))
}
