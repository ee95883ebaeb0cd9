//! How much longer a request takes than straight to upstream, with everything on one core.

use keyherd_bench::figures::median;
use keyherd_bench::{Outcome, Report, Row};

use super::{Sizes, cpu_row, of};
use crate::load::Kind;
use crate::place::{Cores, Place, Run, Side};

/// On one connection that is kept.
pub(super) async fn kept(sizes: &Sizes, report: &mut Report) -> Outcome {
    compared(sizes, report, Kind::Kept(1), "one connection").await
}

/// On a new connection each.
pub(super) async fn new(sizes: &Sizes, report: &mut Report) -> Outcome {
    compared(sizes, report, Kind::New, "a new connection each").await
}

/// A side, and its runs.
struct Measured {
    side: Side,
    runs: Vec<Run>,
}

impl Measured {
    fn of(side: Side) -> Self {
        Self { side, runs: Vec::new() }
    }

    async fn run(&mut self, place: &Place, kind: Kind, millis: u64) -> Outcome {
        self.runs.push(place.run(&self.side, kind, millis).await?);
        Ok(())
    }

    /// The median of what it added to the way straight to upstream in the same round.
    fn added(&self, straight: &[f64]) -> f64 {
        let p50 = of(&self.runs, |run| run.p50_micros);
        median(
            &p50.iter()
                .zip(straight.iter().skip(1))
                .map(|(p50, straight)| p50 - straight)
                .collect::<Vec<_>>(),
        )
    }
}

async fn compared(sizes: &Sizes, report: &mut Report, kind: Kind, title: &str) -> Outcome {
    let place = Place::start(&sizes.binary, Cores::One, "http1").await?;
    let mut ours = Measured::of(place.ours()?);
    let mut theirs = Measured::of(place.interceptor().await?);
    let mut unread = Measured::of(place.unread(None)?);
    let mut straight = Vec::new();
    for _ in 0..=sizes.rounds {
        straight.push(place.straight(kind, sizes.millis).await?);
        ours.run(&place, kind, sizes.millis).await?;
        theirs.run(&place, kind, sizes.millis).await?;
        unread.run(&place, kind, sizes.millis).await?;
    }
    let (us, them) = (ours.added(&straight), theirs.added(&straight));
    let row = Row::new(format!("p50 added, {title}, one core: hudsucker")).ours(format!("{us:+.0} us"));
    let row = row.baseline(format!("{them:+.0} us")).ratio(format!("{:.2}", us / them));
    report.row(row.aim("<= 1.0 x", us <= them));
    report.row(cpu_row(
        &format!("proxy CPU a request, {title}, one core: hudsucker"),
        &ours.runs,
        &theirs.runs,
    ));
    let row = Row::new(format!("p50 added by keyherd's tunnel, {title}, one core"));
    let row = row.ours(format!("{:+.0} us", unread.added(&straight)));
    report.row(row.baseline(format!("straight: {:.0} us", median(straight.get(1..).unwrap_or_default()))));
    place.stop().await
}
