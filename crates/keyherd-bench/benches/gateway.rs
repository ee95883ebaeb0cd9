//! What does the gateway add to a request?
//!
//! Baseline: the same upstream behind a bare hyper reverse proxy. Both are loaded by `wrk` in turns, with answers of 1 KiB:
//! over 64 connections as fast as they go, which asks for throughput, and makes p50 the same figure once more (64 requests
//! wait for two cores); over 64 with a pause after each answer, which both can keep up with, for what a request waits longer
//! among others; and over one, for what it waits longer alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use keyherd_bench::figures::{median, spread};
use keyherd_bench::gateway::{Place, serve_bare, serve_upstream};
use keyherd_bench::process::cpu_time;
use keyherd_bench::{Arguments, Outcome, Report, Row, cli};
use tokio::process::Command;

const UPSTREAM: &str = "upstream";
const BARE: &str = "bare";
/// Of the bare proxy's requests in the same time.
const SHARE_MIN: f64 = 0.85;
/// In microseconds.
const ADDED_MAX: f64 = 100.0;
const MANY: u32 = 64;
/// Less than 13,000 requests a second on that many connections.
const PAUSE_MILLIS: u64 = 5;

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if arguments.worker(UPSTREAM).is_some() {
        return runtime.block_on(serve_upstream());
    }
    match arguments.worker(BARE) {
        Some(words) => runtime.block_on(serve_bare(words)),
        None => runtime.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Outcome {
    let seconds = arguments.number("seconds", arguments.size(1, 5))?;
    let rounds = arguments.number("rounds", arguments.size(1, 7))?;
    let place = Place::start(&cli::binary(arguments).await?).await?;
    let (bare, bare_address) = Place::worker(BARE, &[&place.upstream().to_string()]).await?;
    let mut report = Report::begin("gateway: GET through the gateway, 1 KiB answers");
    let load = Load::new(place.folder(), &place.key, seconds)?;
    let us = Side { pid: place.server.pid()?, address: place.server.address, path: "/gateway/acme/small" };
    let them =
        Side { pid: bare.id().ok_or("the bare proxy has ended")?, address: bare_address, path: "/small" };
    for pace in [Pace::Full, Pace::Paused, Pace::Alone] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..=rounds {
            ours.push(load.run(us, pace).await?);
            theirs.push(load.run(them, pace).await?);
        }
        // The first round warms up.
        let (ours, theirs) = (ours.get(1..).unwrap_or_default(), theirs.get(1..).unwrap_or_default());
        add(&mut report, pace, ours, theirs);
    }
    report.note(format!(
        "{rounds} rounds of {seconds} s for each side, in turns; medians; wrk with one thread."
    ));
    report.note("the proxies, the upstream and wrk share the same cores.");
    report.print();
    place.server.stop().await
}

/// How a proxy is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// [`MANY`] connections, each with its next request as soon as it has an answer.
    Full,
    /// [`MANY`] connections, each of which pauses after an answer.
    Paused,
    /// One connection.
    Alone,
}

impl Pace {
    fn connections(self) -> u32 {
        if self == Self::Alone { 1 } else { MANY }
    }

    fn words(self) -> String {
        match self {
            Self::Full => format!("{MANY} connections"),
            Self::Paused => format!("{MANY} that pause {PAUSE_MILLIS} ms"),
            Self::Alone => "1 connection".into(),
        }
    }
}

/// A proxy under test.
#[derive(Debug, Clone, Copy)]
struct Side {
    pid: u32,
    address: SocketAddr,
    path: &'static str,
}

/// One run under load.
#[derive(Debug, Clone, Copy)]
struct Run {
    per_second: f64,
    cpu_micros: f64,
    p50_micros: f64,
}

fn add(report: &mut Report, pace: Pace, ours: &[Run], theirs: &[Run]) {
    let of = |runs: &[Run], field: fn(&Run) -> f64| runs.iter().map(field).collect::<Vec<_>>();
    let row = |question: &str| Row::new(format!("{question}, {}", pace.words()));
    let (us, them) = (of(ours, |run| run.per_second), of(theirs, |run| run.per_second));
    let pairs: Vec<f64> = us.iter().zip(&them).map(|(us, them)| us / them).collect();
    let (share, (least, most)) = (median(&pairs), spread(&pairs));
    let line = row("requests a second")
        .ours(format!("{:.0}", median(&us)))
        .baseline(format!("{:.0}", median(&them)))
        .ratio(format!("{:.0} % ({:.0} to {:.0})", 100.0 * share, 100.0 * least, 100.0 * most));
    let aim = format!(">= {:.0} %", 100.0 * SHARE_MIN);
    report.row(if pace == Pace::Full { line.aim(aim, share >= SHARE_MIN) } else { line });
    let (us, them) = (of(ours, |run| run.p50_micros), of(theirs, |run| run.p50_micros));
    let added = median(&us) - median(&them);
    let line = row("p50")
        .ours(format!("{:.0} us", median(&us)))
        .baseline(format!("{:.0} us", median(&them)))
        .ratio(format!("{added:+.0} us"));
    report.row(line.aim(format!("<= +{ADDED_MAX:.0} us"), added <= ADDED_MAX));
    let (us, them) = (of(ours, |run| run.cpu_micros), of(theirs, |run| run.cpu_micros));
    let line = row("proxy CPU a request")
        .ours(format!("{:.1} us", median(&us)))
        .baseline(format!("{:.1} us", median(&them)));
    report.row(line.ratio(format!("{:.2}", median(&us) / median(&them))));
}

/// `wrk` and what it sends.
struct Load {
    script: PathBuf,
    script_paused: PathBuf,
    seconds: u64,
}

impl Load {
    fn new(folder: &Path, key: &str, seconds: u64) -> Outcome<Self> {
        let (script, script_paused) = (folder.join("get.lua"), folder.join("get_paused.lua"));
        // To the microsecond: wrk's own table rounds.
        let done = "done = function(summary, latency) print('p50 ' .. latency:percentile(50)) end";
        let lines = format!("wrk.headers[\"Authorization\"] = \"Bearer {key}\"\n{done}\n");
        std::fs::write(&script, &lines)?;
        std::fs::write(&script_paused, lines + &format!("delay = function() return {PAUSE_MILLIS} end\n"))?;
        Ok(Self { script, script_paused, seconds })
    }

    async fn run(&self, side: Side, pace: Pace) -> Outcome<Run> {
        let script = if pace == Pace::Paused { &self.script_paused } else { &self.script };
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-c", &pace.connections().to_string(), "-d", &format!("{}s", self.seconds), "-s"]);
        wrk.arg(script).arg(format!("http://{}{}", side.address, side.path));
        let before = cpu_time(side.pid)?;
        let ran = wrk.stderr(Stdio::inherit()).kill_on_drop(true).output().await;
        let ran = ran.map_err(|error| format!("wrk cannot be run ({error}): apt install wrk"))?;
        let cpu = cpu_time(side.pid)?.saturating_sub(before);
        let text = String::from_utf8(ran.stdout)?;
        if text.contains("Non-2xx") || text.contains("Socket errors") || !ran.status.success() {
            return Err(format!("not all requests were answered:\n{text}").into());
        }
        let words: Vec<_> = text.split_whitespace().collect();
        let after = |name: &str| -> Outcome<f64> {
            let found = words.windows(2).find_map(|at| (at[0] == name).then(|| at[1].parse::<f64>()));
            Ok(found.ok_or_else(|| format!("wrk does not say {name}"))??)
        };
        let count = words
            .windows(3)
            .find_map(|at| (at[1] == "requests" && at[2] == "in").then(|| at[0].parse::<f64>()));
        let count = count.ok_or("wrk does not count")??;
        let (per_second, p50_micros) = (after("Requests/sec:")?, after("p50")?);
        Ok(Run { per_second, cpu_micros: cpu.as_secs_f64() * 1e6 / count, p50_micros })
    }
}
