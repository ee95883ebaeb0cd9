//! The questions, each with its aim.

mod body;
mod requests;
mod tunnels;
mod waiting;

use std::path::PathBuf;

use keyherd_bench::figures::{median, spread};
use keyherd_bench::{Outcome, Report, Row};

use crate::place::Run;

/// How much is measured, and with what.
pub(crate) struct Sizes {
    pub(crate) binary: PathBuf,
    pub(crate) mitmdump: Option<PathBuf>,
    pub(crate) millis: u64,
    pub(crate) rounds: usize,
    /// In bytes.
    pub(crate) body_len: u64,
    pub(crate) tunnels: usize,
}

/// One question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    Requests,
    Latency,
    Connections,
    Http2,
    Body,
    Tunnels,
}

impl Question {
    pub(crate) const ALL: [Self; 6] =
        [Self::Requests, Self::Latency, Self::Connections, Self::Http2, Self::Body, Self::Tunnels];

    /// The word by which it is asked alone.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Latency => "latency",
            Self::Connections => "connections",
            Self::Http2 => "http2",
            Self::Body => "body",
            Self::Tunnels => "tunnels",
        }
    }

    /// Asks it.
    pub(crate) async fn ask(self, sizes: &Sizes, report: &mut Report) -> Outcome {
        match self {
            Self::Requests => requests::over_http1(sizes, report).await,
            Self::Latency => waiting::kept(sizes, report).await,
            Self::Connections => waiting::new(sizes, report).await,
            Self::Http2 => requests::over_http2(sizes, report).await,
            Self::Body => body::long(sizes, report).await,
            Self::Tunnels => tunnels::idle(sizes, report).await,
        }
    }
}

/// One figure of all runs, without the first, which warms up.
fn of(runs: &[Run], field: fn(&Run) -> f64) -> Vec<f64> {
    runs.iter().skip(1).map(field).collect()
}

/// A row of CPU time a request, which is to be no more than the baseline's.
fn cpu_row(question: &str, ours: &[Run], theirs: &[Run]) -> Row {
    let (ours, theirs) = (of(ours, |run| run.cpu_micros), of(theirs, |run| run.cpu_micros));
    let (share, text) = pairs(&ours, &theirs);
    let row = Row::new(question).ours(format!("{:.1} us", median(&ours)));
    let row = row.baseline(format!("{:.1} us", median(&theirs))).ratio(text);
    row.aim("<= 1.0 x", share <= 1.0)
}

/// The median of the ratios of what was measured in turns; and how it is written.
fn pairs(ours: &[f64], theirs: &[f64]) -> (f64, String) {
    let pairs: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
    let (share, (least, most)) = (median(&pairs), spread(&pairs));
    (share, format!("{share:.2} ({least:.2} to {most:.2})"))
}
