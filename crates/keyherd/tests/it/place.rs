//! Where a store is, for tests that must hold wherever it is: a file, a PostgreSQL, and that with a Redis beside it.
//!
//! Owns the servers that the tests of this process share. Never kills one: a test that does starts its own.

use std::sync::OnceLock;

use keyherd_adapters::testing::{PrivatePostgres, PrivateRedis, RedisOptions};

use crate::sandbox::Sandbox;

/// A kind of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A file in the data folder.
    Sqlite,
    /// A database of its own.
    Postgres,
    /// The same, and a Redis.
    PostgresAndRedis,
}

impl Place {
    /// An empty store of this kind, and the first host that works on it.
    pub(crate) fn sandbox(self) -> Sandbox {
        let sandbox = Sandbox::new();
        if self != Self::Sqlite {
            let database = PrivatePostgres::shared().unwrap().database().unwrap();
            sandbox.set("KEYHERD_DATABASE_URL", &database);
        }
        if self == Self::PostgresAndRedis {
            sandbox.set("KEYHERD_REDIS_URL", &redis().url());
        }
        sandbox
    }
}

/// Installations do not meet in it.
pub(crate) fn redis() -> &'static PrivateRedis {
    static SHARED: OnceLock<PrivateRedis> = OnceLock::new();
    SHARED.get_or_init(|| PrivateRedis::start(RedisOptions::default()).unwrap())
}

/// A test of each function, which takes a [`Place`], for each of them.
macro_rules! everywhere {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test] fn $test() { super::$test(crate::place::Place::Sqlite); })+
        }
        mod postgres {
            $(#[test] fn $test() { super::$test(crate::place::Place::Postgres); })+
        }
        mod postgres_and_redis {
            $(#[test] fn $test() { super::$test(crate::place::Place::PostgresAndRedis); })+
        }
    };
}
pub(crate) use everywhere;
