//! Real servers for tests and benches: private instances on free ports of the loopback, gone with the process that
//! started them.
//!
//! Owns starting, waiting until ready, killing and clearing away. Behind the feature `test-servers`: never part of the
//! binary. Needs the Debian packages postgresql, redis-server, pgbouncer and util-linux; `scripts/test` installs them.

mod folder;
mod pgbouncer;
mod postgres;
mod process;
mod redis;

use std::io;
use std::path::PathBuf;

pub use self::pgbouncer::PrivatePgBouncer;
pub use self::postgres::{PostgresOptions, PrivatePostgres};
pub use self::redis::{PrivateRedis, RedisOptions};

/// A server's certificate and its key, as PEM files.
#[derive(Debug, Clone)]
pub struct ServerCertificate {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The password of every private server that asks for one.
pub const PASSWORD: &str = "of-a-private-server";

/// How often a start is tried again: with another port, or until what a killed server left is gone.
const ATTEMPTS_MAX: usize = 20;

fn retry<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut last = io::Error::other("never tried");
    for _ in 0..ATTEMPTS_MAX {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests;
