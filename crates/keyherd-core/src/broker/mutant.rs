//! One named mistake of the engine that no port can make, switched on by a test. Nothing at all without the `mutants`
//! feature.

#[cfg(feature = "mutants")]
use std::cell::Cell;

use crate::ids::ChainId;
use crate::refresh::Ask;

/// What a flight is named by: its chain, and nothing else.
pub(super) type FlightKey = (ChainId, u64);

/// The key of the flight that a caller boards.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(super) fn flight_key(chain: ChainId, _ask: &Ask) -> FlightKey {
    (chain, 0)
}

#[cfg(feature = "mutants")]
thread_local! {
    static WINDOW_IN_KEY: Cell<bool> = const { Cell::new(false) };
}

/// The mistake: callers with different windows do not share a flight. For this thread, from now on.
#[cfg(feature = "mutants")]
pub fn set_window_in_key(mistaken: bool) {
    WINDOW_IN_KEY.set(mistaken);
}

#[cfg(feature = "mutants")]
pub(super) fn flight_key(chain: ChainId, ask: &Ask) -> FlightKey {
    let window = ask.min_valid.map_or(0, |window| 1 + u64::try_from(window.as_millis()).unwrap_or(0));
    (chain, if WINDOW_IN_KEY.get() { window } else { 0 })
}
