//! What many seeds came to: how often each fault struck, and which seeds failed.

use std::fmt::Write;

use keyherd_sim::{Event, Report, Tally};

#[derive(Default)]
pub(crate) struct Summary {
    pub(crate) seeds: u64,
    steps: u64,
    calls: u64,
    served: u64,
    refused: u64,
    tally: Tally,
    /// Of all traces together, in whatever order they came: two runs of the same seeds give the same.
    digest: u64,
    /// Seeds that failed, and the rules they broke.
    pub(crate) failed: Vec<(u64, String)>,
    /// The lowest of them.
    pub(crate) first_failed: Option<Report>,
}

impl Summary {
    pub(crate) fn take(&mut self, mut report: Report, drop_lines: bool) {
        self.seeds += 1;
        self.steps += report.steps;
        self.calls += report.calls;
        self.served += report.served;
        self.refused += report.refused;
        self.tally.add(&report.tally);
        self.digest = self.digest.wrapping_add(report.digest());
        let Some(violation) = &report.violation else { return };
        self.failed.push((report.seed, format!("{}: {}", violation.rule, violation.what)));
        if self.first_failed.as_ref().is_none_or(|first| report.seed < first.seed) {
            if drop_lines {
                report.lines.clear();
            }
            self.first_failed = Some(report);
        }
    }

    pub(crate) fn shown(&self, seconds: f64) -> String {
        let mut text = String::new();
        for (event, name) in Event::ALL {
            let _ = writeln!(text, "{:>10}  {name}", self.tally.of(event));
        }
        for (seed, what) in &self.failed {
            let _ = writeln!(text, "seed {seed}: {what}");
        }
        let _ = write!(
            text,
            "{} seeds in {seconds:.1} s, {} steps, {} provider calls, {} served, {} refused, {} failed; digest {:016x}",
            self.seeds,
            self.steps,
            self.calls,
            self.served,
            self.refused,
            self.failed.len(),
            self.digest
        );
        text
    }
}
