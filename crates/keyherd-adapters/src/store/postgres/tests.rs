//! The store on a real PostgreSQL: the contract, births, and what only a fleet meets.

mod bed;
mod contract;
mod opening;
