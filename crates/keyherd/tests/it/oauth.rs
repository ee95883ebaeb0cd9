//! keyherd against an OAuth server that nobody here wrote: herds at expiry, lost answers, refusals.

mod crowd;
mod herd;
mod lost;
mod refused;
