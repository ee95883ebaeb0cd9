//! What memory a tunnel takes through which nothing passes any more.

use keyherd_bench::process::memory;
use keyherd_bench::{Outcome, Report, Row, ratio};

use super::Sizes;
use crate::load::Kind;
use crate::place::{Cores, Place, Side, work};

/// In KiB.
const EACH_MAX: f64 = 40.0;

/// So many, through each of which something passed once.
pub(super) async fn idle(sizes: &Sizes, report: &mut Report) -> Outcome {
    let place = Place::start(&sizes.binary, Cores::All, "http1").await?;
    let (_echo, elsewhere) = place.echo().await?;
    let (us, them) = (place.unread(Some(elsewhere))?, place.tunnel(elsewhere).await?);
    let theirs = each(&place, &them, sizes.tunnels).await?;
    let ours = each(&place, &us, sizes.tunnels).await?;
    let row = Row::new(format!(
        "resident memory a tunnel, {} idle ones: hyper's upgrade, and a copy",
        sizes.tunnels
    ));
    let row = row.ours(format!("{ours:.1} KiB")).baseline(format!("{theirs:.1} KiB"));
    report.row(row.ratio(ratio(ours, theirs)).aim(format!("<= {EACH_MAX:.0} KiB"), ours <= EACH_MAX));
    place.stop().await
}

/// In KiB.
async fn each(place: &Place, side: &Side, count: usize) -> Outcome<f64> {
    // What the first of them needs once is not theirs.
    let mut first = place.load(&side.way, Kind::Tunnels(1), 0).await?;
    work(&mut first).await?;
    first.stop().await?;
    let before = memory(side.pid)?.resident_kib;
    let mut load = place.load(&side.way, Kind::Tunnels(count), 0).await?;
    work(&mut load).await?;
    let after = memory(side.pid)?.resident_kib;
    load.stop().await?;
    let more = u32::try_from(after.saturating_sub(before))?;
    Ok(f64::from(more) / f64::from(u32::try_from(count)?))
}
