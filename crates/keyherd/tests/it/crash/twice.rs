//! The one who takes over dies as well. Nothing is sent a second time for that, but for the probe that is due when its
//! rest is over.

use super::report::{Row, play_all};
use super::stage::{Stage, Step, new_token, verify_audit};
use super::tally::{Told, all};
use crate::sandbox::until;

/// The rest after a probe whose outcome is unknown too, but long enough to be seen.
const CONFIG: &str = "[background]\nenabled = false\n[refresh]\nforced_apart_seconds = 0.01\n\
     uncertain_backoff_first_seconds = 8\n";
const CALLERS: usize = 4;
const LANES: usize = 2;

/// Where the first one dies, where the one who takes over dies, and what follows.
struct Case {
    first: &'static str,
    second: &'static str,
    /// The provider's calls when both are dead, and in the end.
    calls: (usize, usize),
    /// Whether the second one's answer, or the first one's, is kept.
    is_kept: bool,
    is_lost: bool,
}

#[test]
fn whoever_takes_over_dies_too() {
    let case = |first, second, calls, is_kept, is_lost| Case { first, second, calls, is_kept, is_lost };
    let cases = [
        case("planned", "answered", (1, 2), false, true),
        case("claimed", "claimed", (0, 1), false, false),
        case("claimed", "connected", (0, 1), false, false),
        case("claimed", "answered", (1, 2), false, true),
        case("claimed", "journaled", (1, 1), true, false),
        case("journaled", "published", (1, 1), true, false),
    ];
    let title = "A command dies, and so does the one who takes over; the token has ended";
    play_all("8-twice.md", title, LANES, &cases, play);
}

fn play(case: &Case) -> Row {
    let stage = Stage::new(CONFIG, 0);
    for point in [case.first, case.second] {
        assert_eq!(stage.owner(&["token", "acme"], point).end().code, -1, "{point}");
        verify_audit(&stage.sandbox);
    }
    assert_eq!(stage.provider.calls(), case.calls.0);
    let mut told = all(&stage.tokens(CALLERS));
    let is_probe = case.first != "planned" && !case.is_kept;
    if is_probe {
        // The outcome of a probe is unknown: its rest comes first, and everybody is told so.
        assert!(told.iter().all(|told| *told == Told::Uncertain), "{told:?}");
        assert_eq!(stage.provider.calls(), case.calls.0, "nothing is replayed");
        until("the rest is over", || Told::from(&stage.sandbox.token(&["acme"])) != Told::Uncertain);
        told = all(&stage.tokens(CALLERS));
    }
    let outcome = if case.is_lost { Told::Lost } else { new_token() };
    assert!(told.iter().all(|told| *told == outcome), "{told:?}");
    let step = Step {
        point: case.first,
        is_claimed: true,
        calls_before: case.calls.0,
        calls_after: case.calls.1,
        is_lost: case.is_lost,
    };
    let rest = if is_probe { "; `uncertain` for its rest" } else { "" };
    let row = stage.row(&step, &format!("abort, then abort at `{}`{rest}", case.second), &told, None);
    stage.check(&step, &told);
    row
}
