//! What a request costs the proxy's processors.

use keyherd_bench::figures::median;
use keyherd_bench::{Outcome, Report, Row};

use super::{Sizes, cpu_row, of, pairs};
use crate::load::Kind;
use crate::mitmdump;
use crate::place::{Cores, Place, Run};

/// Connections, and requests at once on one of them.
const CONNECTIONS: usize = 64;
/// How many times fewer than mitmdump.
const FEWER: f64 = 50.0;

/// On many connections that are kept.
pub(super) async fn over_http1(sizes: &Sizes, report: &mut Report) -> Outcome {
    let place = Place::start(&sizes.binary, Cores::All, "http1").await?;
    let ours = compared(sizes, report, &place, Kind::Kept(CONNECTIONS), "64 connections").await?;
    match &sizes.mitmdump {
        None => report.note("mitmdump is not here, and was not measured: see benches/proxy/mitmdump.rs."),
        Some(program) => {
            let (child, side) = mitmdump::start(program, &place).await?;
            let mut theirs = Vec::new();
            for _ in 0..=sizes.rounds.min(2) {
                theirs.push(place.run(&side, Kind::Kept(CONNECTIONS), sizes.millis).await?);
            }
            drop(child);
            let (us, them) =
                (median(&of(&ours, |run| run.cpu_micros)), median(&of(&theirs, |run| run.cpu_micros)));
            let row = Row::new("proxy CPU a request, 64 connections: mitmdump").ours(format!("{us:.1} us"));
            let row = row.baseline(format!("{them:.0} us")).ratio(format!("1 : {:.0}", them / us));
            report.row(row.aim(format!(">= {FEWER:.0} x fewer"), them / us >= FEWER));
        }
    }
    place.stop().await
}

/// On one connection that all share.
pub(super) async fn over_http2(sizes: &Sizes, report: &mut Report) -> Outcome {
    let place = Place::start(&sizes.binary, Cores::All, "http2").await?;
    compared(sizes, report, &place, Kind::Http2(CONNECTIONS), "HTTP/2, 64 streams").await?;
    place.stop().await
}

async fn compared(
    sizes: &Sizes,
    report: &mut Report,
    place: &Place,
    kind: Kind,
    title: &str,
) -> Outcome<Vec<Run>> {
    let (us, them) = (place.ours()?, place.interceptor().await?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..=sizes.rounds {
        ours.push(place.run(&us, kind, sizes.millis).await?);
        theirs.push(place.run(&them, kind, sizes.millis).await?);
    }
    report.row(cpu_row(&format!("proxy CPU a request, {title}: hudsucker"), &ours, &theirs));
    let (us, them) = (of(&ours, |run| run.per_second), of(&theirs, |run| run.per_second));
    let row = Row::new(format!("requests a second, {title}: hudsucker")).ours(format!("{:.0}", median(&us)));
    report.row(row.baseline(format!("{:.0}", median(&them))).ratio(pairs(&us, &them).1));
    Ok(ours)
}
