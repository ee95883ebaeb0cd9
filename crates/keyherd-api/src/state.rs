//! What every handler may reach, and the bounds that are held at run time.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keyherd_core::broker::Broker;
use keyherd_core::ports::{ProfileShelf, TokenSigner};
use keyherd_core::spell::Spell;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::annex::Annex;
use crate::caller::Callers;
use crate::dashboard::{Samples, Sessions};
use crate::documents::ReadyView;
use crate::hosts::Hosts;
use crate::limits::ApiLimits;
use crate::metrics::Metrics;

/// What the REST door needs.
#[derive(Clone)]
pub struct ApiState {
    /// The verbs.
    pub broker: Broker,
    /// Whose keys open the door.
    pub callers: Callers,
    /// The process's metrics.
    pub metrics: Metrics,
    /// The names it answers to, beside its own.
    pub hosts: Hosts,
    /// A door behind this one.
    pub annex: Option<Arc<dyn Annex>>,
    /// Signs phantoms that are to look like JWTs.
    pub signer: Arc<dyn TokenSigner>,
    /// Where imported profiles are kept.
    pub shelf: Arc<dyn ProfileShelf>,
}

/// Shared by all handlers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct State(Arc<Shared>);

/// See [`State`].
pub(crate) struct Shared {
    pub(crate) broker: Broker,
    pub(crate) callers: Callers,
    pub(crate) metrics: Metrics,
    pub(crate) hosts: Hosts,
    pub(crate) annex: Option<Arc<dyn Annex>>,
    pub(crate) signer: Arc<dyn TokenSigner>,
    pub(crate) shelf: Arc<dyn ProfileShelf>,
    pub(crate) limits: ApiLimits,
    /// The description of this door, rendered once.
    pub(crate) openapi: Bytes,
    /// Cancelled when the server stops: streams end.
    pub(crate) closing: CancellationToken,
    /// Changes under way; they outlive their callers.
    pub(crate) changes: TaskTracker,
    pub(crate) changes_room: Arc<Semaphore>,
    pub(crate) events_room: Arc<Semaphore>,
    /// One look through the audit log at a time.
    pub(crate) verifying: Mutex<()>,
    pub(crate) readiness: Cached<ReadyView>,
    pub(crate) gauges: Cached<()>,
    // The dashboard's.
    pub(crate) sessions: Sessions,
    pub(crate) samples: Samples,
    pub(crate) census: Cached<Option<Vec<(String, u64)>>>,
    pub(crate) spells: Spells,
}

/// What goes wrong each time that somebody looks, and is logged once.
#[derive(Default)]
pub(crate) struct Spells {
    pub(crate) store: Spell,
    pub(crate) journal: Spell,
    pub(crate) coordinator: Spell,
    pub(crate) census: Spell,
}

impl State {
    pub(crate) fn new(state: ApiState, limits: ApiLimits, openapi: Bytes) -> Self {
        Self(Arc::new(Shared {
            broker: state.broker,
            callers: state.callers,
            metrics: state.metrics,
            hosts: state.hosts,
            annex: state.annex,
            signer: state.signer,
            shelf: state.shelf,
            openapi,
            closing: CancellationToken::new(),
            changes: TaskTracker::new(),
            changes_room: Arc::new(Semaphore::new(limits.changes_max.min(Semaphore::MAX_PERMITS))),
            events_room: Arc::new(Semaphore::new(limits.events_max.min(Semaphore::MAX_PERMITS))),
            verifying: Mutex::new(()),
            readiness: Cached::default(),
            gauges: Cached::default(),
            sessions: Sessions::default(),
            samples: Samples::default(),
            census: Cached::default(),
            spells: Spells::default(),
            limits,
        }))
    }

    /// For deadlines and durations.
    pub(crate) fn uptime(&self) -> Duration {
        self.broker.ports().clock.uptime()
    }
}

impl Deref for State {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// A value that is made anew when it is too old; those who come meanwhile wait for it.
pub(crate) struct Cached<T>(Mutex<Option<(Duration, T)>>);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Cached<T> {
    pub(crate) async fn fresh(
        &self,
        uptime: impl Fn() -> Duration,
        age_max: Duration,
        make: impl Future<Output = T>,
    ) -> T {
        let mut slot = self.0.lock().await;
        match &*slot {
            Some((at, value)) if uptime().saturating_sub(*at) < age_max => value.clone(),
            _ => {
                let value = make.await;
                *slot = Some((uptime(), value.clone()));
                value
            }
        }
    }
}
