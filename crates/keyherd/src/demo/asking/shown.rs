//! What the screen shows of scene 3.

use super::super::screen::Screen;
use super::{Asking, TASKS};
use crate::cli::Failure;

impl Screen {
    /// What is about to be seen.
    pub(super) fn asking_opening(&self) -> Result<(), Failure> {
        self.out.say(format_args!(
            "\nScene 3: ask once\n\n\
             {TASKS} requests go through the gateway to an API that a rule wants a human to be asked about.\n",
        ))
    }

    /// Where to answer.
    pub(super) fn asking_person(&self, url: &str, token_file: &str) -> Result<(), Failure> {
        self.out.say(format_args!(
            "  {TASKS} requests wait, with nothing sent. Open {url}/ and answer:\n  the admin token is in {token_file}\n"
        ))
    }

    pub(super) fn asking_verdict(&self, seen: &Asking) -> Result<(), Failure> {
        if self.out.is_json() {
            return Ok(());
        }
        let prompts = if seen.prompts == 1 { "prompt" } else { "prompts" };
        self.out.line(format_args!(
            "  {} asked,  {} {prompts},  {} sent before the answer,  {} served,  {} denied,  released within {} ms",
            seen.requests, seen.prompts, seen.sent_before, seen.served, seen.denied, seen.released_ms,
        ))?;
        self.out.line("")?;
        match (seen.ok, seen.decision) {
            (true, Some(decision)) => self.out.line(format_args!(
                "However many ask, it happens once: {} requests, 1 prompt, 1 answer ('{decision}' by {}).",
                seen.requests,
                seen.answered_by.as_deref().unwrap_or("nobody"),
            )),
            (true, None) => self.out.line("Nobody answered in time: that is a deny, for all of them."),
            (false, _) => self.out.line("It did not hold: see the lines above."),
        }
    }
}
