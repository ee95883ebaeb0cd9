//! A real installation in a folder that is gone afterwards, and brokers on it, wired as the binary wires them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::coordinator::{Bell, BellOptions};
use keyherd_adapters::courier::HttpCourier;
use keyherd_adapters::journal::FileJournal;
use keyherd_adapters::profile::FolderProfiles;
use keyherd_adapters::provider::HttpOptions;
use keyherd_adapters::seal::{KeyError, KeySource};
use keyherd_adapters::store::sqlite::{SqliteBounds, SqliteOptions, SqliteStore};
use keyherd_adapters::system::{OsEntropy, SystemClock};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Broker, ConnectMode, Options, Ports};
use keyherd_core::channel::ChannelBounds;
use keyherd_core::credential::{Draft, DraftFields};
use keyherd_core::ports::{Clock, ProviderClient};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{CountingStore, Outcome, refresh_token};

/// A data folder under the system's folder for temporary files; removed when dropped.
#[derive(Debug)]
pub struct Ground(TempDir);

impl Ground {
    /// An empty one.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> Outcome<Self> {
        Ok(Self(tempfile::Builder::new().prefix("keyherd-bench-").tempdir()?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

/// One process's broker on a real store, with its calls to the store counted.
pub struct Installation {
    /// The verbs.
    pub broker: Broker,
    /// The store itself.
    pub store: Arc<SqliteStore>,
    /// The broker's way to it.
    pub counting: Arc<CountingStore>,
}

impl Installation {
    /// Opens the data folder, as every `keyherd` process does; makes key and store where there are none.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub async fn open(data: &Path, provider: Arc<dyn ProviderClient>, options: Options) -> Outcome<Self> {
        let key_path = data.join("master.key");
        let keys = KeySource::File(key_path.clone());
        let keyring = match KeySource::create_file(&key_path) {
            Err(KeyError::Exists { .. }) => keys.load()?,
            made => made?,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy = Arc::new(OsEntropy::new()?);
        let store = SqliteStore::open(SqliteOptions {
            path: data.join("keyherd.db"),
            keyring: keyring.clone(),
            keys: Some(keys),
            clock: Arc::clone(&clock),
            entropy: entropy.clone(),
            bounds: SqliteBounds::default(),
        });
        let store = Arc::new(store.await?);
        let counting = Arc::new(CountingStore::new(store.rooms()));
        let journal = FileJournal::open(data.join("journal"), keyring, store.installation().id)?;
        let ports = Ports {
            store: counting.clone(),
            coordinator: Arc::new(Bell::new(store.bell_path(), store.clone(), BellOptions::default())),
            provider,
            profiles: Arc::new(FolderProfiles::open(Some(data))),
            journal: Arc::new(journal),
            courier: Arc::new(HttpCourier::new(
                HttpOptions::default(),
                &ChannelBounds::default(),
                Arc::clone(&clock) as _,
            )?),
            clock,
            entropy,
            hasher: store.installation().hasher.clone(),
        };
        Ok(Self { broker: Broker::new(ports, options), store, counting })
    }

    /// Imports an account that has no access token yet.
    ///
    /// # Errors
    /// As [`Broker::connect`].
    pub async fn import(&self, name: &str, family: u64, token_url: &str) -> Outcome {
        let draft = Draft::parse(credential(name, family, token_url))?;
        self.broker.connect(draft, ConnectMode::Create, &Actor::new("bench")).await?;
        Ok(())
    }

    /// Imports an account whose first access token ends in `life`.
    ///
    /// # Errors
    /// As [`Broker::connect`].
    pub async fn import_valid(&self, name: &str, family: u64, token_url: &str, life: Duration) -> Outcome {
        let draft = Draft::parse(DraftFields {
            access_token: Some("first".into()),
            expires_at: Some(SystemClock.now() + life),
            ..credential(name, family, token_url)
        })?;
        self.broker.connect(draft, ConnectMode::Create, &Actor::new("bench")).await?;
        Ok(())
    }

    /// Ends it in order.
    pub async fn close(self) {
        self.broker.shutdown(Duration::from_secs(30)).await;
        self.store.close().await;
    }
}

/// An account of the provider's books as a credential: its first refresh token, and nothing else.
pub fn credential(name: &str, family: u64, token_url: &str) -> DraftFields {
    DraftFields {
        name: name.into(),
        provider: "generic".into(),
        refresh_token: Some(refresh_token(family, 0).into()),
        token_url: Some(token_url.into()),
        client_id: Some("bench".into()),
        ..DraftFields::default()
    }
}

/// The same as a document for `keyherd cred import`.
pub fn document(name: &str, family: u64, token_url: &str) -> Value {
    json!({
        "name": name,
        "provider": "generic",
        "refresh_token": refresh_token(family, 0),
        "token_url": token_url,
        "client_id": "bench",
    })
}
