//! One table per bench: question, aim, baseline, ours, ratio, verdict; and on what machine, under what load.

use std::fmt::Display;
use std::fs;
use std::time::Duration;

use crate::process::{cpu_time_of_machine, cpu_time_of_own};
use crate::{Outcome, Stopwatch};

/// How a figure stands to its aim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It keeps it.
    Meets,
    /// It does not.
    Misses,
    /// There is no aim: it is said for comparison.
    Information,
}

impl Verdict {
    /// Whether the aim is kept.
    pub fn of(is_kept: bool) -> Self {
        if is_kept { Self::Meets } else { Self::Misses }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Meets => "meets",
            Self::Misses => "MISSES",
            Self::Information => "-",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    question: String,
    aim: String,
    baseline: String,
    ours: String,
    ratio: String,
    verdict: Verdict,
}

impl Row {
    /// A figure for a question.
    pub fn new(question: impl Into<String>) -> Self {
        let none = || "-".to_owned();
        let (aim, baseline, ours, ratio) = (none(), none(), none(), none());
        Self { question: question.into(), aim, baseline, ours, ratio, verdict: Verdict::Information }
    }

    /// What is measured of keyherd.
    #[must_use]
    pub fn ours(mut self, figure: impl Display) -> Self {
        self.ours = figure.to_string();
        self
    }

    /// What it is compared with.
    #[must_use]
    pub fn baseline(mut self, figure: impl Display) -> Self {
        self.baseline = figure.to_string();
        self
    }

    /// Ours over the baseline's.
    #[must_use]
    pub fn ratio(mut self, figure: impl Display) -> Self {
        self.ratio = figure.to_string();
        self
    }

    /// What was aimed at, and whether it is kept.
    #[must_use]
    pub fn aim(mut self, aim: impl Display, is_kept: bool) -> Self {
        self.aim = aim.to_string();
        self.verdict = Verdict::of(is_kept);
        self
    }

    fn cells(&self) -> [&str; 6] {
        [&self.question, &self.aim, &self.baseline, &self.ours, &self.ratio, self.verdict.word()]
    }
}

/// A ratio with two digits, or a dash where there is nothing to divide by.
pub fn ratio(ours: f64, baseline: f64) -> String {
    if baseline > 0.0 { format!("{:.2}", ours / baseline) } else { "-".into() }
}

/// One bench's results.
#[derive(Debug)]
pub struct Report {
    title: &'static str,
    load_before: String,
    begun: Stopwatch,
    /// Of all processes but ours, so far.
    others: Option<Duration>,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    /// Begins: notes the load that others make.
    pub fn begin(title: &'static str) -> Self {
        let (begun, others) = (Stopwatch::start(), others().ok());
        Self { title, load_before: load(), begun, others, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a line.
    pub fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Adds a sentence below the table.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Prints everything.
    pub fn print(&self) {
        println!("\n{}", self.title);
        println!("machine: {}; load before: {}; after: {}", machine(), self.load_before, load());
        println!("other programs took {} of a core while this ran\n", self.taken_by_others());
        let heads = ["question", "aim", "baseline", "ours", "ratio", "verdict"];
        let lines: Vec<_> = std::iter::once(heads).chain(self.rows.iter().map(Row::cells)).collect();
        let widths: Vec<usize> = (0..heads.len()).map(|column| width(&lines, column)).collect();
        for (number, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            println!("| {} |", cells.collect::<Vec<_>>().join(" | "));
            if number == 0 {
                let dashes = widths.iter().map(|width| "-".repeat(*width));
                println!("|-{}-|", dashes.collect::<Vec<_>>().join("-|-"));
            }
        }
        for note in &self.notes {
            println!("{note}");
        }
    }
}

impl Report {
    fn taken_by_others(&self) -> String {
        match (self.others, others()) {
            (Some(before), Ok(after)) => {
                let share = after.saturating_sub(before).as_secs_f64() / self.begun.elapsed().as_secs_f64();
                format!("{:.0} %", 100.0 * share)
            }
            _ => "an unknown share".into(),
        }
    }
}

/// CPU time of whatever else runs here.
fn others() -> Outcome<Duration> {
    Ok(cpu_time_of_machine()?.saturating_sub(cpu_time_of_own()?))
}

fn width(lines: &[[&str; 6]], column: usize) -> usize {
    lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
}

fn machine() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = text.lines().filter_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let names: Vec<_> = names.map(|(_, name)| name).collect();
    format!("{} x {}", names.len(), names.first().unwrap_or(&"unknown"))
}

/// Over 1, 5 and 15 minutes.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
