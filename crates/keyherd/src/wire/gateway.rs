//! The gateway behind the REST door: the proxy's exchange over this process's broker, and its faults as problems.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_adapters::provider::{HttpOptions, Outbound};
use keyherd_api::{Annex, AnnexRequest, Caller, Code, Problem, Reply, reply};
use keyherd_core::broker::{AcquireError, Broker};
use keyherd_core::ids::{BindingId, Name};
use keyherd_proxy::{Exchange, ExchangeParts, Fault, Gateway, Path, Reach, Recheck, Target, Trail};
use tokio::net::TcpStream;
use url::Url;

use super::{WireError, Wired};
use crate::config::Settings;

/// When an upstream that gave no answer may be asked again.
const UPSTREAM_RETRY: Duration = Duration::from_secs(1);
/// What is passed on, as far as it has a name everywhere; other words pass too.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The gateway as an annex of the REST door.
pub(crate) struct GatewayDoor {
    gateway: Gateway,
    broker: Broker,
}

impl GatewayDoor {
    /// Reads the roots that upstreams are verified by.
    pub(crate) async fn open(settings: &Settings, wired: &Wired) -> Result<Arc<Self>, WireError> {
        let outbound = Outbound::new(HttpOptions {
            ca_bundle: settings.ca_bundle.clone(),
            egress_proxy: settings.egress_proxy.clone(),
        })?;
        let tls = outbound.tls().await.map_err(WireError::Roots)?;
        let exchange = Exchange::new(ExchangeParts {
            broker: wired.broker.clone(),
            reach: Arc::new(Outside(outbound)),
            tls,
            limits: settings.upstream.clone(),
            mode: "gateway",
        });
        let trail = Trail::new(wired.broker.clone(), &settings.proxy.audit);
        Ok(Arc::new(Self { gateway: Gateway::new(exchange, trail), broker: wired.broker.clone() }))
    }

    /// Ends what outlives its request.
    pub(crate) async fn shutdown(&self) {
        self.gateway.shutdown().await;
    }

    async fn pass(&self, caller: Caller, mut request: AnnexRequest) -> Result<Reply, Problem> {
        let path = Path::parse(request.uri().path()).map_err(|fault| self.problem(fault))?;
        let name = path.name;
        if let Err(problem) = caller.may_use(name.as_str()) {
            self.gateway.turned_away(caller.actor(), &name).await;
            return Err(problem);
        }
        let access = self.broker.access().await?;
        if let Some(binding) = access.bindings.gateway(name.as_str()).map(|binding| binding.id) {
            request.extensions_mut().insert(self.recheck(caller.clone(), name, binding));
        }
        let agent = match &caller {
            Caller::Admin | Caller::Ticket { .. } => None,
            Caller::Agent(agent) => Some(&agent.name),
        };
        let answer = self.gateway.answer(caller.actor(), agent, &access.bindings, request).await;
        answer.map(reply).map_err(|fault| self.problem(fault))
    }

    /// Whether the caller still is one, and the name still leads where it led.
    fn recheck(&self, caller: Caller, name: Name, binding: BindingId) -> Recheck {
        let (broker, parts) = (self.broker.clone(), Arc::new((caller, name)));
        Recheck::new(move || {
            let (broker, parts) = (broker.clone(), Arc::clone(&parts));
            async move {
                let (caller, name) = &*parts;
                let gone = |what: String| Fault::Denied(format!("{what} while the request waited"));
                if let Caller::Agent(agent) = caller
                    && !broker.has_agent(agent).await.map_err(AcquireError::from)?
                {
                    return Err(gone(format!("the key of agent '{}' was revoked", agent.name)));
                }
                let access = broker.access().await.map_err(AcquireError::from)?;
                match access.bindings.gateway(name.as_str()) {
                    Some(now) if now.id == binding => Ok(()),
                    _ => Err(gone(format!("what led upstream from '{name}' was removed"))),
                }
            }
        })
    }

    fn problem(&self, fault: Fault) -> Problem {
        problem_of(fault, &self.broker)
    }
}

/// A fault as the API tells it.
pub(super) fn problem_of(fault: Fault, broker: &Broker) -> Problem {
    let code = match &fault {
        Fault::Refused { name, refusal } if broker.knows_pool(name) => {
            return Problem::refused_pool(name, refusal, broker.now());
        }
        Fault::Refused { name, refusal } => return Problem::refused(name, refusal, broker.now()),
        Fault::Engine(_) => {
            let Fault::Engine(error) = fault else { return Problem::internal() };
            return error.into();
        }
        Fault::Internal => return Problem::internal(),
        Fault::Unasked(_) => {
            let Fault::Unasked(error) = fault else { return Problem::internal() };
            return error.into();
        }
        Fault::BadRequest(_) | Fault::BrokenOff => Code::InvalidRequest,
        Fault::BadMethod(_) => {
            return Problem::new(Code::MethodNotAllowed, fault.to_string()).allowing(METHODS);
        }
        Fault::NotFound(_) => Code::NotFound,
        Fault::Denied(_) | Fault::Undialled(_) => Code::Denied,
        Fault::Unrecognised => Code::ProxyUnauthorized,
        Fault::Misdirected(_) => Code::Misdirected,
        Fault::Unanswered(_) => Code::ApprovalTimeout,
        Fault::Busy(_) => Code::Busy,
        Fault::Uninjectable(_) => Code::Conflict,
        Fault::Crowded(_) => Code::Busy,
        Fault::Unreachable { .. } | Fault::Broken { .. } => {
            return Problem::new(Code::ProviderUnavailable, fault.to_string()).retry_after(UPSTREAM_RETRY);
        }
        Fault::Withheld { .. } | Fault::Unreadable(_) => Code::ProviderUnavailable,
        Fault::Late(_) => Code::Timeout,
    };
    Problem::new(code, fault.to_string())
}

#[async_trait]
impl Annex for GatewayDoor {
    fn is_for(&self, path: &str) -> bool {
        Path::is_one(path)
    }

    async fn answer(&self, caller: Caller, request: AnnexRequest) -> Result<Reply, Problem> {
        self.pass(caller, request).await
    }
}

/// Upstreams are reached as providers are.
struct Outside(Outbound);

#[async_trait]
impl Reach for Outside {
    async fn reach(&self, target: &Target) -> io::Result<TcpStream> {
        if let Some(address) = target.pinned_to() {
            return self.0.reach_address(address).await;
        }
        let scheme = if target.is_tls() { "https" } else { "http" };
        let url = Url::parse(&format!("{scheme}://{}/", target.authority()));
        self.0.reach(&url.map_err(io::Error::other)?).await
    }
}
