//! What stands around the proxy: an upstream, keyherd with a way there, and the baselines beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use keyherd_bench::process::cpu_time;
use keyherd_bench::{Ground, Outcome, Worker, cli};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::identity;
use crate::interceptor::{INTERCEPTOR, STAND_IN};
use crate::load::{Kind, LOAD, Seen, Task, Way};
use crate::relays::{RELAY, TUNNEL};
use crate::upstream::{ECHO, TOKEN, UPSTREAM};

/// The agent.
const AGENT: &str = "bot";

/// On which processors all of it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cores {
    /// On all that there are.
    All,
    /// On one, which all of them share.
    One,
}

impl Cores {
    /// A command that runs there.
    fn command(self, program: &Path) -> Command {
        match self {
            Self::All => Command::new(program),
            Self::One => {
                let mut command = Command::new("taskset");
                command.args(["-c", "0"]).arg(program);
                command
            }
        }
    }

    /// This program with some words.
    fn own(self, words: &[&str]) -> Outcome<Worker> {
        let mut command = self.command(&std::env::current_exe()?);
        command.args(words);
        Worker::of(command)
    }
}

/// See the module.
pub(crate) struct Place {
    ground: Ground,
    cores: Cores,
    /// End with this.
    _upstreams: [Worker; 2],
    upstream: SocketAddr,
    /// The same, of which no binding speaks: what goes there is not read.
    unbound: SocketAddr,
    server: cli::Server,
    ca: PathBuf,
    /// The agent's name and key.
    caller: String,
    phantom: String,
}

/// A process under test, and the way through it.
pub(crate) struct Side {
    pub(crate) pid: u32,
    pub(crate) way: Way,
    /// Ends with this.
    _worker: Option<Worker>,
}

impl Side {
    /// The same, shown the token itself.
    pub(crate) fn shown_token(mut self) -> Self {
        self.way.token = TOKEN.into();
        self
    }
}

/// What a run under load was like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) per_second: f64,
    pub(crate) cpu_micros: f64,
    pub(crate) p50_micros: f64,
    pub(crate) seconds: f64,
}

impl Place {
    /// Starts the upstream and keyherd. `protocol`: the best that upstream speaks.
    pub(crate) async fn start(binary: &Path, cores: Cores, protocol: &str) -> Outcome<Self> {
        let ground = Ground::new()?;
        let folder = ground.path();
        identity::make(folder)?;
        let another = || cores.own(&[UPSTREAM, &told(folder), protocol]);
        let ((one, upstream), (two, unbound)) = (listening(another()?).await?, listening(another()?).await?);
        let account = json!({"name": "acme", "provider": "generic", "kind": "static", "secret": TOKEN});
        let data = folder.join("data");
        cli::import(binary, &data, &account).await?;
        let say = async |words: &[&str]| cli::run(binary, &data, words).await;
        let port = upstream.port().to_string();
        say(&["binding", "add", "acme", "--host", "localhost", "--port", &port]).await?;
        // This machine is dialled where somebody names it.
        say(&["rule", "add", "allow", "--host", "localhost"]).await?;
        let made = say(&["agent", "create", AGENT, "--allow", "acme"]).await?;
        let phantoms = say(&["agent", "env", AGENT]).await?;
        let ca = say(&["ca"]).await?;
        let mut command = cores.command(binary);
        command.env_clear().kill_on_drop(true).arg("--data").arg(&data);
        command.arg("--ca-bundle").arg(identity::root(folder));
        let server = cli::Server::begin(command).await?;
        Ok(Self {
            cores,
            _upstreams: [one, two],
            upstream,
            unbound,
            server,
            ca: text(&ca, "/ca_file")?.into(),
            caller: format!("{AGENT}:{}", text(&made, "/key")?),
            phantom: text(&phantoms, "/items/0/value")?,
            ground,
        })
    }

    /// Straight to upstream.
    pub(crate) fn direct(&self) -> Way {
        Way {
            proxy: None,
            caller: None,
            host: named(self.upstream),
            address: self.upstream,
            root: identity::root(self.ground.path()),
            token: TOKEN.into(),
        }
    }

    /// keyherd, that reads.
    pub(crate) fn ours(&self) -> Outcome<Side> {
        let way = self.through(self.upstream);
        let way = Way { root: self.ca.clone(), token: self.phantom.clone(), ..way };
        Ok(Side { pid: self.server.pid()?, way, _worker: None })
    }

    /// keyherd, that does not; to upstream or elsewhere.
    pub(crate) fn unread(&self, elsewhere: Option<SocketAddr>) -> Outcome<Side> {
        let way = self.through(elsewhere.unwrap_or(self.unbound));
        Ok(Side { pid: self.server.pid()?, way, _worker: None })
    }

    fn through(&self, address: SocketAddr) -> Way {
        let (proxy, caller) = (Some(self.server.proxy), Some(self.caller.clone()));
        Way { proxy, caller, host: named(address), ..self.direct() }
    }

    /// hudsucker.
    pub(crate) async fn interceptor(&self) -> Outcome<Side> {
        let worker = self.cores.own(&[INTERCEPTOR, &told(self.ground.path())])?;
        let (worker, proxy) = listening(worker).await?;
        self.baseline(worker, |way| Way { proxy: Some(proxy), token: STAND_IN.into(), ..way })
    }

    /// A tunnel that asks nobody; to upstream or elsewhere.
    pub(crate) async fn tunnel(&self, elsewhere: SocketAddr) -> Outcome<Side> {
        let (worker, proxy) = listening(self.cores.own(&[TUNNEL])?).await?;
        self.baseline(worker, |way| Way { proxy: Some(proxy), host: named(elsewhere), ..way })
    }

    /// A relay to upstream, that takes TLS off and puts it on again.
    pub(crate) async fn relay(&self) -> Outcome<Side> {
        let words = [RELAY, &told(self.ground.path()), &self.upstream.to_string()];
        let (worker, address) = listening(self.cores.own(&words)?).await?;
        self.baseline(worker, |way| Way { address, ..way })
    }

    /// Another interceptor that swaps the same.
    pub(crate) fn other(&self, pid: u32, proxy: SocketAddr, root: PathBuf) -> Side {
        let way = Way { proxy: Some(proxy), root, token: STAND_IN.into(), ..self.direct() };
        Side { pid, way, _worker: None }
    }

    fn baseline(&self, worker: Worker, way: impl FnOnce(Way) -> Way) -> Outcome<Side> {
        Ok(Side { pid: worker.pid()?, way: way(self.direct()), _worker: Some(worker) })
    }

    /// An echo, and where it is.
    pub(crate) async fn echo(&self) -> Outcome<(Worker, SocketAddr)> {
        listening(self.cores.own(&[ECHO])?).await
    }

    /// A folder for what belongs to this run.
    pub(crate) fn folder(&self) -> &Path {
        self.ground.path()
    }

    /// A run under load.
    pub(crate) async fn run(&self, side: &Side, kind: Kind, millis: u64) -> Outcome<Run> {
        let mut load = self.load(&side.way, kind, millis).await?;
        let before = cpu_time(side.pid)?;
        let seen = work(&mut load).await?;
        let cpu = cpu_time(side.pid)?.saturating_sub(before).as_secs_f64();
        load.stop().await?;
        let count = f64::from(u32::try_from(seen.count)?);
        let Seen { seconds, p50_micros, .. } = seen;
        Ok(Run { per_second: count / seconds, cpu_micros: cpu * 1e6 / count, p50_micros, seconds })
    }

    /// The median of a run straight to upstream.
    pub(crate) async fn straight(&self, kind: Kind, millis: u64) -> Outcome<f64> {
        let mut load = self.load(&self.direct(), kind, millis).await?;
        let seen = work(&mut load).await?;
        load.stop().await?;
        Ok(seen.p50_micros)
    }

    /// A load that is ready.
    pub(crate) async fn load(&self, way: &Way, kind: Kind, millis: u64) -> Outcome<Worker> {
        let task = serde_json::to_string(&Task { way: way.clone(), kind, millis })?;
        let mut load = self.cores.own(&[LOAD, &task])?;
        match load.answer().await?.as_str() {
            "ready" => Ok(load),
            other => Err(format!("the load says '{other}'").into()),
        }
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) -> Outcome {
        self.server.stop().await
    }
}

/// Lets a load begin, and waits until it has seen all.
pub(crate) async fn work(load: &mut Worker) -> Outcome<Seen> {
    load.tell("go").await?;
    Ok(serde_json::from_str(&load.answer().await?)?)
}

/// A worker that says first where it listens.
async fn listening(mut worker: Worker) -> Outcome<(Worker, SocketAddr)> {
    let address = worker.answer().await?.parse()?;
    Ok((worker, address))
}

fn text(value: &Value, pointer: &str) -> Outcome<String> {
    let text = value.pointer(pointer).and_then(Value::as_str);
    Ok(text.ok_or_else(|| format!("keyherd does not say {pointer}"))?.to_owned())
}

fn named(address: SocketAddr) -> String {
    format!("localhost:{}", address.port())
}

fn told(path: &Path) -> String {
    path.display().to_string()
}
