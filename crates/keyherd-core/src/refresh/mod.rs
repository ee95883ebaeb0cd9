//! When to refresh, and what an answer means: pure decisions over a chain's row.
//!
//! [`plan()`] looks at a row and says what to do next; [`settlement()`] turns what happened into the row's next state;
//! [`due_at()`] says when the background looks again. Never awaits, never reads a clock.

mod backoff;
mod breaker;
mod due;
mod outcome;
mod plan;
mod policy;
#[cfg(test)]
mod samples;

pub use self::backoff::{doubling, jittered};
pub use self::breaker::{Breaker, Pace};
pub use self::due::due_at;
pub use self::outcome::{Happened, Settlement, merge, settlement};
pub use self::plan::{Plan, Refusal, plan};
pub use self::policy::{Ask, Policy, RefreshBounds, Rules};
