//! `[api]` and `[api.limits]`: where the REST door is, its certificate, and its bounds.

use std::path::PathBuf;
use std::time::Duration;

use keyherd_api::{ApiLimits, Hosts};
use serde::Deserialize;

use super::file::FileSettings;
use super::number::{count, seconds};
use super::proxy::{self, OFF};
use super::{ConfigError, Environment, ListenFlags};

/// Where the API listens unless it is told otherwise.
const LISTEN: &str = "127.0.0.1:8484";

/// `[api]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ApiKeys {
    listen: Option<String>,
    hosts: Vec<String>,
    #[serde(with = "LimitsKeys")]
    limits: ApiLimits,
}

/// `[api.limits]`: the keys of [`ApiLimits`]. What is left out is as in its default; a bound without a key does not
/// compile.
#[derive(Deserialize)]
#[serde(remote = "ApiLimits", default = "ApiLimits::default", deny_unknown_fields)]
struct LimitsKeys {
    #[serde(rename = "body_bytes_max", deserialize_with = "count::<_, _, 1_024, 1_073_741_824>")]
    body_len_max: usize,
    #[serde(rename = "head_bytes_max", deserialize_with = "count::<_, _, 8_192, 1_048_576>")]
    head_len_max: usize,
    #[serde(deserialize_with = "count::<_, _, 10, 1_000>")]
    headers_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    connections_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    backlog_max: u32,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    streams_max: u32,
    #[serde(rename = "header_timeout_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    header_timeout: Duration,
    #[serde(rename = "request_timeout_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    request_timeout: Duration,
    #[serde(rename = "write_timeout_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    write_timeout: Duration,
    #[serde(rename = "verify_timeout_seconds", deserialize_with = "seconds::<_, 100, 86_400_000>")]
    verify_timeout: Duration,
    #[serde(rename = "drain_timeout_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    drain_timeout: Duration,
    #[serde(rename = "wait_max_seconds", deserialize_with = "seconds::<_, 1_000, 300_000>")]
    wait_max: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    changes_max: usize,
    #[serde(deserialize_with = "count::<_, _, 1, 1_000_000>")]
    events_max: usize,
    #[serde(rename = "events_keep_alive_seconds", deserialize_with = "seconds::<_, 100, 3_600_000>")]
    events_keep_alive: Duration,
    #[serde(rename = "readiness_age_max_seconds", deserialize_with = "seconds::<_, 1, 60_000>")]
    readiness_age_max: Duration,
    #[serde(rename = "readiness_timeout_seconds", deserialize_with = "seconds::<_, 10, 60_000>")]
    readiness_timeout: Duration,
    #[serde(rename = "gauges_age_max_seconds", deserialize_with = "seconds::<_, 10, 3_600_000>")]
    gauges_age_max: Duration,
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    sessions_max: usize,
    #[serde(rename = "session_idle_seconds", deserialize_with = "seconds::<_, 10_000, 31_536_000_000>")]
    session_idle: Duration,
    #[serde(rename = "session_life_seconds", deserialize_with = "seconds::<_, 10_000, 31_536_000_000>")]
    session_life: Duration,
}

/// The API's settings, resolved.
#[derive(Debug, Clone)]
pub(crate) struct ApiSettings {
    /// `ADDRESS:PORT`; the address may be a name.
    pub(crate) listen: String,
    /// The same for the proxy; `None`: there is none.
    pub(crate) proxy: Option<ProxyPlace>,
    /// Certificate and key.
    pub(crate) tls: Option<TlsFiles>,
    /// Names it answers to, beside its own.
    pub(crate) hosts: Hosts,
    /// Its bounds.
    pub(crate) limits: ApiLimits,
}

/// Where the proxy listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProxyPlace {
    /// `ADDRESS:PORT`; the address may be a name.
    pub(crate) listen: String,
    /// Nobody chose it: where somebody else is there already, there is no proxy.
    pub(crate) is_default: bool,
}

impl ProxyPlace {
    fn of(listen: Option<String>) -> Option<Self> {
        match listen {
            Some(word) if word == OFF => None,
            Some(listen) => Some(Self { listen, is_default: false }),
            None => Some(Self { listen: proxy::LISTEN.to_owned(), is_default: true }),
        }
    }
}

/// A server's certificate chain and its private key, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The chain, the server's own first.
    pub(crate) cert: PathBuf,
    /// The key.
    pub(crate) key: PathBuf,
}

/// What the file says of listening, kept until a command wants to listen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listening {
    api: ApiKeys,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    proxy: Option<String>,
}

impl Listening {
    pub(super) fn of(file: &FileSettings) -> Self {
        Self {
            api: file.api.clone(),
            tls_cert: file.tls_cert.clone(),
            tls_key: file.tls_key.clone(),
            proxy: file.proxy.listen.clone(),
        }
    }

    /// Flag before environment before file.
    pub(crate) fn resolve(
        &self,
        flags: &ListenFlags,
        environment: &Environment,
    ) -> Result<ApiSettings, ConfigError> {
        let proxy = match &flags.proxy {
            Some(proxy) => Some(proxy.clone()),
            None => environment.text("KEYHERD_PROXY")?.or_else(|| self.proxy.clone()),
        };
        let listen = match &flags.api {
            Some(listen) => Some(listen.clone()),
            None => environment.text("KEYHERD_API")?.or_else(|| self.api.listen.clone()),
        };
        let name = |flag: &Option<String>, variable, named: [&'static str; 3]| {
            let [by_flag, by_variable, of_file] = named;
            match (flag, environment.text(variable)) {
                (Some(_), _) => by_flag,
                (None, Ok(None)) => of_file,
                (None, _) => by_variable,
            }
        };
        let api = name(&flags.api, "KEYHERD_API", ["--api", "KEYHERD_API", "[api] listen"]);
        let forward = name(&flags.proxy, "KEYHERD_PROXY", ["--proxy", "KEYHERD_PROXY", "[proxy] listen"]);
        for (setting, place) in [(api, &listen), (forward, &proxy)] {
            place
                .as_deref()
                .filter(|place| *place != OFF)
                .map_or(Ok(()), |place| check_place(setting, place))?;
        }
        let given = |flag: &Option<PathBuf>, variable, file: &Option<PathBuf>| {
            flag.clone().or_else(|| environment.path(variable)).or_else(|| file.clone())
        };
        let cert = given(&flags.tls_cert, "KEYHERD_TLS_CERT", &self.tls_cert);
        let key = given(&flags.tls_key, "KEYHERD_TLS_KEY", &self.tls_key);
        Ok(ApiSettings {
            listen: listen.unwrap_or_else(|| LISTEN.to_owned()),
            proxy: ProxyPlace::of(proxy),
            tls: tls(cert, key)?,
            hosts: self.hosts()?,
            limits: self.api.limits.clone(),
        })
    }

    fn hosts(&self) -> Result<Hosts, ConfigError> {
        let unfit = |problem: String| ConfigError::Unfit { setting: "[api] hosts", problem };
        Hosts::new(self.api.hosts.iter().map(String::as_str)).map_err(|error| unfit(error.to_string()))
    }
}

/// What is no place to listen at all is a mistake of the call; whether it can be had, the system says.
fn check_place(setting: &'static str, place: &str) -> Result<(), ConfigError> {
    let is_place = place
        .rsplit_once(':')
        .is_some_and(|(address, port)| !address.is_empty() && port.parse::<u16>().is_ok());
    if is_place {
        return Ok(());
    }
    let problem = "is no place to listen: write it as ADDRESS:PORT, such as 127.0.0.1:8484".into();
    Err(ConfigError::Unfit { setting, problem })
}

fn tls(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    let alone = |setting, other| ConfigError::Unfit { setting, problem: format!("needs {other} with it") };
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (Some(_), None) => Err(alone("--tls-cert", "--tls-key")),
        (None, Some(_)) => Err(alone("--tls-key", "--tls-cert")),
        (None, None) => Ok(None),
    }
}
