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
    /// Whether TLS is asked for.
    pub(super) is_tls: bool,
    shown: String,
}

impl RedisPlace {
    /// From `redis://[user][:password@]host[:port][/database]`, or `rediss://` for TLS, which verifies the certificate against
    /// the system's roots and those of the CA bundle.
    ///
    /// # Errors
    /// [`BadRedisUrl`] says what is wrong.
    pub fn parse(url: &str, ca_bundle: Option<&Path>) -> Result<Self, BadRedisUrl> {
        // The driver's own words may quote it.
        let bad =
            |_: redis::RedisError| BadRedisUrl::Url("its host, its port or its database's number".into());
        // The insecure variant is a fragment of the URL; it is not to be had.
        if url.contains('#') {
            return Err(BadRedisUrl::Url("it has a fragment".into()));
        }
        let info = url.into_connection_info().map_err(bad)?;
        // Words come as pushes on the same connection, which the third version of the protocol brings.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_redis_settings(settings);
        let shown = info.addr().to_string();
        let is_tls = url.starts_with("rediss:");
        let client = match (is_tls, ca_bundle) {
            (true, Some(bundle)) => {
                let root_cert = Some(crate::provider::roots_as_pem(bundle)?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
            }
            _ => Client::open(info),
        };
        Ok(Self { client: client.map_err(bad)?, is_tls, shown })
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
