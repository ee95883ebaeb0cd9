//! What does a page of the dashboard take over a store of 100,000 credentials and 1,000,000 audit entries?
//!
//! Baseline: the same server over a hundredth of both. Measured is a request on a connection of its own, on this machine.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::system::SystemClock;
use keyherd_bench::figures::{median, millis};
use keyherd_bench::{
    Accounts, Arguments, Ground, InProcessProvider, Installation, Outcome, Report, Row, Stopwatch, cli,
    imported, ratio,
};
use keyherd_core::audit::{Actor, Line, Note, Sheaf};
use keyherd_core::broker::Options;
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::{AuditStore, NewCredential, Record};
use serde_json::json;

/// Rows in one transaction of the import.
const BATCH: usize = 10_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// On the server, for any page.
const PAGE_MS_MAX: f64 = 100.0;
const PAGES: [(&str, &str); 6] = [
    ("overview", "/"),
    ("approvals", "/ui/approvals"),
    ("credentials", "/ui/credentials"),
    ("credentials, a name", "/ui/credentials?q=acme-77"),
    ("audit", "/ui/audit"),
    ("audit, a search", "/ui/audit?q=credential.create"),
];

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(&Arguments::of_process()))
}

async fn bench(arguments: &Arguments) -> Outcome {
    let credentials = arguments.number("credentials", arguments.size(10_000, 100_000))?;
    let entries = arguments.number("entries", arguments.size(100_000, 1_000_000))?;
    let rounds = arguments.number("rounds", arguments.size(3, 15))?;
    let binary = cli::binary(arguments).await?;
    let mut report = Report::begin("dashboard: pages over a large store");
    let (large, small) = (Ground::new()?, Ground::new()?);
    let watch = Stopwatch::start();
    build(large.path(), credentials, entries).await?;
    let built = watch.elapsed();
    build(small.path(), credentials / 100, entries / 100).await?;
    let (ours, theirs) =
        (Side::start(&binary, large.path()).await?, Side::start(&binary, small.path()).await?);
    for (name, path) in PAGES {
        let (first, mut us, mut them) = (ours.ask(path).await?, Vec::new(), Vec::new());
        for _ in 0..rounds {
            us.push(ours.ask(path).await?);
            them.push(theirs.ask(path).await?);
        }
        let (middle, theirs) = (median(&us), median(&them));
        let row = Row::new(name).ours(format!("{middle:.1} ms, first {first:.1} ms"));
        let row = row.baseline(format!("{theirs:.1} ms")).ratio(ratio(middle, theirs));
        report.row(row.aim(format!("< {PAGE_MS_MAX:.0} ms"), middle.max(first) < PAGE_MS_MAX));
    }
    ours.server.stop().await?;
    theirs.server.stop().await?;
    report.note(format!(
        "ours: {credentials} credentials, {entries} audit entries, made in {:.0} s; baseline: a hundredth of both; medians of \
         {rounds}, in turns; 'first' is the first of its kind after the start.",
        built.as_secs_f64()
    ));
    report.print();
    Ok(())
}

/// A server, and a browser that is logged in.
struct Side {
    server: cli::Server,
    cookie: String,
}

impl Side {
    async fn start(binary: &Path, data: &Path) -> Outcome<Self> {
        let server = cli::Server::start(binary, data).await?;
        let token = fs::read_to_string(data.join("admin.token"))?;
        let form = format!("token={}", token.trim());
        let request = format!(
            "POST /ui/login HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n\r\n{form}",
            server.address,
            form.len()
        );
        let answer = cli::exchange(server.address, &request).await?;
        let (_, rest) = answer.split_once("keyherd_session=").ok_or("there is no session")?;
        let cookie = rest.split(';').next().unwrap_or_default().to_owned();
        Ok(Self { server, cookie })
    }

    /// How long a page takes, in milliseconds.
    async fn ask(&self, path: &str) -> Outcome<f64> {
        let head = format!("Cookie: keyherd_session={}\r\n", self.cookie);
        let watch = Stopwatch::start();
        let (status, body) = cli::get(self.server.address, path, &head).await?;
        let took = millis(watch.elapsed());
        if status != 200 || !body.contains("aria-current") {
            return Err(format!("{path} answers {status}: {body}").into());
        }
        Ok(took)
    }
}

async fn build(data: &Path, credentials: usize, entries: usize) -> Outcome {
    let provider = InProcessProvider::new(Accounts::new(3_600), Duration::ZERO);
    let installation = Installation::open(data, Arc::new(provider), Options::default()).await?;
    for first in (0..credentials).step_by(BATCH) {
        let many = (first..credentials.min(first + BATCH)).map(|number| new(&installation, number));
        let many = many.collect::<Outcome<Vec<_>>>()?;
        installation.store.import_many(&many, Record { note: note(0), event: None }).await?;
    }
    for first in (0..entries).step_by(BATCH) {
        let numbers: Vec<_> = (first..entries.min(first + BATCH)).collect();
        let sheaves: Vec<_> = numbers.chunks(Sheaf::LINES_MAX).map(sheaf).collect();
        installation.store.append_lines(&sheaves).await?;
    }
    installation.close().await;
    Ok(())
}

/// As requests leave their lines.
fn sheaf(numbers: &[usize]) -> Sheaf {
    let mut sheaf = Sheaf::default();
    for Note { action, actor, subject, detail } in numbers.iter().copied().map(note) {
        let (actor, detail) = (&*actor.0, &*detail.to_string());
        sheaf.push(SystemClock.now(), Line { action, actor, subject: &subject, detail });
    }
    sheaf
}

/// One entry in a hundred is what a search looks for.
fn note(number: usize) -> Note {
    Note {
        action: if number.is_multiple_of(100) { "credential.create" } else { "refresh" },
        actor: Actor::new("background"),
        subject: format!("acme-{}", number % 100_000),
        detail: json!({"generation": number, "expires_at_ms": 1_795_303_034_000_i64}),
    }
}

/// A credential that ends in a month: nothing is due.
fn new(installation: &Installation, number: usize) -> Outcome<NewCredential> {
    let now = SystemClock.now();
    imported(installation, number, "http://127.0.0.1:1/token", now + 30 * DAY, now + 29 * DAY)
}
