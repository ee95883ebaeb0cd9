//! Coordinators: waking others after a commit. A hint only; the store decides.

mod bell;

pub use self::bell::{Bell, BellOptions, Pulse};
