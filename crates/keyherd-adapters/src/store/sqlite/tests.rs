//! The contract on SQLite, and what only files and processes can do wrong.

mod access;
mod bed;
mod broken;
mod channels;
mod contract;
mod keys;
mod opening;
mod plans;
mod processes;
mod secrets;
mod tampering;
mod trimming;
