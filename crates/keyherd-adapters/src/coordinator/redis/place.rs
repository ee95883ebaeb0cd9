//! Where a Redis is: a `redis://` or `rediss://` URL, and whom to trust there.
//!
//! Owns reading the URL. Never shows its password.

use std::path::Path;

use redis::{Client, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

use crate::provider::BadCaBundle;

/// A URL that cannot be used. Never quotes it: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRedisUrl {
    /// It is none, or names what there is not.
    #[error("the Redis URL cannot be used: {0}")]
    Url(String),
    /// The CA bundle beside it.
    #[error(transparent)]
    CaBundle(#[from] BadCaBundle),
}

/// One Redis.
#[derive(Clone)]
pub struct RedisPlace {
    pub(super) client: Client,
    shown: String,
}

impl RedisPlace {
    /// From `redis://[user][:password@]host[:port][/database]`, or `rediss://` for TLS, which verifies the certificate against
    /// the system's roots and those of the CA bundle.
    ///
    /// # Errors
    /// [`BadRedisUrl`] says what is wrong.
    pub fn parse(url: &str, ca_bundle: Option<&Path>) -> Result<Self, BadRedisUrl> {
        let bad = |error: redis::RedisError| BadRedisUrl::Url(error.kind_and_detail());
        // The insecure variant is a fragment of the URL; it is not to be had.
        if url.contains('#') {
            return Err(BadRedisUrl::Url("it has a fragment".into()));
        }
        let info = url.into_connection_info().map_err(bad)?;
        // Words come as pushes on the same connection, which the third version of the protocol brings.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let shown = info.addr().to_string();
        let client = match (url.starts_with("rediss:"), ca_bundle) {
            (true, Some(bundle)) => {
                let root_cert = Some(crate::provider::roots_as_pem(bundle)?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
            _ => Client::open(info),
        };
        Ok(Self { client: client.map_err(bad)?, shown })
    }
}

/// Host and port: for messages.
impl std::fmt::Display for RedisPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::fmt::Debug for RedisPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisPlace({})", self.shown)
    }
}

/// What the driver says of an error, without what a server quotes.
trait Described {
    fn kind_and_detail(&self) -> String;
}

impl Described for redis::RedisError {
    fn kind_and_detail(&self) -> String {
        self.code().map_or_else(|| self.category().to_owned(), |code| format!("{} ({code})", self.category()))
    }
}

/// Why Redis did not do what it was asked for: never a key or a value.
pub(super) fn described(error: &redis::RedisError) -> String {
    error.kind_and_detail()
}
