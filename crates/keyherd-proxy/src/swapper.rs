//! The forward proxy over a broker: who calls, what is read, and the exchange of what is, with phantoms swapped.
//!
//! Owns which phantoms may be swapped in a request: those of names that a binding lets go to the host that was dialled,
//! and that the agent is allowed. All others are taken out, wherever they can be read.

mod gate;
mod hold;
mod inject;
mod line;
mod request;
mod sought;
mod table;
mod token_endpoint;
mod trail;
mod veil;
pub(crate) mod words;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, Version};
use keyherd_core::agent::Agent;
use keyherd_core::broker::{Acquired, Broker};
use keyherd_core::ids::Name;
use keyherd_core::refresh::Ask;
use keyherd_core::secret::Secret;
use tokio_util::task::TaskTracker;

use self::gate::Wish;
pub use self::gate::{Gate, GateParts, Guarded};
use self::inject::SwapInject;
use self::line::Line;
use self::request::{Read, streamed};
use self::table::Held;
use self::token_endpoint::{AtEndpoint, TokenAsk};
pub(crate) use self::trail::Place;
pub use self::trail::{Trail, TrailLimits};
pub use self::veil::Veil;
use self::veil::{Sent, veiled};
pub(crate) use self::veil::{Veiled, Veiling};
use crate::body::{AnswerBody, Incoming as Body, Received};
use crate::exchange::{Exchange, passable};
use crate::fault::Fault;
use crate::forward::{Asked, ForwardBody, Leave, Scheme, TurnedAway};
use crate::order::{Order, Own};
use crate::swap::DecodeLimits;
use crate::target::Target;

/// Bounds of swapping. Each is a configuration value of the same name, under `[proxy]`.
#[derive(Debug, Clone)]
pub struct SwapLimits {
    /// The longest body that is read whole, so that it keeps a length, in bytes. Default 1 MiB.
    pub buffer_len_max: usize,
    /// How long such a body may take. Default 60 s.
    pub buffer_timeout: Duration,
    /// How long an answer is held back: a short one until its length is known, one in a coding until it is known that it can be
    /// read. Default 2 s.
    pub answer_hold: Duration,
    /// Agents whose phantoms are kept ready. Default 4,096.
    pub tables_max: usize,
    /// How old they may be: a provider's profile may change what they look like. Default 10 s.
    pub tables_age_max: Duration,
    /// Real secrets that an agent's answers are looked through for. Default 256.
    pub secrets_max: usize,
    /// How long one is still looked for that was replaced, such as by a refresh. Default 3,600 s.
    pub replaced_age_max: Duration,
    /// The longest request to a token endpoint, in bytes. Default 64 KiB.
    pub token_request_len_max: usize,
    /// The longest answer to a login that an agent makes, in bytes, also decoded. Default 1 MiB.
    pub token_answer_len_max: usize,
    /// How long that answer may take. Default 60 s.
    pub token_timeout: Duration,
    /// Whether agents may log in themselves. Default true.
    pub agent_logins: bool,
    /// Of answers in a coding.
    pub decode: DecodeLimits,
}

impl Default for SwapLimits {
    fn default() -> Self {
        Self {
            buffer_len_max: 1024 * 1024,
            buffer_timeout: Duration::from_secs(60),
            answer_hold: Duration::from_secs(2),
            tables_max: 4_096,
            tables_age_max: Duration::from_secs(10),
            secrets_max: 256,
            replaced_age_max: Duration::from_secs(3_600),
            token_request_len_max: 64 * 1024,
            token_answer_len_max: 1024 * 1024,
            token_timeout: Duration::from_secs(60),
            agent_logins: true,
            decode: DecodeLimits::default(),
        }
    }
}

/// Answers what is read. Cheap to clone.
#[derive(Clone)]
pub struct Swapper(Arc<Inner>);

struct Inner {
    exchange: Exchange,
    broker: Broker,
    gate: Gate,
    limits: SwapLimits,
    /// Agents' own logins: they outlive who made them.
    logins: TaskTracker,
}

/// The secrets that one request may carry, beside the one that the exchange itself gets.
#[derive(Default)]
struct Others(Vec<(Name, Secret)>);

/// By which way a request goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    Anywhere,
    /// In the clear, with secrets: on this machine.
    Locally,
    /// In the clear and off this machine: what is bound there stays here.
    Unbound,
}

/// A request before anything of it is sent.
struct Ready {
    order: Order,
    inject: Arc<SwapInject>,
    request: Request<Body>,
}

impl Swapper {
    /// Over an exchange, for those whom the gate lets pass.
    pub fn new(exchange: Exchange, broker: Broker, gate: Gate, limits: SwapLimits) -> Self {
        Self(Arc::new(Inner { exchange, broker, gate, limits, logins: TaskTracker::new() }))
    }

    /// Passes a request on with its phantoms swapped, and the answer back with secrets swapped.
    ///
    /// # Errors
    /// [`Fault`]: upstream gave no answer, or was not asked.
    pub async fn answer(
        &self,
        asked: Asked,
        request: Request<Received>,
    ) -> Result<Response<ForwardBody>, Fault> {
        let Asked { agent, dialled, .. } = &asked;
        let unsent = |fault: &Fault| self.0.exchange.unsent(fault);
        let held = self.0.gate.tables().of(agent).await.inspect_err(unsent)?;
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let wish = Wish { agent, dialled, request: Some((&method, &path)) };
        let begun =
            Line::begun(&self.0.gate, agent, Some(dialled), Some(&method)).await.inspect_err(unsent)?;
        let mut line = begun.at(&path, &held.table);
        if let Err(fault) = passable(request.method(), request.headers()) {
            unsent(&fault);
            line.failed(&fault);
            return Err(fault);
        }
        let passed = match Box::pin(self.0.gate.passes(wish)).await {
            Ok(passed) => passed,
            Err((fault, permit)) => {
                unsent(&fault);
                line.refused(permit.as_ref(), &fault);
                return Err(fault);
            }
        };
        line = line.passed(&passed.permit);
        match self.exchanged(&asked, passed.leave, request, &held, &mut line).await {
            Ok(answer) => {
                line.note("status", answer.status().as_u16());
                line.ended("answered");
                Ok(answer)
            }
            Err(fault) => {
                line.failed(&fault);
                Err(fault)
            }
        }
    }

    /// The line of what was turned away before it was asked about.
    pub async fn turned_away(&self, turned: &TurnedAway<'_>) {
        let TurnedAway { agent, dialled, request, away } = turned;
        // Without a place there is no line, and without phantoms no path: it goes nowhere all the same.
        let method = request.map(|(method, _)| method);
        let Ok(mut line) = Line::begun(&self.0.gate, agent, *dialled, method).await else { return };
        if let Some((_, path)) = request
            && let Ok(held) = self.0.gate.tables().of(agent).await
        {
            line = line.at(path, &held.table);
        }
        line.say("problem", &away.shown());
        line.ended(away.outcome());
    }

    async fn exchanged(
        &self,
        asked: &Asked,
        leave: Leave,
        request: Request<Received>,
        held: &Held,
        line: &mut Line,
    ) -> Result<Response<ForwardBody>, Fault> {
        let exchange = &self.0.exchange;
        let ask = TokenAsk { asked, leave, held };
        // What waits in here is on the heap: all of it would be moved with each of the futures around it.
        let request = match ask.is_one(request.method(), request.uri().path()) {
            false => request.map(streamed),
            true => match Box::pin(self.at_endpoint(&ask, request.map(streamed), line)).await {
                Ok(AtEndpoint::Answered(answer)) => return Ok(answer),
                Ok(AtEndpoint::Other(request)) => request,
                Err(fault) => {
                    // What was sent is counted as it was.
                    if matches!(fault, Fault::Denied(_) | Fault::BadRequest(_)) {
                        exchange.unsent(&fault);
                    }
                    return Err(fault);
                }
            },
        };
        let has_body = request.method() != Method::HEAD;
        let ready = Box::pin(self.ready(asked, leave, request, held, line)).await;
        let Ready { order, inject, request } = ready.inspect_err(|fault| exchange.unsent(fault))?;
        let mut served = None;
        let running = Box::pin(exchange.run(order, request, None, &mut served));
        let answer = running.await;
        if let Some(served) = served {
            line.say("credential", served.credential());
        }
        let answer = answer?;
        let answer = if has_body { answer } else { answer.map(|_| AnswerBody::empty()) };
        let used = inject.used();
        let used: Vec<_> = used.iter().map(|(name, secret)| (name, secret.expose())).collect();
        let sent = Sent { tokens: &used, encoded: inject.encoded() };
        match veiled(answer, sent, held, &self.0.limits) {
            Veiled::AtHand(answer) => Ok(answer),
            Veiled::Later(answer) => answer.await,
        }
    }

    async fn ready(
        &self,
        asked: &Asked,
        leave: Leave,
        request: Request<Body>,
        held: &Held,
        line: &mut Line,
    ) -> Result<Ready, Fault> {
        let Asked { agent, dialled, scheme } = asked;
        let (bound, goes) = self.bound(asked, leave).await?;
        let is_http2 = request.version() == Version::HTTP_2;
        let read = Read::of(request, &held.table, &self.0.limits).await?;
        let mut wanted: Vec<Name> = read.names().filter(|name| bound.contains(name)).cloned().collect();
        let primary = if wanted.is_empty() { None } else { Some(wanted.remove(0)) };
        let mut others = self.must(agent, &wanted).await?;
        if read.is_streamed() {
            // What the body will hold is not known before it has passed.
            let rest = bound.iter().filter(|name| primary.as_ref() != Some(name) && !wanted.contains(name));
            others.0.extend(self.may(agent, rest).await);
        }
        if goes == Goes::Unbound && read.names().next().is_some() {
            line.note("in_clear", true);
        }
        let plain = || Target::plain(dialled.host.clone(), dialled.port);
        let target = match (scheme, goes) {
            (Scheme::Https, _) => Target::tls(dialled.host.clone(), dialled.port),
            (Scheme::Http, Goes::Locally) => plain().local(),
            (Scheme::Http, _) => plain(),
        };
        let target = if is_http2 { target.http2() } else { target };
        let target = self.0.gate.target(dialled, target, leave).await?;
        let (request, finds) = read.into_parts();
        let inject = Arc::new(SwapInject::new(Arc::clone(&held.table), primary.clone(), others.0, finds));
        line.with(primary.iter().chain(&wanted));
        let order = Order {
            name: primary,
            actor: agent.actor.clone(),
            target,
            inject: Arc::clone(&inject) as _,
            scope: None,
            own: Own::Pass,
            ends_with: self.0.gate.ends_with(agent),
        };
        Ok(Ready { order, inject, request })
    }

    /// Ends what outlives its request. After the listener has stopped.
    pub async fn shutdown(&self) {
        self.0.logins.close();
        self.0.logins.wait().await;
        self.0.exchange.shutdown().await;
        self.0.gate.trail().shutdown().await;
    }

    /// The names that may go where that request goes, for that agent; the most exactly bound ones first. In the clear a
    /// secret goes to this machine only, whatever a binding says.
    async fn bound(&self, asked: &Asked, leave: Leave) -> Result<(Vec<Name>, Goes), Fault> {
        let Asked { agent, dialled, scheme } = asked;
        let access = self.0.broker.access().await.map_err(|error| Fault::Engine(error.into()))?;
        if !self.0.gate.knows(agent, &access) {
            return Err(Fault::Denied(format!("agent '{}' was revoked", agent.name)));
        }
        let mut names = Vec::new();
        for binding in access.bindings.at(&dialled.host, dialled.port) {
            if agent.is_allowed(binding.name.as_str()) && !names.contains(&binding.name) {
                names.push(binding.name.clone());
            }
        }
        if *scheme == Scheme::Https || names.is_empty() {
            return Ok((names, Goes::Anywhere));
        }
        match self.0.gate.is_local(dialled, leave).await {
            true => Ok((names, Goes::Locally)),
            false => Ok((Vec::new(), Goes::Unbound)),
        }
    }

    /// Secrets that the request cannot do without.
    async fn must(&self, agent: &Agent, names: &[Name]) -> Result<Others, Fault> {
        let mut others = Others::default();
        for name in names {
            match self.secret(agent, name).await? {
                Acquired::Token(token) => others.0.push((name.clone(), Secret::from(token.expose()))),
                Acquired::Refused(refusal) => return Err(Fault::Refused { name: name.to_string(), refusal }),
            }
        }
        Ok(others)
    }

    /// Secrets that the request may turn out to want.
    async fn may(&self, agent: &Agent, names: impl Iterator<Item = &Name>) -> Vec<(Name, Secret)> {
        let mut secrets = Vec::new();
        for name in names {
            if let Ok(Acquired::Token(token)) = self.secret(agent, name).await {
                secrets.push((name.clone(), Secret::from(token.expose())));
            }
        }
        secrets
    }

    async fn secret(&self, agent: &Agent, name: &Name) -> Result<Acquired, Fault> {
        let ask = Ask::foreground(self.0.exchange.limits().token_wait);
        Ok(Box::pin(self.0.broker.acquire(name.as_str(), &ask, &agent.actor)).await?)
    }
}
