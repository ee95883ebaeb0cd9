//! Which store: a SQLite file on this machine, or a fleet's PostgreSQL with or without Redis.
//!
//! Owns reading their URLs. None is ever repeated: they may hold passwords.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keyherd_adapters::coordinator::{BellOptions, FleetOptions, RedisPlace};
use keyherd_adapters::journal::CopyOptions;
use keyherd_adapters::postgres::{ClockOptions, Target, WireOptions};
use keyherd_adapters::store::sqlite::SqliteBounds;
use keyherd_adapters::store::{CrowdBounds, StoreBounds};

use super::file::FileSettings;
use super::{ConfigError, DATABASE_FILE, Environment, Flags, broker, fleet};

const DATABASE_URL: &str = "--database-url";
const LISTEN_URL: &str = "KEYHERD_LISTEN_URL";
const REDIS_URL: &str = "--redis-url";

/// Where the store is, and its bounds.
#[derive(Debug, Clone)]
pub(crate) enum StoreSettings {
    /// A file that the processes of one machine share.
    Sqlite(Box<SqliteSettings>),
    /// A database that the processes of many hosts share.
    Fleet(Box<FleetSettings>),
}

/// A SQLite file.
#[derive(Debug, Clone)]
pub(crate) struct SqliteSettings {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its bounds.
    pub(crate) bounds: SqliteBounds,
    /// How other processes' commits are heard of.
    pub(crate) bell: BellOptions,
}

/// A PostgreSQL, and perhaps a Redis.
#[derive(Debug, Clone)]
pub(crate) struct FleetSettings {
    /// The store.
    pub(crate) database: Target,
    /// Where LISTEN works.
    pub(crate) listen: Target,
    /// The coordinator, if there is one.
    pub(crate) redis: Option<RedisPlace>,
    /// Bounds of the connections to the store.
    pub(crate) wire: WireOptions,
    /// How the server's clock is followed.
    pub(crate) clock: ClockOptions,
    /// How long a claim lives unless it is renewed.
    pub(crate) claim_life: Duration,
    /// What is done together when it comes at once.
    pub(crate) crowds: CrowdBounds,
    /// How often imported profiles are read again, should the notice of a change be lost.
    pub(crate) profiles_every: Duration,
    /// How long an opening waits for another process that makes or upgrades the store.
    pub(crate) upgrade_timeout: Duration,
    /// Bounds of the store.
    pub(crate) bounds: StoreBounds,
    /// How processes hear of each other.
    pub(crate) coordination: FleetOptions,
    /// Copies of the journal in Redis.
    pub(crate) copies: CopyOptions,
}

/// Flag before environment before file before the file in the data folder.
pub(super) fn store(
    flags: &Flags,
    file: &FileSettings,
    environment: &Environment,
    (data, ca_bundle): (&Path, Option<&PathBuf>),
) -> Result<StoreSettings, ConfigError> {
    let given = |flag: Option<&String>, variable, file: &Option<String>| {
        let url = match flag {
            Some(url) => Some(url.clone()),
            None => environment.text(variable)?.or_else(|| file.clone()),
        };
        // A newline at its end would be taken for a part of the database's name.
        Ok::<_, ConfigError>(url.map(|url| url.trim().to_owned()))
    };
    let database = given(flags.database_url.as_ref(), "KEYHERD_DATABASE_URL", &file.database_url)?;
    let listen = given(None, LISTEN_URL, &file.listen_url)?;
    let redis = given(flags.redis_url.as_ref(), "KEYHERD_REDIS_URL", &file.redis_url)?;
    let database = match database {
        Some(url) if is_postgres(&url) => url,
        other => {
            refuse_a_fleet_of_files(listen.as_ref(), redis.as_ref())?;
            let path = other.map_or_else(|| Ok(data.join(DATABASE_FILE)), |url| sqlite_path(&url))?;
            let (bounds, bell) = (file.store.sqlite(), broker::bell(&file.broker));
            return Ok(StoreSettings::Sqlite(Box::new(SqliteSettings { path, bounds, bell })));
        }
    };
    let database = target(DATABASE_URL, &database, ca_bundle)?;
    let listen = listen.map(|url| target(LISTEN_URL, &url, ca_bundle)).transpose()?;
    Ok(StoreSettings::Fleet(Box::new(FleetSettings {
        listen: listen.unwrap_or_else(|| database.clone()),
        database,
        wire: file.postgres.wire(),
        clock: file.postgres.clock(),
        claim_life: claim_life(file)?,
        crowds: file.postgres.crowds(),
        profiles_every: file.postgres.profiles_every,
        upgrade_timeout: file.store.upgrade_timeout(),
        bounds: file.store.bounds(),
        coordination: fleet::coordination(&file.listen, &file.redis),
        copies: copies(file, redis.is_some())?,
        redis: redis.map(|url| redis_place(&url, ca_bundle)).transpose()?,
    })))
}

/// Core keeps an eighth of a claim's life as a margin, and a renewal comes after a third of it: between two renewals an
/// answer must fit.
fn claim_life(file: &FileSettings) -> Result<Duration, ConfigError> {
    let (life, answer) = (file.postgres.claim_life, file.refresh.provider_timeout);
    if life - life / 8 - life / 3 <= answer {
        let problem = format!(
            "{} s is too short for a provider's answer, which may take provider_timeout_seconds ({} s): make it twice as long",
            life.as_secs_f64(),
            answer.as_secs_f64()
        );
        return Err(ConfigError::Unfit { setting: "[postgres] claim_life_seconds", problem });
    }
    Ok(life)
}

/// Only where there is a Redis: elsewhere a longer journal contradicts nothing.
fn copies(file: &FileSettings, has_redis: bool) -> Result<CopyOptions, ConfigError> {
    let copies = file.redis.copies(file.refresh.owner_recovery);
    if has_redis && copies.kept <= file.journal.keep {
        let problem = format!(
            "{} s is no longer than [journal] keep_seconds ({} s): a store that lost commits is rolled forward from either",
            copies.kept.as_secs_f64(),
            file.journal.keep.as_secs_f64()
        );
        return Err(ConfigError::Unfit { setting: "[redis] copies_keep_seconds", problem });
    }
    Ok(copies)
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// What would not be used must not be passed over in silence.
fn refuse_a_fleet_of_files(listen: Option<&String>, redis: Option<&String>) -> Result<(), ConfigError> {
    let setting = match (listen, redis) {
        (_, Some(_)) => REDIS_URL,
        (Some(_), None) => LISTEN_URL,
        (None, None) => return Ok(()),
    };
    let problem = "is for a fleet, whose store is PostgreSQL: name it with --database-url postgres://…, or leave this out";
    Err(ConfigError::Unfit { setting, problem: problem.into() })
}

fn target(setting: &'static str, url: &str, ca_bundle: Option<&PathBuf>) -> Result<Target, ConfigError> {
    if !is_postgres(url) {
        let problem = "is no PostgreSQL URL: use postgres://user@host:5432/database".into();
        return Err(ConfigError::Unfit { setting, problem });
    }
    let unfit = |error: keyherd_adapters::postgres::BadTarget| ConfigError::Unfit {
        setting,
        problem: format!("{error}: use postgres://user@host:5432/database"),
    };
    Target::parse(url, ca_bundle.cloned()).map_err(unfit)
}

fn redis_place(url: &str, ca_bundle: Option<&PathBuf>) -> Result<RedisPlace, ConfigError> {
    let ca_bundle = ca_bundle.map(PathBuf::as_path);
    RedisPlace::parse(url, ca_bundle).map_err(|error| ConfigError::Unfit {
        setting: REDIS_URL,
        problem: format!("{error}: use redis://host:6379, or rediss://host:6379 for TLS"),
    })
}

/// `sqlite:PATH` or `sqlite://PATH`. The URL itself is not shown: another scheme's may hold a password.
fn sqlite_path(url: &str) -> Result<PathBuf, ConfigError> {
    let unfit = |problem: &str| ConfigError::Unfit { setting: DATABASE_URL, problem: problem.into() };
    let path = url
        .strip_prefix("sqlite:")
        .ok_or_else(|| unfit("is no store's URL: use sqlite:PATH or postgres://user@host:5432/database"))?;
    let path = path.strip_prefix("//").unwrap_or(path);
    match path {
        "" => Err(unfit("names no file: use sqlite:PATH")),
        memory if memory.starts_with(":memory:") => {
            Err(unfit("a store in memory would be lost with the process: use sqlite:PATH"))
        }
        path if path.contains('?') => Err(unfit("takes no options: use sqlite:PATH")),
        path => Ok(path.into()),
    }
}

impl SqliteSettings {
    /// Only the data folder is ever made: a store elsewhere is somebody's decision, and a missing folder a slip of the pen.
    pub(crate) fn check_folder(&self) -> Result<(), ConfigError> {
        let folder = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        match folder {
            Some(folder) if !folder.is_dir() => Err(ConfigError::Unfit {
                setting: DATABASE_URL,
                problem: format!("the folder {} is missing: make it, or name another file", folder.display()),
            }),
            _ => Ok(()),
        }
    }
}
