//! What the demo shows: results on standard output, what is under way on standard error, where that is a terminal.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, Color};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::account::Counts;
use super::herd::Round;
use super::naive::Naive;
use super::{EXPIRIES, LATENCY, LIFETIME, Outcome, PROCESSES, TASKS};
use crate::cli::{Failure, Output};

/// How often a spinner turns.
const TURN: Duration = Duration::from_millis(120);

/// The demo's screen.
pub(crate) struct Screen {
    pub(super) out: Output,
}

/// One herd under way.
pub(super) struct Live(ProgressBar);

impl Screen {
    /// On a command's output.
    pub(crate) fn new(out: Output) -> Self {
        Self { out }
    }

    /// What is about to be seen.
    pub(crate) fn opening(&self) -> Result<(), Failure> {
        self.out.say(format_args!(
            "Scene 1: refresh once\n\n\
             {TASKS} tasks and {PROCESSES} processes share one account. Its provider rotates refresh tokens, answers in\n\
             {} ms, and revokes the account as soon as a refresh token is used twice. Tokens live {} s.\n",
            LATENCY.as_millis(),
            LIFETIME.as_secs(),
        ))
    }

    /// Until the next expiry.
    pub(super) fn waiting(&self, number: u32) -> Live {
        Live::spinner(format!("waiting for expiry {number} of {EXPIRIES}"))
    }

    pub(super) fn herd(&self, total: usize) -> Live {
        Live::new(total)
    }

    pub(super) fn round(&self, number: u32, round: &Round) -> Result<(), Failure> {
        let Round { tasks, processes, failed, provider_calls, reuse_detected, .. } = round;
        let calls = if *provider_calls == 1 { "call" } else { "calls" };
        self.out.say(format_args!(
            "  expiry {number}:  {} asked,  {provider_calls} provider {calls},  {reuse_detected} reuse detected,  \
             {failed} failed,  slowest task {} ms,  slowest process {} ms",
            tasks + processes,
            round.slowest_task_ms,
            round.slowest_process_ms,
        ))
    }

    pub(super) fn verdict(&self, outcome: &Outcome) -> Result<(), Failure> {
        if self.out.is_json() {
            return Ok(());
        }
        self.out.line("")?;
        self.out.show(&self.table(outcome))?;
        self.out.line("")?;
        let (sum, asked) = outcome.expiries.iter().fold((0, 0), |(calls, asked), round| {
            (calls + round.provider_calls, asked + round.tasks + round.processes)
        });
        match outcome.ok {
            true => self.out.line(format_args!(
                "However many ask, it happens once: {asked} asked, {sum} provider calls for {} expiries.",
                outcome.expiries.len()
            )),
            false => self.out.line("It did not hold: see the lines above."),
        }
    }

    fn table(&self, outcome: &Outcome) -> comfy_table::Table {
        let sum = |count: fn(&Round) -> usize| outcome.expiries.iter().map(count).sum::<usize>();
        let asked = sum(|round| round.tasks + round.processes);
        let Naive { tasks, got_a_token, provider_calls, refused, reuse_detected, account_revoked } =
            &outcome.without;
        let is_alive = sum(|round| round.reuse_detected) == 0;
        let mut table = self.out.table(&["", "WITH KEYHERD", "EACH ON ITS OWN"]);
        for (what, with, without) in [
            ("expiries", outcome.expiries.len(), 1),
            ("asked", asked, *tasks),
            ("got a token", asked - sum(|round| round.failed), *got_a_token),
            ("provider calls", sum(|round| round.provider_calls), *provider_calls),
            ("invalid_grant", 0, *refused),
            ("reuse detected", sum(|round| round.reuse_detected), *reuse_detected),
        ] {
            table.add_row([Cell::new(what), Cell::new(with), Cell::new(without)]);
        }
        table.add_row([Cell::new("the account"), self.account(!is_alive), self.account(*account_revoked)]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    fn account(&self, is_revoked: bool) -> Cell {
        match is_revoked {
            true => self.out.colored("revoked", Color::Red),
            false => self.out.colored("alive", Color::Green),
        }
    }
}

impl Live {
    fn new(total: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {wide_bar} {pos}/{len} answered, {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self(bar)
    }

    fn spinner(text: String) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("  {msg} {spinner}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.set_message(text);
        bar.enable_steady_tick(TURN);
        Self(bar)
    }

    pub(super) fn waiting(&self, waiting: usize) {
        self.0.set_message(format!("{waiting} wait"));
    }

    pub(super) fn at(&self, done: usize) {
        self.0.set_position(done as u64);
    }

    pub(super) fn reach(&self, done: usize, counts: Counts, slowest_ms: u64) {
        let Counts { calls, reuse, .. } = counts;
        self.0
            .set_message(format!("provider calls {calls}, reuse detected {reuse}, slowest {slowest_ms} ms"));
        self.0.set_position(done as u64);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
