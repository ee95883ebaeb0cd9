//! Many hosts on one store: what one does the others know, and what happens when a part of it fails.
//!
//! Each host is a data folder of its own; what lies in it is a host's own.

mod failing;
mod keys;
mod notices;
mod passwords;
mod pooled;
mod profiles;
mod wrong;
