//! How fast a long body passes that is looked through, and what memory that takes.

use keyherd_bench::figures::median;
use keyherd_bench::process::memory;
use keyherd_bench::{Outcome, Report, Row};

use super::{Sizes, pairs};
use crate::load::Kind;
use crate::place::{Cores, Place, Side};

/// Of the relay's throughput.
const SHARE_MIN: f64 = 0.7;
/// Of the whole process, in MiB.
const MEMORY_MAX: f64 = 64.0;

/// JSON with a token at its end.
pub(super) async fn long(sizes: &Sizes, report: &mut Report) -> Outcome {
    let place = Place::start(&sizes.binary, Cores::All, "http1").await?;
    // hudsucker reads no body: it is sent the token itself.
    let (us, relay, other) = (place.ours()?, place.relay().await?, place.interceptor().await?.shown_token());
    let (mut ours, mut relayed, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        ours.push(speed(&place, &us, sizes.body_len).await?);
        relayed.push(speed(&place, &relay, sizes.body_len).await?);
        others.push(speed(&place, &other, sizes.body_len).await?);
    }
    let title = format!("a body of {} MiB", sizes.body_len >> 20);
    let written = |speeds: &[f64]| format!("{:.0} MB/s", median(speeds));
    let (share, text) = pairs(&ours, &relayed);
    let row = Row::new(format!("{title}, a token at its end: relay that reads nothing"));
    let row = row.ours(written(&ours)).baseline(written(&relayed)).ratio(text);
    report.row(row.aim(format!(">= {:.0} %", 100.0 * SHARE_MIN), share >= SHARE_MIN));
    let row = Row::new(format!("{title}: hudsucker, which does not look through it"));
    report.row(row.ours(written(&ours)).baseline(written(&others)).ratio(pairs(&ours, &others).1));
    let peak =
        |side: &Side| -> Outcome<f64> { Ok(f64::from(u32::try_from(memory(side.pid)?.peak_kib)?) / 1_024.0) };
    let (us, them) = (peak(&us)?, peak(&relay)?);
    let row = Row::new(format!("{title}: the process's memory, peak"));
    let row = row.ours(format!("{us:.0} MiB")).baseline(format!("{them:.0} MiB"));
    report.row(row.aim(format!("< {MEMORY_MAX:.0} MiB"), us < MEMORY_MAX));
    place.stop().await
}

/// In megabytes a second.
async fn speed(place: &Place, side: &Side, len: u64) -> Outcome<f64> {
    let run = place.run(side, Kind::Body(len), 0).await?;
    let mebibytes = f64::from(u32::try_from(len >> 10)?) / 1_024.0;
    Ok(mebibytes * 1.048_576 / run.seconds)
}
