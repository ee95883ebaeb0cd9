//! Who may go where: agents and bindings say what is read, rules and humans what may go at all; and the way there, by
//! addresses that were judged.
//!
//! A request that is read is judged by itself, with its method and path; a tunnel once, when it is made. Where a rule is
//! about addresses, a name is looked up first, and the address that was judged is the only one that is dialled.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use keyherd_core::agent::{Agent, key_hash};
use keyherd_core::binding::Bindings;
use keyherd_core::broker::{Access, Broker, Permit};
use keyherd_core::policy::{Destination, RequestPath, RuleSet, Target as Judged, Verdict};
use keyherd_core::ports::{StoreError, TokenSigner};
use keyherd_core::secret::Secret;
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::SwapLimits;
use super::line::Line;
use super::table::Tables;
use super::trail::Trail;
use crate::consent::refused as refused_by;
use crate::fault::Fault;
use crate::forward::{Dialled, Dialler, Kind, Leave, NotDialled, Way, Ways};
use crate::revoked::{EndsWith, revocations, until};
use crate::target::Target;
use crate::upstream::Reach;

/// Who may go where. Cheap to clone.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    broker: Broker,
    dialler: Dialler,
    approval_wait: Duration,
    trail: Trail,
    tables: Arc<Tables>,
    /// The one agent there is, where it is not a stored one.
    lodger: Option<Arc<Agent>>,
    /// Changes when an agent was revoked, by whatever process.
    revocations: watch::Receiver<()>,
}

/// What a gate is made of.
pub struct GateParts {
    /// The verbs.
    pub broker: Broker,
    /// How names are looked up.
    pub dialler: Dialler,
    /// How long a connection or request may wait for a human.
    pub approval_wait: Duration,
    /// Where audit lines go.
    pub trail: Trail,
    /// Signs phantoms that are to look like JWTs.
    pub signer: Arc<dyn TokenSigner>,
    /// Bounds of swapping.
    pub limits: SwapLimits,
    /// The one agent there is, where it is not a stored one: nobody else is recognised, and it is gone with this process.
    pub lodger: Option<Arc<Agent>>,
}

/// What let somebody pass.
#[derive(Debug)]
pub(super) struct Passed {
    /// Where the request goes.
    pub(super) leave: Leave,
    pub(super) permit: Permit,
}

/// Why somebody does not pass, and what the rules or a human said, as far as they were asked.
type Stopped = (Fault, Option<Permit>);

/// Who asks for what.
#[derive(Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) agent: &'a Agent,
    pub(super) dialled: &'a Dialled,
    /// Where a request is known: its method and its target.
    pub(super) request: Option<(&'a Method, &'a str)>,
}

impl Gate {
    /// A gate of these parts.
    pub fn new(parts: GateParts) -> Self {
        let GateParts { broker, dialler, approval_wait, trail, signer, limits, lodger } = parts;
        let tables = Arc::new(Tables::new(broker.clone(), signer, &limits));
        // Nobody revokes who is in no store.
        let revocations = if lodger.is_some() { watch::channel(()).1 } else { revocations(&broker) };
        Self(Arc::new(Inner { broker, dialler, approval_wait, trail, tables, lodger, revocations }))
    }

    pub(super) fn tables(&self) -> &Tables {
        &self.0.tables
    }

    /// What lasts of that agent's ends with it, where it can be revoked.
    pub(super) fn ends_with(&self, agent: &Agent) -> Option<EndsWith> {
        self.0.lodger.is_none().then(|| EndsWith::from(agent))
    }

    /// Whether that agent still is one.
    pub(super) fn knows(&self, agent: &Agent, access: &Access) -> bool {
        match &self.0.lodger {
            Some(lodger) => lodger.id == agent.id,
            None => access.agents.named(agent.name.as_str()).is_some_and(|now| now.id == agent.id),
        }
    }

    pub(super) fn trail(&self) -> &Trail {
        &self.0.trail
    }

    /// Whether that wish may be granted: what the rules say, and a human where they ask one.
    pub(super) async fn passes(&self, wish: Wish<'_>) -> Result<Passed, Stopped> {
        let rules = self.rules().await.map_err(unasked)?;
        let mut last = None;
        for destination in self.destinations(wish, &rules).await.map_err(unasked)? {
            let (path, target) = wish.told(&rules, &destination);
            let target = Judged { path: path.as_ref(), ..target };
            let permit = match self.0.broker.permit_at_hand(&target) {
                Some(permit) => permit,
                None => Box::pin(self.permit(&target, wish)).await?,
            };
            if permit.allows {
                let is_named = self.is_bound_at_hand(wish.dialled)
                    || rules.names_exactly(&target, self.0.broker.now())
                    || self.is_bound(wish.dialled).await.map_err(unasked)?;
                let only = if rules.judges_addresses() { destination.address() } else { None };
                match destination.address().map_or(Ok(()), |address| open(wish.dialled, address, is_named)) {
                    Ok(()) => return Ok(Passed { leave: Leave { only, is_named }, permit }),
                    Err(fault) => last = Some((fault, Some(permit))),
                }
                continue;
            }
            last = Some((refused_by(&permit, &wish.dialled.to_string()), Some(permit)));
        }
        Err(last.unwrap_or((Fault::Internal, None)))
    }

    /// What a human says, or rules that are not at hand.
    async fn permit(&self, target: &Judged<'_>, wish: Wish<'_>) -> Result<Permit, Stopped> {
        let permit = self.0.broker.permit(target, self.0.approval_wait, &wish.agent.actor).await;
        permit.map_err(|error| (Fault::from(error), None))
    }

    /// An upstream for what may pass there: by the address that was judged, where one was.
    pub(super) async fn target(
        &self,
        dialled: &Dialled,
        target: Target,
        leave: Leave,
    ) -> Result<Target, Fault> {
        if let Some(address) = leave.only {
            return Ok(target.pinned(address));
        }
        // What a binding names is known again when it is dialled; what a rule names for this agent is not.
        if !leave.is_named || self.is_bound(dialled).await? {
            return Ok(target);
        }
        let addresses = self.0.dialler.look_up(dialled).await?;
        let private = addresses.into_iter().find(|address| Kind::of(*address) != Kind::Public);
        Ok(private.map_or(target.clone(), |address| target.pinned(address)))
    }

    /// Whether that host is this machine: by the address that was judged, or else by every one that it has.
    pub(super) async fn is_local(&self, dialled: &Dialled, leave: Leave) -> bool {
        let is_loopback = |address: &IpAddr| address.to_canonical().is_loopback();
        match leave.only.or(dialled.host.address()) {
            Some(address) => is_loopback(&address),
            None => {
                let addresses = self.0.dialler.look_up(dialled).await.unwrap_or_default();
                !addresses.is_empty() && addresses.iter().all(is_loopback)
            }
        }
    }

    async fn rules(&self) -> Result<Arc<RuleSet>, Fault> {
        self.0.broker.rules_ready().await.map_err(unstored)
    }

    async fn access(&self) -> Result<Arc<Access>, Fault> {
        self.0.broker.access().await.map_err(unstored)
    }

    async fn is_bound(&self, dialled: &Dialled) -> Result<bool, Fault> {
        Ok(self.access().await?.bindings.names(&dialled.host, dialled.port))
    }

    /// The same, as far as memory knows: nobody is waited for.
    fn is_bound_at_hand(&self, dialled: &Dialled) -> bool {
        let access = self.0.broker.access_at_hand();
        access.is_some_and(|access| access.bindings.names(&dialled.host, dialled.port))
    }

    /// As rules see the host: by its name, or by each of its addresses where there are rules about addresses. What its name
    /// alone decides is not looked up: whoever is denied has no name resolved.
    async fn destinations(&self, wish: Wish<'_>, rules: &RuleSet) -> Result<Vec<Destination>, Fault> {
        let named = Destination::new(wish.dialled.host.clone(), wish.dialled.port);
        if named.address().is_some() || !rules.judges_addresses() {
            return Ok(vec![named]);
        }
        let (path, target) = wish.told(rules, &named);
        if rules.denies_by_name(&Judged { path: path.as_ref(), ..target }, self.0.broker.now()) {
            return Ok(vec![named]);
        }
        let addresses = self.0.dialler.look_up(wish.dialled).await?;
        let each = |address: IpAddr| named.clone().dialling(address);
        Ok(addresses.into_iter().map(each).collect())
    }

    async fn connection(&self, wish: Wish<'_>) -> Result<Way, Fault> {
        let line =
            Line::begun(self, wish.agent, Some(wish.dialled), wish.request.map(|(method, _)| method)).await?;
        match self.tunnelled(wish).await {
            Ok(None) => {
                line.dropped();
                Ok(Way::Read)
            }
            Ok(Some((stream, permit))) => {
                line.passed(&permit).ended("tunnelled");
                Ok(Way::Tunnel(stream))
            }
            Err((fault, permit)) => {
                line.refused(permit.as_ref(), &fault);
                Err(fault)
            }
        }
    }

    /// A connection for a tunnel, and by whose leave. `None`: it is read.
    async fn tunnelled(&self, wish: Wish<'_>) -> Result<Option<(TcpStream, Permit)>, Stopped> {
        if self.reads(wish).await.map_err(unasked)? {
            return Ok(None);
        }
        let Passed { leave, permit } = self.passes(wish).await?;
        // It may have waited for long.
        if !self.knows(wish.agent, &*self.access().await.map_err(unasked)?) {
            return Err(unasked(Fault::Denied(format!("agent '{}' was revoked", wish.agent.name))));
        }
        match self.0.dialler.dial(wish.dialled, leave).await {
            Ok(stream) => Ok(Some((stream, permit))),
            Err(error) => Err((error.into(), Some(permit))),
        }
    }

    /// Whether a connection's requests are read: then each is judged by itself. None would pass where the connection is
    /// denied whatever it says.
    async fn reads(&self, wish: Wish<'_>) -> Result<bool, Fault> {
        let Wish { agent, dialled, .. } = wish;
        let (rules, access) = (self.rules().await?, self.access().await?);
        let named = Destination::new(dialled.host.clone(), dialled.port);
        if rules.needs_request(&wish.told(&rules, &named).1) {
            return Ok(true);
        }
        let destinations = self.destinations(wish, &rules).await?;
        let now = self.0.broker.now();
        let (mut needs_request, mut is_denied) = (false, true);
        for target in destinations.iter().map(|destination| wish.told(&rules, destination).1) {
            needs_request |= rules.needs_request(&target);
            is_denied &= rules.decide(&target, now).verdict == Verdict::Deny;
        }
        if needs_request || is_denied {
            return Ok(needs_request);
        }
        let is_endpoint = self.0.tables.of(agent).await?.has_endpoint(dialled);
        Ok(is_endpoint || may_swap(&access.bindings, agent, dialled))
    }
}

impl Wish<'_> {
    /// As the rules see it. A path is read only where a rule is about requests.
    fn told<'a>(
        &'a self,
        rules: &RuleSet,
        destination: &'a Destination,
    ) -> (Option<RequestPath>, Judged<'a>) {
        let agent = Some(self.agent.name.as_str());
        let method = self.request.map(|(method, _)| method.as_str());
        let target = Judged { agent, destination, method, path: None };
        let needs = self.request.filter(|_| rules.needs_request(&target));
        (needs.map(|(_, path)| RequestPath::read(path)), target)
    }
}

#[async_trait]
impl Ways for Gate {
    async fn caller(&self, name: &str, key: &Secret) -> Option<Arc<Agent>> {
        if let Some(lodger) = &self.0.lodger {
            let hash = key_hash(&self.0.broker.ports().hasher, key.expose().as_bytes())?;
            let is_it = lodger.name.as_str() == name && lodger.key_hash.is(&hash);
            return is_it.then(|| Arc::clone(lodger));
        }
        match self.0.broker.agent_named(name, key.expose().as_bytes()).await {
            Ok(agent) => agent,
            Err(error) => {
                tracing::warn!(%error, "an agent cannot be recognised");
                None
            }
        }
    }

    async fn gone(&self, agent: &Agent) {
        // As long as the store cannot say, who was known is.
        let is_gone = || async { self.access().await.is_ok_and(|access| !self.knows(agent, &access)) };
        until(self.0.revocations.clone(), is_gone).await;
    }

    async fn way(&self, agent: &Agent, dialled: &Dialled) -> Way {
        let found = self.connection(Wish { agent, dialled, request: None }).await;
        found.unwrap_or_else(Way::Refused)
    }
}

/// Whether a binding lets one of the agent's phantoms become a secret there.
fn may_swap(bindings: &Bindings, agent: &Agent, dialled: &Dialled) -> bool {
    bindings.at(&dialled.host, dialled.port).any(|binding| agent.is_allowed(binding.name.as_str()))
}

/// Whether that address is anyone's, or somebody named it.
fn open(dialled: &Dialled, address: IpAddr, is_named: bool) -> Result<(), Fault> {
    let kind = Kind::of(address);
    if kind == Kind::Public || is_named {
        return Ok(());
    }
    let why = NotDialled::Unnamed { host: dialled.host.to_string(), address, kind };
    Err(why.into())
}

fn unasked(fault: Fault) -> Stopped {
    (fault, None)
}

fn unstored(error: StoreError) -> Fault {
    Fault::Engine(error.into())
}

/// The way to upstreams that are read: the address is judged and dialled in one.
pub struct Guarded {
    broker: Broker,
    dialler: Dialler,
}

impl Guarded {
    /// By that dialler.
    pub fn new(broker: Broker, dialler: Dialler) -> Self {
        Self { broker, dialler }
    }
}

#[async_trait]
impl Reach for Guarded {
    async fn reach(&self, target: &Target) -> io::Result<TcpStream> {
        let dialled = Dialled::new(target.host().clone(), target.port());
        let leave = match target.pinned_to() {
            // What was pinned was judged, and a private address only where somebody named it.
            Some(address) => Leave { only: Some(address.ip()), is_named: true },
            None => {
                let access = self.broker.access().await.map_err(io::Error::other)?;
                Leave { only: None, is_named: access.bindings.names(&dialled.host, dialled.port) }
            }
        };
        if target.is_local() && leave.only.is_none() {
            return self.locally(&dialled, leave).await;
        }
        let dialling = self.dialler.dial(&dialled, leave).await;
        dialling.map_err(|error| io::Error::other(Fault::from(error)))
    }
}

impl Guarded {
    /// By those of its addresses that are on this machine: a name may lead elsewhere since it was looked at.
    async fn locally(&self, dialled: &Dialled, leave: Leave) -> io::Result<TcpStream> {
        let found = self.dialler.look_up(dialled).await;
        let addresses = found.map_err(|error| io::Error::other(Fault::from(error)))?;
        let mut last = io::Error::other(format!("{dialled} is not on this machine any more"));
        for address in addresses.into_iter().filter(|address| address.to_canonical().is_loopback()) {
            match self.dialler.dial(dialled, Leave { only: Some(address), ..leave }).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = io::Error::other(Fault::from(error)),
            }
        }
        Err(last)
    }
}
