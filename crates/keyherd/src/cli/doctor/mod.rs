//! `keyherd doctor`: is everything as it should be, and if not, what is the way out?
//!
//! Owns the list of checks and their report. Changes nothing: where there is no store yet, it makes none.

mod checks;
mod room;

use std::fmt::Display;

use clap::Args;
use comfy_table::{Cell, Color};
use serde::Serialize;

use super::failure::Failure;
use super::output::Output;
use super::peer::Context;
use super::progress;
use crate::peer::ServerPeer;
use crate::wire;

/// Check data folder, room on its disk, key, store, coordinator, audit log, journal, clock, profiles and CA.
///
/// Exits with 1 if something is wrong; each line says what, and the way out. With --server: whether that one can be
/// reached, serves, and knows the bearer.
#[derive(Debug, Args)]
pub(crate) struct Doctor {}

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Something has to be done.
    Wrong,
}

/// One check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    checks: &'a [Finding],
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, detail: impl Display) -> Self {
        Self { check, verdict, detail: format!("{detail}") }
    }
}

impl Doctor {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        if let Some(server) = &context.settings.server {
            return report(context.out, &[checks::server(&ServerPeer::new(server)?).await]);
        }
        let has_store = wire::has_store(&context.settings).await;
        let mut findings = checks::before_opening(&context, has_store.as_ref().ok().copied());
        let work = async |wired: &wire::Wired| {
            let checked = checks::of_open_store(&context, wired);
            findings.extend(progress::waiting("checking", checked).await);
            Ok(())
        };
        match has_store {
            Ok(true) => {
                if let Err(failure) = context.store("doctor", work).await {
                    let line = failure.line().ok_or(failure)?;
                    findings.push(Finding::new("store", Verdict::Wrong, line));
                }
            }
            Ok(false) => findings.push(Finding::new(
                "store",
                Verdict::Note,
                "none yet: the first command that needs it makes it",
            )),
            Err(error) => findings.push(Finding::new("store", Verdict::Wrong, error)),
        }
        report(context.out, &findings)
    }
}

fn report(out: Output, findings: &[Finding]) -> Result<(), Failure> {
    let wrong = findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count();
    if out.is_json() {
        out.json(&Report { ok: wrong == 0, checks: findings })?;
    } else {
        let mut table = out.table(&["CHECK", "", "DETAIL"]);
        for Finding { check, verdict, detail } in findings {
            let word = match verdict {
                Verdict::Ok => out.colored("ok", Color::Green),
                Verdict::Note => out.colored("note", Color::Yellow),
                Verdict::Wrong => out.colored("WRONG", Color::Red),
            };
            table.add_row([Cell::new(check), word, Cell::new(detail)]);
        }
        out.show(&table)?;
    }
    match findings.iter().find(|finding| finding.verdict == Verdict::Wrong) {
        None => Ok(()),
        Some(Finding { check, detail, .. }) if wrong == 1 => {
            Err(Failure::failed(format!("{check}: {detail}")))
        }
        Some(_) => Err(Failure::failed(format!("{wrong} checks are wrong: see the lines above"))),
    }
}
