//! What does `POST /v1/token` cost a server for a hot token?
//!
//! Baseline: a process with a bare axum handler that returns the same bytes after a bearer check. Both are loaded by
//! `wrk` in turns; the figure is the server's own CPU time per request, so that what `wrk` takes does not count.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use keyherd_bench::figures::{median, spread};
use keyherd_bench::process::cpu_time;
use keyherd_bench::{Accounts, Arguments, Ground, LoopbackProvider, Outcome, Report, Row, cli, document};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

/// The word that makes this program the bare server.
const BARE: &str = "bare";
const CONNECTIONS: &str = "64";
const BODY: &str = r#"{"name":"acme"}"#;
/// Ours may cost this much more: 80 % of the bare one's requests for the same CPU time.
const SHARE_MIN: f64 = 0.8;

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match arguments.worker(BARE) {
        Some(words) => runtime.block_on(serve_bare(words)),
        None => runtime.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Outcome {
    let seconds = arguments.number("seconds", arguments.size(1, 5))?;
    let rounds = arguments.number("rounds", arguments.size(1, 7))?;
    let binary = cli::binary(arguments).await?;
    let (provider, ground) =
        (LoopbackProvider::start(Accounts::new(24 * 3_600), Duration::ZERO).await?, Ground::new()?);
    cli::import(&binary, ground.path(), &document("acme", 1, provider.url())).await?;
    let server = cli::Server::start(&binary, ground.path()).await?;
    let token = fs::read_to_string(ground.path().join("admin.token"))?.trim().to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let (status, body) = cli::post(server.address, "/v1/token", &bearer, BODY).await?;
    if status != 200 {
        return Err(format!("keyherd says {status}: {body}").into());
    }
    let mut report = Report::begin("post_token: POST /v1/token, hot, 64 connections");
    let load = Load::new(ground.path(), &token, seconds)?;
    let (bare, bare_address) = start_bare(&token, &body).await?;
    let sides =
        [(server.pid()?, server.address), (bare.id().ok_or("the bare server has ended")?, bare_address)];
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..=rounds {
        let [us, them] = sides;
        ours.push(load.run(us).await?);
        theirs.push(load.run(them).await?);
    }
    // The first round warms up.
    add(&mut report, ours.get(1..).unwrap_or_default(), theirs.get(1..).unwrap_or_default());
    report.note(format!(
        "{rounds} rounds of {seconds} s for each side, in turns; medians; wrk with one thread."
    ));
    report.note("both servers and wrk share two cores; the answer has the same bytes.");
    report.print();
    server.stop().await?;
    Ok(())
}

/// One run under load.
#[derive(Debug, Clone, Copy)]
struct Run {
    cpu_micros: f64,
    per_second: f64,
}

fn add(report: &mut Report, ours: &[Run], theirs: &[Run]) {
    let of = |runs: &[Run], field: fn(&Run) -> f64| runs.iter().map(field).collect::<Vec<_>>();
    let cpu: fn(&Run) -> f64 = |run| run.cpu_micros;
    let (us, them) = (of(ours, cpu), of(theirs, cpu));
    let pairs: Vec<_> = them.iter().zip(&us).map(|(them, us)| them / us).collect();
    let share = median(&pairs);
    let said = |values: &[f64]| {
        let (least, most) = spread(values);
        format!("{:.2} us ({least:.2} to {most:.2})", median(values))
    };
    let row = Row::new("server CPU a request").ours(said(&us)).baseline(said(&them));
    let (least, most) = spread(&pairs);
    let row = row.ratio(format!("{:.0} % ({:.0} to {:.0})", 100.0 * share, 100.0 * least, 100.0 * most));
    report.row(row.aim(format!(">= {:.0} %", 100.0 * SHARE_MIN), share >= SHARE_MIN));
    let by_core = |values: &[f64]| format!("{:.0} a second", 1e6 / median(values));
    let row = Row::new("requests a core, from the CPU time").ours(by_core(&us)).baseline(by_core(&them));
    report.row(row.ratio(format!("{:.0} %", 100.0 * share)));
    let rate: fn(&Run) -> f64 = |run| run.per_second;
    let (us, them) = (median(&of(ours, rate)), median(&of(theirs, rate)));
    let row = Row::new("requests as wrk saw them").ours(format!("{us:.0} a second"));
    report.row(row.baseline(format!("{them:.0} a second")).ratio(format!("{:.0} %", 100.0 * us / them)));
}

/// `wrk` and what it sends.
struct Load {
    script: PathBuf,
    seconds: u64,
}

impl Load {
    fn new(folder: &Path, token: &str, seconds: u64) -> Outcome<Self> {
        let script = folder.join("post.lua");
        let lines = [
            r#"wrk.method = "POST""#.to_owned(),
            format!("wrk.body = '{BODY}'"),
            r#"wrk.headers["Content-Type"] = "application/json""#.to_owned(),
            format!(r#"wrk.headers["Authorization"] = "Bearer {token}""#),
        ];
        fs::write(&script, lines.join("\n"))?;
        Ok(Self { script, seconds })
    }

    async fn run(&self, (pid, address): (u32, SocketAddr)) -> Outcome<Run> {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t1", "-c", CONNECTIONS, "-d"])
            .arg(format!("{}s", self.seconds))
            .arg("-s")
            .arg(&self.script);
        wrk.arg(format!("http://{address}/v1/token")).stderr(Stdio::inherit()).kill_on_drop(true);
        let before = cpu_time(pid)?;
        let output =
            wrk.output().await.map_err(|error| format!("wrk cannot be run ({error}): apt install wrk"))?;
        let cpu = cpu_time(pid)?.saturating_sub(before);
        let text = String::from_utf8(output.stdout)?;
        if text.contains("Non-2xx") || text.contains("Socket errors") || !output.status.success() {
            return Err(format!("not all requests were answered:\n{text}").into());
        }
        let words: Vec<_> = text.split_whitespace().collect();
        let count = words
            .windows(3)
            .find_map(|at| (at[1] == "requests" && at[2] == "in").then(|| at[0].parse::<f64>()));
        let rate = words.windows(2).find_map(|at| (at[0] == "Requests/sec:").then(|| at[1].parse::<f64>()));
        let (count, rate) = (count.ok_or("wrk does not count")??, rate.ok_or("wrk gives no rate")??);
        Ok(Run { cpu_micros: cpu.as_secs_f64() * 1e6 / count, per_second: rate })
    }
}

/// This program as the bare server, on a free port.
async fn start_bare(token: &str, body: &str) -> Outcome<(Child, SocketAddr)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([BARE, token, body]).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let output = child.stdout.take().ok_or("the bare server has no output")?;
    let line = BufReader::new(output).lines().next_line().await?.ok_or("the bare server says nothing")?;
    Ok((child, line.parse()?))
}

/// What the handler needs.
#[derive(Clone)]
struct Bare {
    bearer: &'static str,
    body: &'static str,
}

async fn serve_bare(words: &[String]) -> Outcome {
    let [token, body] = words else { return Err("two words are wanted".into()) };
    // For the process's life.
    let state = Bare { bearer: format!("Bearer {token}").leak(), body: body.clone().leak() };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("{}", listener.local_addr()?);
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true)));
    let router = Router::new().route("/v1/token", post(answer)).with_state(state);
    Ok(axum::serve(listener, router).await?)
}

async fn answer(State(bare): State<Bare>, headers: HeaderMap) -> Response {
    if headers.get(AUTHORIZATION).is_none_or(|value| value != bare.bearer) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    ([(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")], bare.body).into_response()
}
