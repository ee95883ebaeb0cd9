//! One process of a fleet, wired as the binary wires it, with its calls to the store counted.

use std::sync::Arc;
use std::time::Duration;

use keyherd_adapters::coordinator::{FleetCoordinator, FleetOptions, FleetPlaces, RedisPlace};
use keyherd_adapters::courier::HttpCourier;
use keyherd_adapters::journal::{CopiedJournal, CopyOptions, FileJournal};
use keyherd_adapters::postgres::{ClockOptions, ServerClock, Target, Wire, WireOptions};
use keyherd_adapters::profile::FolderProfiles;
use keyherd_adapters::provider::{HttpOptions, HttpProvider};
use keyherd_adapters::seal::{KeyError, KeySource};
use keyherd_adapters::store::postgres::{PostgresOptions, PostgresStore};
use keyherd_adapters::store::{CrowdBounds, StoreBounds};
use keyherd_adapters::system::{OsEntropy, SystemClock};
use keyherd_core::audit::{Actor, Note};
use keyherd_core::broker::{Broker, Options, Ports};
use keyherd_core::channel::ChannelBounds;
use keyherd_core::credential::{Draft, Tokens};
use keyherd_core::ids::{ChainId, CredentialId};
use keyherd_core::ports::store::{NewCredential, Record};
use keyherd_core::ports::{Clock, Coordinator, Entropy, Journal};
use keyherd_core::secret::Hasher;
use serde_json::json;

use super::{MASTER_KEY, Notices, Place};
use crate::baseline::Polling;
use crate::{CountingStore, Outcome, credential};

/// As the binary's default.
const CLAIM_LIFE: Duration = Duration::from_secs(180);
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(60);
/// Credentials in one transaction of an import.
const BATCH: usize = 2_000;
/// An access token that has ended, did so this long ago.
const ENDED: Duration = Duration::from_secs(3_600);

/// One process's broker on the fleet's store.
pub struct Host {
    /// The verbs.
    pub broker: Broker,
    /// The broker's way to the store.
    pub counting: Arc<CountingStore>,
    store: Arc<PostgresStore>,
    fleet: Option<Arc<FleetCoordinator>>,
}

impl Host {
    /// Opens the store as the process with that number; makes key and store where there are none.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub async fn open(place: &Place, number: usize) -> Outcome<Self> {
        let target = Target::parse(&place.database, None)?;
        let wire = Wire::new(target.clone(), WireOptions::default());
        let source = Arc::new(wire.clone());
        let clock = ServerClock::follow(source, Arc::new(SystemClock), ClockOptions::default()).await?;
        let clock: Arc<dyn Clock> = Arc::new(clock);
        let entropy = Arc::new(OsEntropy::new()?);
        let store = Arc::new(store(place, wire.clone(), Arc::clone(&clock), entropy.clone()).await?);
        let installation = store.installation().id;
        let redis = place.redis.as_deref().map(|url| RedisPlace::parse(url, None)).transpose()?;
        let places = FleetPlaces { wire, listen: target, redis, installation };
        let begin = || FleetCoordinator::start(places, Arc::clone(&clock), FleetOptions::default());
        let (fleet, coordinator): (_, Arc<dyn Coordinator>) = match place.notices {
            Notices::Sent => {
                let fleet = Arc::new(begin());
                (Some(Arc::clone(&fleet)), fleet)
            }
            Notices::Polled(every) => (None, Arc::new(Polling(every))),
        };
        let folder = place.folder.join(format!("journal-{number}"));
        let files = FileJournal::open(folder, store.keyring(), installation)?;
        let journal: Arc<dyn Journal> = match fleet.as_ref().and_then(|fleet| fleet.link()) {
            Some(link) => Arc::new(CopiedJournal::new(files, link, CopyOptions::default())),
            None => Arc::new(files),
        };
        let counting = Arc::new(CountingStore::new(store.rooms()));
        let ports = Ports {
            store: counting.clone(),
            coordinator,
            provider: Arc::new(HttpProvider::new(HttpOptions::default())?),
            profiles: Arc::new(FolderProfiles::open(None)),
            journal,
            courier: Arc::new(HttpCourier::new(
                HttpOptions::default(),
                &ChannelBounds::default(),
                Arc::clone(&clock) as _,
            )?),
            clock,
            entropy,
            hasher: store.installation().hasher.clone(),
        };
        Ok(Self { broker: Broker::new(ports, Options::default()), counting, store, fleet })
    }

    /// Imports accounts whose access token has ended, `acme-1` and up: account N is the provider's family N, and its
    /// chain's id is N.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn import(&self, count: usize, token_url: &str) -> Outcome {
        let hasher = &self.store.installation().hasher;
        let numbers: Vec<_> = (1..=count as u64).collect();
        for numbers in numbers.chunks(BATCH) {
            let many = numbers.iter().map(|number| expired(hasher, *number, token_url));
            let many = many.collect::<Outcome<Vec<_>>>()?;
            let note = Note {
                action: "bench.import",
                actor: Actor::new("bench"),
                subject: "many".into(),
                detail: json!({}),
            };
            self.store.import_many(&many, Record { note, event: None }).await?;
        }
        Ok(())
    }

    /// Ends it in order.
    pub async fn close(self) {
        self.broker.shutdown(Duration::from_secs(30)).await;
        if let Some(fleet) = &self.fleet {
            fleet.settled().await;
        }
        self.store.close().await;
    }
}

/// The store, with the key of the fleet's folder, which is made where there is none.
async fn store(
    place: &Place,
    wire: Wire,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Outcome<PostgresStore> {
    let path = place.folder.join(MASTER_KEY);
    let keys = KeySource::File(path.clone());
    let keyring = match KeySource::create_file(&path) {
        Err(KeyError::Exists { .. }) => keys.load()?,
        made => made?,
    };
    let opened = PostgresStore::open(PostgresOptions {
        wire,
        keyring,
        keys: Some(keys),
        clock,
        entropy,
        claim_life: CLAIM_LIFE,
        crowds: CrowdBounds::default(),
        upgrade_timeout: UPGRADE_TIMEOUT,
        bounds: StoreBounds::default(),
    });
    Ok(opened.await?)
}

/// The account of that number, whose access token has ended.
fn expired(hasher: &Hasher, number: u64, token_url: &str) -> Outcome<NewCredential> {
    let draft = Draft::parse(credential(&format!("acme-{number}"), number, token_url))?;
    let now = SystemClock.now();
    let tokens = Tokens {
        access_token: Some("x".repeat(100).into()),
        token_type: "Bearer".into(),
        expires_at: Some(now - ENDED),
        expires_assumed: false,
        issued_at: now - 2 * ENDED,
        refresh_token: draft.refresh_token.clone(),
        refresh_expires_at: None,
        scopes: Vec::new(),
    };
    let id = i64::try_from(number)?;
    let spend_hash = draft.refresh_token.as_ref().map(|token| hasher.token(token));
    Ok(NewCredential {
        id: CredentialId::from_i64(id),
        chain: ChainId::from_i64(id),
        draft,
        tokens,
        spend_hash,
        due_at: None,
    })
}
