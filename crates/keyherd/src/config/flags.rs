//! The settings that may be given on the command line.

use std::path::PathBuf;

use clap::Args;

/// Where things are: for every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Flags {
    /// The data folder: store, journal, keys, provider profiles [env: KEYHERD_DATA]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Settings")]
    pub(crate) data: Option<PathBuf>,
    /// The configuration file; default: keyherd.toml in the data folder, where there is one [env: KEYHERD_CONFIG]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    pub(crate) config: Option<PathBuf>,
    /// The store: sqlite:PATH, or postgres://user@host:5432/database for a fleet; default: keyherd.db in the data folder. A
    /// password belongs in the environment: arguments are seen by everyone on the machine [env: KEYHERD_DATABASE_URL; and
    /// KEYHERD_LISTEN_URL, where LISTEN works, if the store is behind a transaction pooler]
    #[arg(long, value_name = "URL", global = true, help_heading = "Settings")]
    pub(crate) database_url: Option<String>,
    /// The file with the master key (mode 0600); default: master.key in the data folder [env:
    /// KEYHERD_MASTER_KEY_FILE; or the key itself, in base64, in KEYHERD_MASTER_KEY]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    pub(crate) master_key_file: Option<PathBuf>,
    /// More root certificates to trust towards providers, in PEM [env: KEYHERD_CA_BUNDLE]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Settings")]
    pub(crate) ca_bundle: Option<PathBuf>,
    /// A fleet's coordinator beside PostgreSQL: redis://host:6379, or rediss:// for TLS; default: none [env:
    /// KEYHERD_REDIS_URL]
    #[arg(long, value_name = "URL", global = true, help_heading = "Settings")]
    pub(crate) redis_url: Option<String>,
    /// A server that runs the verbs instead, such as `https://keyherd.example:8484`, with its bearer in KEYHERD_TOKEN; this
    /// machine then needs no store, no key and no data folder [env: KEYHERD_SERVER]
    #[arg(long, value_name = "URL", global = true, help_heading = "Settings")]
    pub(crate) server: Option<String>,
}

/// Where to listen: for `serve` and `demo`.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ListenFlags {
    /// Where the API listens; default: 127.0.0.1:8484 [env: KEYHERD_API]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) api: Option<String>,
    /// The API's certificate chain in PEM; required off loopback [env: KEYHERD_TLS_CERT]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The certificate's private key in PEM [env: KEYHERD_TLS_KEY]
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Where the forward proxy listens; off: nowhere; default: 127.0.0.1:8485 [env: KEYHERD_PROXY]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) proxy: Option<String>,
}
