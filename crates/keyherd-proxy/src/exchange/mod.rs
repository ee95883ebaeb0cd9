//! One exchange: a token is injected, the request goes upstream, the answer is judged and streams back. Whatever door it
//! came by.
//!
//! Owns the order of these steps, and when a request is sent again: nothing of an answer has been passed on, upstream
//! refused before it did anything, and all of the request is still here. Each member of a pool is tried once; a token
//! that replaced a refused one is a new try. Reports are about what was really injected.

mod deliver;
mod tries;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Broker, Permit};
use keyherd_core::policy;
use rustls::ClientConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::tries::Tries;
use crate::body::{AnswerBody, Incoming, Room};
use crate::consent::consent;
use crate::fault::Fault;
use crate::headers::is_as_it_stands;
use crate::limits::ExchangeLimits;
use crate::meters::{Meters, Outcome};
use crate::order::{Order, Served};
use crate::recheck::Recheck;
use crate::relay::{Sides, relay};
use crate::revoked::{EndsWith, revocations};
use crate::upstream::{Lease, Reach, Upstreams};

/// TRACE asks upstream to send the request back, credential and all (RFC 9110, section 9.3.8); CONNECT is about no
/// resource.
const METHODS_REFUSED: [Method; 2] = [Method::TRACE, Method::CONNECT];

/// The exchange of one process and one door. Cheap to clone.
#[derive(Clone)]
pub struct Exchange(Arc<Inner>);

struct Inner {
    broker: Broker,
    upstreams: Upstreams,
    limits: ExchangeLimits,
    room: Room,
    meters: Meters,
    /// Connections that have gone on in another protocol, and reports of streams.
    tasks: TaskTracker,
    cut: CancellationToken,
    /// Changes when an agent was revoked. Listened for once something lasts.
    revocations: OnceLock<watch::Receiver<()>>,
}

/// What the exchange needs of the world.
pub struct ExchangeParts {
    /// The verbs.
    pub broker: Broker,
    /// How connections are made.
    pub reach: Arc<dyn Reach>,
    /// How upstreams are verified.
    pub tls: ClientConfig,
    /// Its bounds.
    pub limits: ExchangeLimits,
    /// The door's name, for metrics.
    pub mode: &'static str,
}

impl Exchange {
    /// An exchange over these parts.
    pub fn new(parts: ExchangeParts) -> Self {
        let ExchangeParts { broker, reach, tls, limits, mode } = parts;
        Self(Arc::new(Inner {
            broker,
            upstreams: Upstreams::new(reach, tls, limits.clone()),
            room: Room::new(limits.replay_total_max),
            meters: Meters::new(mode),
            tasks: TaskTracker::new(),
            cut: CancellationToken::new(),
            revocations: OnceLock::new(),
            limits,
        }))
    }

    /// Its bounds.
    pub fn limits(&self) -> &ExchangeLimits {
        &self.0.limits
    }

    /// The permit of a request that the rules in memory let go. `None`: ask [`Exchange::consent`].
    pub(crate) fn consent_at_hand(&self, target: &policy::Target<'_>) -> Option<Permit> {
        self.0.broker.permit_at_hand(target).filter(|permit| permit.allows)
    }

    /// Waits until the rules, or a human, let a request go to that target. Nothing is sent before.
    ///
    /// # Errors
    /// It may not go; with what decided that, where something did.
    pub(crate) async fn consent(
        &self,
        target: &policy::Target<'_>,
        actor: &Actor,
    ) -> Result<Permit, (Fault, Option<Permit>)> {
        let word = consent(&self.0.broker, target, self.0.limits.approval_wait, actor).await;
        word.inspect_err(|_| self.0.meters.denied())
    }

    /// Passes a request on that is [`passable`], and the answer back. The request's target is the path and query that
    /// upstream gets. Dropped, it ends the request upstream too. `recheck` is asked after each wait for a token; `served` is
    /// told whose token is used, as soon as it is.
    ///
    /// # Errors
    /// [`Fault`]: there is no answer to pass on.
    pub(crate) fn run<'a>(
        &'a self,
        order: Order,
        request: Request<Incoming>,
        recheck: Option<&'a dyn Recheck>,
        served: &'a mut Option<Served>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Fault>> + Send + 'a {
        debug_assert!(passable(request.method(), request.headers()).is_ok(), "its door asks first");
        let begun = self.uptime();
        // Before it is a future, which would hold the request twice.
        let mut tries = Tries::new(self, order, request, recheck, served);
        async move {
            let outcome = tries.run().await;
            let ours = self.uptime().saturating_sub(begun).saturating_sub(tries.upstream_took());
            self.0.meters.ended(tries.outcome(&outcome), ours);
            outcome
        }
    }

    /// Counts a request that its door did not send.
    pub(crate) fn unsent(&self, fault: &Fault) {
        self.0.meters.count(Outcome::of(fault));
    }

    /// Counts a request that its door answered itself.
    pub(crate) fn answered(&self) {
        self.0.meters.count(Outcome::Answered);
    }

    /// Ends what outlives its request: upgraded connections. Waits until all reports are in.
    pub async fn shutdown(&self) {
        self.0.cut.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn uptime(&self) -> Duration {
        self.0.broker.ports().clock.uptime()
    }

    fn relay(&self, sides: Sides, lease: Option<Lease>, ends_with: Option<EndsWith>) {
        let (cut, idle_timeout) = (self.0.cut.clone(), self.0.limits.idle_timeout);
        let gone = self.clone().gone(ends_with);
        self.0.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = gone => tracing::debug!("an upgraded connection's agent was revoked"),
                _ = cut.run_until_cancelled(relay(sides, idle_timeout)) => {}
            }
            drop(lease);
        });
    }

    /// Waits until that agent is none any more. Who does not ask, pays nothing.
    async fn gone(self, ends_with: Option<EndsWith>) {
        let Some(agent) = ends_with else { return std::future::pending().await };
        let broker = self.0.broker.clone();
        let revocations = self.0.revocations.get_or_init(|| revocations(&broker)).clone();
        // The listener is not kept by whom it listens for.
        drop(self);
        agent.gone(broker, revocations).await;
    }
}

/// Whether requests of that method, in that coding, are passed on.
pub(crate) fn passable(method: &Method, headers: &HeaderMap) -> Result<(), Fault> {
    if METHODS_REFUSED.contains(method) {
        return Err(Fault::BadMethod(method.clone()));
    }
    if is_as_it_stands(headers) {
        return Ok(());
    }
    Err(Fault::BadRequest("the request has a transfer coding: send it 'chunked', or with its length".into()))
}

impl Tries<'_> {
    fn outcome(&self, outcome: &Result<Response<AnswerBody>, Fault>) -> Outcome {
        match outcome {
            Ok(_) if self.count() > 1 => Outcome::Replayed,
            Ok(_) => Outcome::Answered,
            Err(fault) => Outcome::of(fault),
        }
    }
}
