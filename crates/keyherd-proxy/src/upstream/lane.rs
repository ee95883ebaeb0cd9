//! One upstream's connections: those that are spare, and those that are shared.
//!
//! Owns how many requests go there at once. Over HTTP/1 a request has a connection for itself; which is given back when
//! its answer has ended. Over HTTP/2 connections are shared, each by so many. Each serves the requests of the runtime that
//! made it, which is the one that its bytes wake: those of other workers make their own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::HeaderValue;
use hyper::client::conn::http2;
use tokio::runtime::{self, Handle};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dial::{Fresh, Way};
use super::lease::{Lease, Sender};
use super::line::Line;
use crate::body::Outgoing;
use crate::fault::Fault;
use crate::target::Target;

/// The longest between two looks at what is spare: what upstream closes holds a descriptor no longer.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Lane {
    target: Target,
    /// What every HTTP/1 request to it says.
    host: Option<HeaderValue>,
    only_http1: bool,
    way: Arc<Way>,
    places: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    spare: Vec<Spare>,
    shared: Vec<Shared>,
    speaks: Option<Protocol>,
    dials: Vec<Dials>,
    /// Counts sweeps.
    sweep: u64,
    is_swept: bool,
}

/// Dials of one runtime that others of it wait for.
struct Dials {
    home: runtime::Id,
    /// Held while it is not known which protocol is spoken there, and where connections are shared.
    under_way: Arc<tokio::sync::Mutex<()>>,
    /// Those that failed, and how the last one did.
    failures: u64,
    failed: Option<Fault>,
}

impl Kept {
    fn dials(&mut self) -> &mut Dials {
        let home = Handle::current().id();
        let at = self.dials.iter().position(|dials| dials.home == home).unwrap_or_else(|| {
            self.dials.push(Dials { home, under_way: Arc::default(), failures: 0, failed: None });
            self.dials.len() - 1
        });
        &mut self.dials[at]
    }
}

struct Spare {
    line: Line,
    since: u64,
}

struct Shared {
    sender: http2::SendRequest<Outgoing>,
    home: runtime::Id,
    requests: Arc<AtomicUsize>,
    since: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// A request's place on a shared connection.
pub(super) struct Stream(Arc<AtomicUsize>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Lane {
    pub(super) fn new(target: Target, only_http1: bool, way: Arc<Way>) -> Self {
        let places = Arc::new(Semaphore::new(way.limits.requests_max.min(Semaphore::MAX_PERMITS)));
        Self {
            host: HeaderValue::try_from(target.authority()).ok(),
            target,
            only_http1,
            way,
            places,
            kept: Mutex::default(),
        }
    }

    /// A connection that is there, where there is a place.
    pub(super) fn lease_at_hand(self: Arc<Self>) -> Option<Lease> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let sender = self.at_hand()?;
        Some(Lease::new(self, sender, place, true))
    }

    pub(super) async fn lease(self: &Arc<Self>, is_fresh: bool) -> Result<Lease, Fault> {
        let place = self.place().await?;
        let here = if is_fresh { None } else { self.at_hand() };
        let (sender, is_reused) = match here {
            Some(sender) => (sender, true),
            None => (Box::pin(self.dial(is_fresh)).await?, false),
        };
        Ok(Lease::new(Arc::clone(self), sender, place, is_reused))
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let waited = timeout(self.way.limits.queue_timeout, Arc::clone(&self.places).acquire_owned()).await;
        waited.ok().and_then(Result::ok).ok_or_else(|| Fault::Crowded(self.target.authority()))
    }

    /// A connection that is there.
    fn at_hand(&self) -> Option<Sender> {
        let here = Handle::current().id();
        let mut kept = self.kept();
        // Whether upstream has closed it is seen when it is used: what was not sent then is sent on another one.
        let is_fit = |spare: &Spare| spare.line.home() == here && spare.line.is_free();
        if let Some(at) = kept.spare.iter().rposition(is_fit) {
            return Some(Sender::Http1(kept.spare.remove(at).line));
        }
        if kept.shared.is_empty() {
            return None;
        }
        let sweep = kept.sweep;
        kept.shared.retain(|shared| !shared.sender.is_closed());
        let streams_max = self.way.limits.streams_max;
        let has_room = |shared: &&mut Shared| {
            shared.home == here && shared.requests.load(Ordering::Relaxed) < streams_max
        };
        let shared = kept.shared.iter_mut().find(has_room)?;
        shared.since = sweep;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        Some(Sender::Http2(shared.sender.clone(), Stream(Arc::clone(&shared.requests))))
    }

    /// A new connection. Those who come while nobody knows whether it can be shared wait for the first one.
    async fn dial(self: &Arc<Self>, is_fresh: bool) -> Result<Sender, Fault> {
        let is_shareable = (self.target.is_tls() || self.target.is_http2()) && !self.only_http1;
        // Waiting for another one's dial counts as well.
        let end = self.way.end();
        if !is_shareable || self.kept().speaks == Some(Protocol::Http1) {
            return self.dial_now(end).await;
        }
        let (under_way, failures) = {
            let mut kept = self.kept();
            let dials = kept.dials();
            (Arc::clone(&dials.under_way), dials.failures)
        };
        let Ok(first) = timeout_at(end, under_way.lock()).await else {
            return Err(self.way.late(&self.target));
        };
        if !is_fresh && let Some(sender) = self.at_hand() {
            return Ok(sender);
        }
        if self.kept().speaks == Some(Protocol::Http1) {
            // There is nothing to be shared: all who wait dial at once.
            drop(first);
            return self.dial_now(end).await;
        }
        if let Some(fault) = self.failed_since(failures) {
            return Err(fault);
        }
        let dialled = self.dial_now(end).await;
        if let Err(fault) = &dialled {
            let mut kept = self.kept();
            let dials = kept.dials();
            dials.failures += 1;
            dials.failed = Some(fault.clone());
        }
        dialled
    }

    /// How a dial failed that was under way, or began, after so many failures: whoever waited for it has its outcome.
    fn failed_since(&self, failures: u64) -> Option<Fault> {
        let mut kept = self.kept();
        let dials = kept.dials();
        dials.failed.clone().filter(|_| failures < dials.failures)
    }

    async fn dial_now(self: &Arc<Self>, end: Instant) -> Result<Sender, Fault> {
        let fresh = self.way.dial(&self.target, self.only_http1, end).await?;
        let mut kept = self.kept();
        Ok(match fresh {
            Fresh::Http1(line) => {
                kept.speaks = Some(Protocol::Http1);
                Sender::Http1(line)
            }
            Fresh::Http2(sender) => {
                kept.speaks = Some(Protocol::Http2);
                let requests = Arc::new(AtomicUsize::new(1));
                let since = kept.sweep;
                let home = Handle::current().id();
                kept.shared.push(Shared {
                    sender: sender.clone(),
                    home,
                    requests: Arc::clone(&requests),
                    since,
                });
                self.be_swept(&mut kept);
                Sender::Http2(sender, Stream(requests))
            }
        })
    }

    /// Keeps a connection whose answer has ended; where there are enough, in the place of the one longest unused. It need not
    /// be ready yet: the rest of its request may be on its way.
    pub(super) fn keep(self: &Arc<Self>, line: Line) {
        let most = self.way.limits.spare_connections_max;
        let mut kept = self.kept();
        let since = kept.sweep;
        kept.spare.push(Spare { line, since });
        let unused = (kept.spare.len() > most).then(|| kept.spare.remove(0));
        if !kept.spare.is_empty() {
            self.be_swept(&mut kept);
        }
        drop(kept);
        drop(unused);
    }

    fn be_swept(self: &Arc<Self>, kept: &mut Kept) {
        if !kept.is_swept {
            kept.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(self), self.sweep_every()));
        }
    }

    fn sweep_every(&self) -> Duration {
        (self.way.limits.spare_timeout / 2).min(SWEEP_EVERY)
    }

    /// Closes what nobody used for `spare_timeout`, and what upstream closed. `false`: nothing is left to be swept.
    fn sweep(&self) -> bool {
        let sweeps = self.way.limits.spare_timeout.as_millis() / self.sweep_every().as_millis().max(1);
        let mut kept = self.kept();
        kept.sweep += 1;
        let oldest = kept.sweep.saturating_sub(u64::try_from(sweeps).unwrap_or(u64::MAX));
        let unused = kept.spare.extract_if(.., |spare| spare.since <= oldest || spare.line.is_closed());
        let unused: Vec<_> = unused.collect();
        kept.shared.retain(|shared| {
            let is_used = shared.requests.load(Ordering::Relaxed) > 0;
            (is_used || shared.since > oldest) && !shared.sender.is_closed()
        });
        let is_swept = !(kept.spare.is_empty() && kept.shared.is_empty());
        kept.is_swept = is_swept;
        drop(kept);
        drop(unused);
        is_swept
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn host(&self) -> Option<HeaderValue> {
        self.host.clone()
    }
}

async fn sweep(lane: Weak<Lane>, every: Duration) {
    loop {
        sleep(every).await;
        if !lane.upgrade().is_some_and(|lane| lane.sweep()) {
            return;
        }
    }
}
