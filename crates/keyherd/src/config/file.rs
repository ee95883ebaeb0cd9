//! The configuration file: TOML, unknown keys refused, errors with file, line and key.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use keyherd_api::documents::plain;
use keyherd_core::approval::ApprovalBounds;
use keyherd_core::broker::BackgroundBounds;
use keyherd_core::channel::ChannelBounds;
use keyherd_core::refresh::RefreshBounds;
use keyherd_core::upstream::CooldownBounds;
use keyherd_proxy::ExchangeLimits;
use serde::Deserialize;

use super::ConfigError;
use super::access::AccessKeys;
use super::api::ApiKeys;
use super::approvals::{ApprovalKeys, RuleKeys};
use super::background::BackgroundKeys;
use super::broker::{BrokerKeys, JournalKeys};
use super::channels::ChannelKeys;
use super::command::CommandBounds;
use super::cooldown::CooldownKeys;
use super::fleet::{self, ListenKeys, PostgresKeys, RedisKeys};
use super::log::LogSettings;
use super::proxy::ProxyKeys;
use super::refresh::RefreshKeys;
use super::serve::ServeBounds;
use super::server::ServerBounds;
use super::store::StoreKeys;
use super::upstream::UpstreamKeys;
use super::{cooldown, refresh};

/// The largest configuration file, in bytes.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// What the file says. What is left out is as in the defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FileSettings {
    pub(super) data: Option<PathBuf>,
    pub(super) database_url: Option<String>,
    pub(super) listen_url: Option<String>,
    pub(super) redis_url: Option<String>,
    pub(super) master_key_file: Option<PathBuf>,
    pub(super) server: Option<String>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) ca_bundle: Option<PathBuf>,
    pub(super) egress_proxy: Option<String>,
    #[serde(with = "RefreshKeys")]
    pub(super) refresh: RefreshBounds,
    #[serde(with = "CooldownKeys")]
    pub(super) cooldown: CooldownBounds,
    #[serde(with = "BackgroundKeys")]
    pub(super) background: BackgroundBounds,
    pub(super) access: AccessKeys,
    pub(super) broker: BrokerKeys,
    pub(super) journal: JournalKeys,
    pub(super) store: StoreKeys,
    pub(super) postgres: PostgresKeys,
    pub(super) listen: ListenKeys,
    pub(super) redis: RedisKeys,
    pub(super) serve: ServeBounds,
    pub(super) api: ApiKeys,
    pub(super) log: LogSettings,
    pub(super) command: CommandBounds,
    pub(super) client: ServerBounds,
    // Rules and approvals.
    #[serde(with = "ApprovalKeys")]
    pub(super) approvals: ApprovalBounds,
    pub(super) rules: RuleKeys,
    // Channels.
    #[serde(with = "ChannelKeys")]
    pub(super) channels: ChannelBounds,
    #[serde(with = "UpstreamKeys")]
    pub(super) upstream: ExchangeLimits,
    // The forward proxy.
    pub(super) proxy: ProxyKeys,
}

/// Reads a file that was named: it must be there.
pub(super) fn read(path: &Path) -> Result<FileSettings, ConfigError> {
    read_if_any(path)?.ok_or_else(|| ConfigError::FileMissing { path: path.into() })
}

/// Reads a file that need not be there.
pub(super) fn read_if_any(path: &Path) -> Result<Option<FileSettings>, ConfigError> {
    let unreadable = |problem: String| ConfigError::FileUnreadable { path: path.into(), problem };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| unreadable(error.to_string()))?,
    };
    let mut text = String::new();
    let read = file.take(FILE_LEN_MAX + 1).read_to_string(&mut text);
    match read.map_err(|error| unreadable(error.to_string()))? {
        len if len as u64 > FILE_LEN_MAX => {
            Err(unreadable(format!("it is longer than {FILE_LEN_MAX} bytes")))
        }
        _ => parse(&text, path).map(Some),
    }
}

/// Reads a text; `path` is what errors call it.
pub(super) fn parse(text: &str, path: &Path) -> Result<FileSettings, ConfigError> {
    let wrong = |line: Option<usize>, key: Option<&str>, problem: String| ConfigError::FileWrong {
        place: place(path, line, key),
        problem,
    };
    let settings: FileSettings = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_at(text, span.start));
        let key = line.and_then(|line| key_on(text, line));
        wrong(line, key, problem(error.message()))
    })?;
    let wrong_bound = refresh::contradiction(&settings.refresh)
        .or_else(|| cooldown::contradiction(&settings.cooldown))
        .or_else(|| fleet::contradiction(&settings.redis));
    match wrong_bound {
        Some((key, why)) => Err(wrong(line_of(text, key), Some(key), why.into())),
        None => Ok(settings),
    }
}

/// In words of the file's format, and without the value, which may be a password.
fn problem(message: &str) -> String {
    let message = message.lines().collect::<Vec<_>>().join("; ");
    plain(&message).replace("expected an object", "expected a section, such as [api]")
}

fn place(path: &Path, line: Option<usize>, key: Option<&str>) -> String {
    let mut place = path.display().to_string();
    if let Some(line) = line {
        place.push_str(&format!(", line {line}"));
    }
    if let Some(key) = key {
        place.push_str(&format!(", key '{key}'"));
    }
    place
}

/// The line, from 1, of the byte at `offset`.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1
}

/// The key that is given its value on that line.
fn key_on(text: &str, line: usize) -> Option<&str> {
    let (key, _) = text.lines().nth(line - 1)?.split_once('=')?;
    Some(key.trim())
}

/// The line on which `key` is given its value; every key of ours with bounds is named once in all sections.
fn line_of(text: &str, key: &str) -> Option<usize> {
    text.lines()
        .position(|line| line.split_once('=').is_some_and(|(name, _)| name.trim() == key))
        .map(|at| at + 1)
}
