//! The door on a real listener, with agents as bytes: what each is told, and what passes.

mod bed;
mod encrypted;
mod plain;
mod socks;
mod tunnels;
