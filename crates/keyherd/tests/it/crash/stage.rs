//! One sandbox, one strict provider, and what has to hold after a death at each step.

use std::time::Duration;

use super::report::Row;
use super::tally::{Told, all, words};
use crate::place::Place;
use crate::provider::{Provider, access_token};
use crate::running::Running;
use crate::sandbox::{Ran, Sandbox, in_seconds};

/// No sweep: whoever refreshes was told to. Forced refreshes need not be apart.
pub(super) const CONFIG: &str = "[background]\nenabled = false\n[refresh]\nforced_apart_seconds = 0.01\n";
/// The same with the sweep.
pub(super) const SWEEPING: &str = "[background]\ninterval_seconds = 0.1\n[refresh]\nforced_apart_seconds = 0.01\nrefresh_ahead_seconds = 1\n";

/// How soon whoever waits has an answer when the owner has died: at once, on a machine that is busy with others. Who is
/// not told waits far longer.
pub(super) const TAKEOVER_MAX: Duration = Duration::from_secs(15);

/// A step of the engine, and what dying there means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) point: &'static str,
    /// Whether the claim stands there: then everybody waits for its owner.
    pub(super) is_claimed: bool,
    /// What the provider has been asked by then.
    pub(super) calls_before: usize,
    /// What it is asked until everybody has an answer.
    pub(super) calls_after: usize,
    /// The provider has rotated, and nobody has its answer.
    pub(super) is_lost: bool,
}

pub(super) const STEPS: [Step; 8] = [
    step("planned", false, 0, 1),
    step("claimed", true, 0, 1),
    step("connected", true, 0, 1),
    step("sending", true, 0, 1),
    // The second call is the one probe: it is a reuse, and says that the rotation is lost.
    Step { is_lost: true, ..step("answered", true, 1, 2) },
    step("journaled", true, 1, 1),
    step("committed", false, 1, 1),
    step("published", false, 1, 1),
];

/// The answer is in its file, and not in its place. Where others could only find it in Redis they find nothing: this is of
/// one machine.
pub(super) const WRITTEN: Step = step("written", true, 1, 1);

const fn step(point: &'static str, is_claimed: bool, calls_before: usize, calls_after: usize) -> Step {
    Step { point, is_claimed, calls_before, calls_after, is_lost: false }
}

/// Those steps at which the claim stands.
pub(super) fn claimed_steps() -> Vec<Step> {
    STEPS.into_iter().filter(|step| step.is_claimed).collect()
}

impl Step {
    /// `KEYHERD_CRASH_AT` for a process that is held there.
    pub(super) fn stall(&self) -> String {
        format!("{}:stall", self.point)
    }

    /// How long somebody waits who is to see that nobody acts in the owner's place; or, where none stands in the way, who
    /// is to have an answer.
    pub(super) fn patience(&self) -> &'static str {
        if self.is_claimed { "1" } else { "30" }
    }

    /// Whether the provider's answer is kept there.
    pub(super) fn is_kept(&self) -> bool {
        self.calls_before == self.calls_after
    }
}

pub(super) struct Stage {
    pub(super) sandbox: Sandbox,
    pub(super) provider: Provider,
}

impl Stage {
    /// `acme` is imported, and its access token ends so many seconds from now.
    pub(super) fn new(config: &str, left_seconds: i64) -> Self {
        let stage = Self { sandbox: Sandbox::new(), provider: Provider::new() };
        stage.sandbox.configure(config);
        stage.sandbox.import("acme", &stage.provider, &in_seconds(left_seconds));
        stage
    }

    /// Starts a command that dies or stalls where `crash_at` says.
    pub(super) fn owner(&self, args: &[&str], crash_at: &str) -> Running {
        Running::start(&self.sandbox, args, "", Some(crash_at))
    }

    /// Asks for a token, in that many processes at once.
    pub(super) fn tokens(&self, count: usize) -> Vec<Ran> {
        tokens(&self.sandbox, count)
    }

    /// While a claim's owner may live, nobody asks the provider in its place, however long they wait: here a second.
    pub(super) fn nobody_overtakes(&self, step: &Step) {
        let told = Told::from(&self.sandbox.token(&["acme", "--wait", step.patience()]));
        if step.is_claimed {
            assert_eq!((told, self.provider.calls()), (Told::NotYet, step.calls_before), "{step:?}");
        } else {
            assert_eq!((told, self.provider.calls()), (new_token(), step.calls_after), "{step:?}");
        }
    }

    /// Everything that has to hold when everybody has been told what they were told.
    pub(super) fn check(&self, step: &Step, told: &[Told]) {
        let outcome = if step.is_lost { Told::Lost } else { new_token() };
        assert!(told.iter().all(|told| *told == outcome), "{step:?}: {told:?}");
        self.check_counts(step);
        verify_audit(&self.sandbox);
        let shown = self.sandbox.run(&["--json", "cred", "show", "acme"]).ok().json();
        if step.is_lost {
            assert_eq!(shown["trouble"]["reason"], "rotation_lost", "{shown}");
            return;
        }
        assert_eq!(shown["generation"], 1, "{shown}");
        // The refresh token of that generation is there as well: the chain goes on.
        self.sandbox.run(&["cred", "refresh", "acme"]).ok();
        assert_eq!((self.provider.calls(), self.provider.reuse()), (step.calls_after + 1, 0), "{step:?}");
        let told = all(&self.tokens(1));
        assert_eq!(told, [Told::Token(access_token("acme", 2))], "{step:?}");
    }

    /// What the provider saw.
    pub(super) fn check_counts(&self, step: &Step) {
        let seen = (self.provider.calls(), self.provider.reuse());
        assert_eq!(seen, (step.calls_after, usize::from(step.is_lost)), "{step:?}");
    }

    /// The row of this case; taken before [`Self::check`], which goes on with the chain.
    pub(super) fn row(&self, step: &Step, death: &str, told: &[Told], took_over: Option<Duration>) -> Row {
        Row {
            place: Place::Sqlite,
            point: step.point,
            death: death.into(),
            callers: words(told, &access_token("acme", 0)),
            took_over,
            calls: self.provider.calls(),
            reuses: self.provider.reuse(),
        }
    }
}

/// The token that is imported.
pub(super) fn old_token() -> Told {
    Told::Token(access_token("acme", 0))
}

/// The token of the one rotation.
pub(super) fn new_token() -> Told {
    Told::Token(access_token("acme", 1))
}

/// Asks for a token, in that many processes at once.
pub(super) fn tokens(sandbox: &Sandbox, count: usize) -> Vec<Ran> {
    let started: Vec<_> = (0..count).map(|_| Running::token(sandbox)).collect();
    started.into_iter().map(Running::end).collect()
}

/// Checks the audit log, and that it has something to check.
pub(super) fn verify_audit(sandbox: &Sandbox) {
    let verified = sandbox.run(&["--json", "audit", "verify"]).ok().json();
    assert!(verified["entries"].as_u64().is_some_and(|entries| entries > 0), "{verified}");
}

/// How many files are in a folder of the data folder.
pub(super) fn files_in(sandbox: &Sandbox, folder: &str) -> usize {
    std::fs::read_dir(sandbox.data().join(folder)).map_or(0, Iterator::count)
}

/// Time passed since `then`, on the wall clock.
pub(super) fn since(then: jiff::Timestamp) -> Duration {
    crate::running::now().duration_since(then).unsigned_abs()
}
