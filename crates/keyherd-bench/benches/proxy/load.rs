//! Who asks: a process of its own, with one thread, that takes the time of each request.
//!
//! Its connections stand before anything is measured. It says `ready`, waits for a word, works, says what it saw, and
//! keeps what it holds until its input ends.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::try_join_all;
use keyherd_bench::figures::quantile;
use keyherd_bench::{Outcome, Stopwatch};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;

use crate::streams::Streams;
use crate::wire::{Dialling, Wire, echoed};

/// The word that makes this program the load.
pub(crate) const LOAD: &str = "load";
/// Tunnels that are opened at once.
const BATCH: usize = 100;

/// How upstream is reached, and what is shown there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Way {
    /// `None`: straight.
    pub(crate) proxy: Option<SocketAddr>,
    /// Who calls, for a proxy that wants to know: name and key.
    pub(crate) caller: Option<String>,
    /// Name and port.
    pub(crate) host: String,
    /// Where that is, for those who go straight.
    pub(crate) address: SocketAddr,
    /// Who signs for whoever answers.
    pub(crate) root: PathBuf,
    /// Or what stands in for it.
    pub(crate) token: String,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// So many connections, one request after the other on each.
    Kept(usize),
    /// A connection for each request, one after the other.
    New,
    /// So many requests at once on one HTTP/2 connection.
    Http2(usize),
    /// One request, with a body of so many bytes.
    Body(u64),
    /// So many tunnels, through each of which something passes once.
    Tunnels(usize),
}

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) way: Way,
    pub(crate) kind: Kind,
    /// For how long, where there is more than one request.
    pub(crate) millis: u64,
}

/// What was seen.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) count: usize,
    pub(crate) seconds: f64,
    pub(crate) p50_micros: f64,
}

/// Does what it is told in its words.
pub(crate) async fn run(words: &[String]) -> Outcome {
    let [task] = words else { return Err("a task is wanted".into()) };
    let Task { way, kind, millis } = serde_json::from_str(task)?;
    let mut input = BufReader::new(tokio::io::stdin()).lines();
    let time = Duration::from_millis(millis);
    let dialling = Dialling::new(way)?;
    let held = match kind {
        Kind::Kept(count) => Held::Wires(try_join_all((0..count).map(|_| dialling.dial())).await?),
        Kind::Http2(count) => Held::Streams(Streams::open(&dialling, count).await?),
        Kind::New | Kind::Body(_) | Kind::Tunnels(_) => Held::Nothing,
    };
    println!("ready");
    input.next_line().await?.ok_or("nobody says go")?;
    let watch = Stopwatch::start();
    let mut tunnels = Vec::new();
    let took = match (kind, held) {
        (Kind::New, _) => anew(&dialling, time).await?,
        (Kind::Body(len), _) => vec![dialling.dial().await?.send(len, watch).await?],
        (Kind::Tunnels(count), _) => opened(&dialling, count, &mut tunnels).await?,
        (_, Held::Wires(wires)) => {
            try_join_all(wires.into_iter().map(|wire| kept(wire, time))).await?.concat()
        }
        (_, Held::Streams(streams)) => streams.run(time).await?,
        _ => Vec::new(),
    };
    let seconds = watch.elapsed().as_secs_f64();
    let p50_micros = quantile(&took, 0.5).as_secs_f64() * 1e6;
    println!("{}", serde_json::to_string(&Seen { count: took.len(), seconds, p50_micros })?);
    input.next_line().await?;
    drop(tunnels);
    Ok(())
}

/// What stands before it begins.
enum Held {
    Wires(Vec<Wire>),
    Streams(Streams),
    Nothing,
}

async fn kept(mut wire: Wire, time: Duration) -> Outcome<Vec<Duration>> {
    let (begun, mut took) = (Stopwatch::start(), Vec::new());
    while begun.elapsed() < time {
        let watch = Stopwatch::start();
        wire.ask().await?;
        took.push(watch.elapsed());
    }
    Ok(took)
}

async fn anew(dialling: &Dialling, time: Duration) -> Outcome<Vec<Duration>> {
    let (begun, mut took) = (Stopwatch::start(), Vec::new());
    while begun.elapsed() < time {
        let watch = Stopwatch::start();
        dialling.dial().await?.ask().await?;
        took.push(watch.elapsed());
    }
    Ok(took)
}

async fn opened(dialling: &Dialling, count: usize, tunnels: &mut Vec<TcpStream>) -> Outcome<Vec<Duration>> {
    let mut took = Vec::new();
    while tunnels.len() < count {
        let batch = (tunnels.len()..count).take(BATCH).map(async |_| {
            let watch = Stopwatch::start();
            let mut tunnel = dialling.tunnel().await?;
            echoed(&mut tunnel).await?;
            Ok::<_, keyherd_bench::Trouble>((tunnel, watch.elapsed()))
        });
        for (tunnel, time) in try_join_all(batch).await? {
            tunnels.push(tunnel);
            took.push(time);
        }
    }
    Ok(took)
}
