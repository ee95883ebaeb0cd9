//! Named places where a test makes this process die or stall. Nothing at all without the `crash-points` feature.

/// Passes the named place.
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub(crate) fn point(_name: &'static str) {}

/// Passes the named place: dies there when `KEYHERD_CRASH_AT` is its name, stalls for ever when it is `NAME:stall`
/// (so that a test can stop or kill the process from outside), after saying so on standard error.
#[cfg(feature = "crash-points")]
#[expect(
    clippy::disallowed_methods,
    reason = "a test-only feature that must work in any process, wired or not"
)]
pub(crate) fn point(name: &'static str) {
    let Ok(wanted) = std::env::var("KEYHERD_CRASH_AT") else { return };
    if wanted == name {
        std::process::abort();
    }
    if wanted.strip_suffix(":stall") == Some(name) {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "crash point reached: {name}");
        loop {
            std::thread::park();
        }
    }
}
