//! What does a server need for each stream that says nothing?
//!
//! So many streams are opened through the gateway; each says one thing, and then nothing. The figure is the server's own
//! resident memory, less what it was before.

use std::net::SocketAddr;

use keyherd_bench::gateway::{Place, serve_bare, serve_upstream};
use keyherd_bench::process::memory;
use keyherd_bench::{Arguments, Outcome, Report, Row, cli};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const UPSTREAM: &str = "upstream";
const BARE: &str = "bare";
/// In KiB.
const EACH_MAX: f64 = 40.0;
/// Opened at once.
const BATCH: usize = 100;

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
    let count = arguments.number("streams", arguments.size(200, 5_000))?;
    let place = Place::start(&cli::binary(arguments).await?).await?;
    let (bare, bare_address) = Place::worker(BARE, &[&place.upstream().to_string()]).await?;
    let mut report = Report::begin("gateway_streams: memory of streams that say nothing");
    let theirs =
        each(bare.id().ok_or("the bare proxy has ended")?, bare_address, "/stream", &place.key, count);
    let theirs = theirs.await?;
    let (pid, address) = (place.server.pid()?, place.server.address);
    let ours = each(pid, address, "/gateway/acme/stream", &place.key, count).await?;
    let row = Row::new(format!("resident memory a stream, {count} at once"));
    let row = row.ours(format!("{ours:.1} KiB")).baseline(format!("{theirs:.1} KiB"));
    report.row(
        row.ratio(format!("{:.2}", ours / theirs)).aim(format!("<= {EACH_MAX:.0} KiB"), ours <= EACH_MAX),
    );
    report.note(
        "baseline: the same upstream behind a bare hyper reverse proxy; memory of the proxy's process alone.",
    );
    report.print();
    place.server.stop().await
}

/// Resident memory for each of so many open streams, in KiB. All of them are closed afterwards.
async fn each(pid: u32, address: SocketAddr, path: &str, key: &str, count: usize) -> Outcome<f64> {
    // What the first of them needs once is not theirs.
    drop(open(address, path, key).await?);
    let before = memory(pid)?.resident_kib;
    let mut streams = Vec::with_capacity(count);
    while streams.len() < count {
        let batch = (streams.len()..count).take(BATCH).map(|_| open(address, path, key));
        for opened in futures_util::future::join_all(batch).await {
            streams.push(opened?);
        }
    }
    let after = memory(pid)?.resident_kib;
    let more = u32::try_from(after.saturating_sub(before))?;
    Ok(f64::from(more) / f64::from(u32::try_from(count)?))
}

/// A stream that has said its one thing.
async fn open(address: SocketAddr, path: &str, key: &str) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {key}\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    let (mut text, mut buffer) = (Vec::new(), [0; 1_024]);
    while !text.windows(5).any(|at| at == b"hello") {
        match stream.read(&mut buffer).await? {
            0 => return Err(format!("no stream: {}", String::from_utf8_lossy(&text)).into()),
            len => text.extend_from_slice(buffer.get(..len).unwrap_or_default()),
        }
    }
    Ok(stream)
}
