//! Named places where a test makes this process die or stall. Nothing at all without the `crash-points` feature.

/// Passes the named place.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// Passes the named place: dies there when `KEYHERD_CRASH_AT` is its name, stalls for ever when it is `NAME:stall`
/// (so that a test can stop or kill the process from outside), and until a file is there when it is `NAME:until:FILE`
/// (so that it can go on when what a test does meanwhile is done), after saying so on standard error.
#[cfg(feature = "crash-points")]
#[expect(
    clippy::disallowed_methods,
    reason = "a test-only feature that must work in any process, wired or not"
)]
pub fn point(name: &'static str) {
    let Ok(wanted) = std::env::var("KEYHERD_CRASH_AT") else { return };
    if wanted == name {
        std::process::abort();
    }
    let Some(held) = wanted.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) else { return };
    let file = held.strip_prefix("until:").map(std::path::Path::new);
    if held == "stall" || file.is_some() {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "crash point reached: {name}");
        while !file.is_some_and(std::path::Path::exists) {
            std::thread::park_timeout(LOOK);
        }
    }
}

/// How often the file is looked for.
#[cfg(feature = "crash-points")]
const LOOK: std::time::Duration = std::time::Duration::from_millis(2);
