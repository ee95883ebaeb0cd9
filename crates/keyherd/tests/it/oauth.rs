//! keyherd against an OAuth server that nobody here wrote: herds at expiry, lost answers, refusals, logins.

mod crowd;
mod herd;
mod login;
mod lost;
mod refused;
