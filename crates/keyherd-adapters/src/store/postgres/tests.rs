//! The store on a real PostgreSQL: the contract, births and upgrades, and what only a fleet meets.

mod access;
mod bed;
mod broken;
mod channels;
mod contract;
mod counted;
mod crowds;
mod keys;
mod late;
mod namespace;
mod opening;
mod plans;
mod pooled;
mod races;
mod retries;
mod tampering;
mod trimming;
mod trips;
mod upgrading;
