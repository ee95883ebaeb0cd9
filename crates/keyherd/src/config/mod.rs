//! Settings: flag before environment before file before default; one file per section.
//!
//! Owns what every setting is called, its bounds and its default. Never opens a store.

mod access;
mod api;
mod approvals;
mod background;
mod broker;
mod channels;
mod command;
mod cooldown;
mod database;
mod environment;
mod error;
mod file;
mod flags;
mod fleet;
mod log;
mod number;
mod places;
mod proxy;
mod refresh;
mod serve;
mod server;
mod store;
mod upstream;

use std::path::{Path, PathBuf};

use keyherd_adapters::provider::EgressProxy;
use keyherd_adapters::seal::KeySource;
use keyherd_core::broker::Options;
use keyherd_proxy::ExchangeLimits;

pub(crate) use self::api::{ApiSettings, Listening, ProxyPlace, TlsFiles};
pub(crate) use self::command::CommandBounds;
pub(crate) use self::database::{FleetSettings, SqliteSettings, StoreSettings};
pub(crate) use self::environment::Environment;
pub(crate) use self::error::ConfigError;
use self::file::FileSettings;
pub(crate) use self::flags::{Flags, ListenFlags};
pub(crate) use self::log::{LogFormat, LogSettings};
pub(crate) use self::proxy::ProxySettings;
pub(crate) use self::serve::ServeBounds;
pub(crate) use self::server::{ServerBounds, ServerSettings};

/// The store's file in the data folder, unless it is told otherwise.
pub(crate) const DATABASE_FILE: &str = "keyherd.db";

/// Everything that can be set, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The data folder. Not made yet: see [`Settings::prepare_data`].
    pub(crate) data: PathBuf,
    /// A server that runs the verbs instead of this process.
    pub(crate) server: Option<ServerSettings>,
    /// The store, and how its processes hear of each other.
    pub(crate) store: StoreSettings,
    /// Where the master keys are.
    pub(crate) master_key: KeySource,
    /// More roots towards providers.
    pub(crate) ca_bundle: Option<PathBuf>,
    /// The way out to providers, where there is no direct one.
    pub(crate) egress_proxy: Option<EgressProxy>,
    /// The broker's bounds.
    pub(crate) options: Options,
    /// What a server takes of its machine.
    pub(crate) serve: ServeBounds,
    /// For commands that listen.
    pub(crate) listening: Listening,
    /// What goes to standard error.
    pub(crate) log: LogSettings,
    /// One command's bounds.
    pub(crate) command: CommandBounds,
    /// Bounds of exchanges with upstreams.
    pub(crate) upstream: ExchangeLimits,
    /// Bounds of the forward proxy.
    pub(crate) proxy: ProxySettings,
}

impl Settings {
    /// Resolves all settings. Reads the environment it is given and the configuration file; changes nothing.
    pub(crate) fn load(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        Self::resolve(flags, environment).map_err(|error| blamed(error, flags, environment))
    }

    fn resolve(flags: &Flags, environment: &Environment) -> Result<Self, ConfigError> {
        let data = flags.data.clone().or_else(|| environment.path("KEYHERD_DATA"));
        let file = configured(flags, data.as_deref(), environment)?;
        let ca_bundle = flags
            .ca_bundle
            .clone()
            .or_else(|| environment.path("KEYHERD_CA_BUNDLE"))
            .or_else(|| file.ca_bundle.clone());
        let server = server::server(flags, &file, environment, ca_bundle.as_ref())?;
        let data = match data.or_else(|| file.data.clone()) {
            Some(data) => data,
            // A machine without a store needs no place for one.
            None if server.is_some() => places::default_data(environment).unwrap_or_default(),
            None => places::default_data(environment)?,
        };
        Ok(Self {
            server,
            store: database::store(flags, &file, environment, (&data, ca_bundle.as_ref()))?,
            master_key: master_key(flags, &file, environment, &data)?,
            egress_proxy: egress_proxy(&file, environment)?,
            serve: file.serve,
            listening: Listening::of(&file),
            options: broker::options(
                file.refresh,
                file.cooldown,
                file.background,
                &file.access,
                &file.broker,
                &file.journal,
                (file.approvals.clone(), &file.rules, file.channels.clone()),
            ),
            ca_bundle,
            log: log_settings(file.log, environment)?,
            command: file.command,
            upstream: file.upstream,
            proxy: file.proxy.bounds(),
            data,
        })
    }

    /// Makes the data folder where it is missing, and refuses one that others may write.
    pub(crate) fn prepare_data(&self) -> Result<(), ConfigError> {
        places::prepare(&self.data)
    }
}

/// What nobody gave as a flag or in the environment stands in the file, and is called as it is there.
fn blamed(error: ConfigError, flags: &Flags, environment: &Environment) -> ConfigError {
    let ConfigError::Unfit { setting, problem } = error else { return error };
    let (flag, variable, of_file) = match setting {
        "--database-url" => {
            (&flags.database_url, "KEYHERD_DATABASE_URL", "database_url in the configuration file")
        }
        "--redis-url" => (&flags.redis_url, "KEYHERD_REDIS_URL", "redis_url in the configuration file"),
        "--server" => (&flags.server, "KEYHERD_SERVER", "server in the configuration file"),
        _ => return ConfigError::Unfit { setting, problem },
    };
    let is_of_file = flag.is_none() && matches!(environment.text(variable), Ok(None));
    ConfigError::Unfit { setting: if is_of_file { of_file } else { setting }, problem }
}

/// The file that was named, or the one in the data folder, if it has one.
fn configured(
    flags: &Flags,
    data: Option<&Path>,
    environment: &Environment,
) -> Result<FileSettings, ConfigError> {
    if let Some(path) = flags.config.clone().or_else(|| environment.path("KEYHERD_CONFIG")) {
        return file::read(&path);
    }
    let data = match data {
        Some(data) => data.to_owned(),
        // Without a home there is no such file; whether there must be one is decided later.
        None => match places::default_data(environment) {
            Ok(data) => data,
            Err(_) => return Ok(FileSettings::default()),
        },
    };
    Ok(file::read_if_any(&data.join("keyherd.toml"))?.unwrap_or_default())
}

/// A file that was named on the command line wins over a key in the environment, which wins over other files.
fn master_key(
    flags: &Flags,
    file: &FileSettings,
    environment: &Environment,
    data: &Path,
) -> Result<KeySource, ConfigError> {
    if let Some(path) = &flags.master_key_file {
        return Ok(KeySource::File(path.clone()));
    }
    let (text, path) =
        (environment.secret("KEYHERD_MASTER_KEY")?, environment.path("KEYHERD_MASTER_KEY_FILE"));
    match (text, path) {
        (Some(_), Some(_)) => Err(ConfigError::Variable {
            name: "KEYHERD_MASTER_KEY",
            problem: "and KEYHERD_MASTER_KEY_FILE are both set: keep one of them".into(),
        }),
        (Some(text), None) => Ok(KeySource::Text(text)),
        (None, Some(path)) => Ok(KeySource::File(path)),
        (None, None) => {
            let path = file.master_key_file.clone().unwrap_or_else(|| data.join("master.key"));
            Ok(KeySource::File(path))
        }
    }
}

/// Its password, if it has one, is in no error.
fn egress_proxy(file: &FileSettings, environment: &Environment) -> Result<Option<EgressProxy>, ConfigError> {
    let text = environment.text("KEYHERD_EGRESS_PROXY")?.or_else(|| file.egress_proxy.clone());
    let unfit = |problem: String| ConfigError::Unfit { setting: "egress_proxy", problem };
    text.map(|text| EgressProxy::parse(&text)).transpose().map_err(|error| unfit(error.to_string()))
}

fn log_settings(file: LogSettings, environment: &Environment) -> Result<LogSettings, ConfigError> {
    let level = environment.text("KEYHERD_LOG")?.unwrap_or(file.level);
    Ok(LogSettings { level, ..file })
}

#[cfg(test)]
mod tests;
