//! The gateway behind the REST door: the proxy's exchange over this process's broker, and its faults as problems.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_adapters::provider::{HttpOptions, Outbound};
use keyherd_adapters::signer::Hs256Signer;
use keyherd_api::{Annex, AnnexRequest, Caller, Code, Problem, Reply};
use keyherd_core::broker::{AcquireError, Broker};
use keyherd_core::ids::{BindingId, Name};
use keyherd_proxy::{
    Asked, Exchange, ExchangeParts, Fault, Gateway, Path, Reach, Received, Recheck, Target, Trail, Veil,
};
use tokio::net::TcpStream;
use url::Url;

use super::{WireError, Wired};
use crate::config::Settings;

/// When an upstream that gave no answer may be asked again.
const UPSTREAM_RETRY: Duration = Duration::from_secs(1);
/// When a request for which the store was needed may be sent again.
const STORE_RETRY: Duration = Duration::from_secs(1);
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
        let broker = wired.broker.clone();
        let signer = Arc::new(Hs256Signer::new(&broker.ports().hasher));
        let veil = Veil::new(broker.clone(), signer, settings.proxy.swap.clone());
        Ok(Arc::new(Self { gateway: Gateway::new(exchange, trail, veil), broker }))
    }

    /// Ends what outlives its request.
    pub(crate) async fn shutdown(&self) {
        self.gateway.shutdown().await;
    }

    fn problem(&self, fault: Fault) -> Problem {
        problem_of(fault, &self.broker)
    }
}

/// Whether the caller still is one, and the name still leads where it led.
struct Still<'a> {
    broker: &'a Broker,
    caller: &'a Caller,
    name: Name,
    binding: Option<BindingId>,
}

#[async_trait]
impl Recheck for Still<'_> {
    async fn ask(&self) -> Result<(), Fault> {
        let gone = |what: String| Fault::Denied(format!("{what} while the request waited"));
        if let Caller::Agent(agent) = self.caller
            && !self.broker.has_agent(agent).await.map_err(AcquireError::from)?
        {
            return Err(gone(format!("the key of agent '{}' was revoked", agent.name)));
        }
        let access = self.broker.access().await.map_err(AcquireError::from)?;
        let leads = access.bindings.gateway(self.name.as_str()).map(|binding| binding.id);
        match leads == self.binding {
            true => Ok(()),
            false => Err(gone(format!("what led upstream from '{}' was removed", self.name))),
        }
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
            let is_for_now = matches!(error, AcquireError::Store(_));
            let problem = Problem::from(error);
            return if is_for_now { problem.retry_after(STORE_RETRY) } else { problem };
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
        // What is seldom waited for is apart: all of this is moved about with the request.
        let asked = (request.method(), request.uri().path());
        let path = match Path::parse(asked.1) {
            Ok(path) => path,
            Err(fault) => {
                Box::pin(self.gateway.turned_away(caller.actor(), None, asked, &fault)).await;
                return Err(self.problem(fault));
            }
        };
        if let Err(problem) = caller.may_use(path.name.as_str()) {
            let fault = Fault::Denied("the agent is not allowed that name".into());
            Box::pin(self.gateway.turned_away(caller.actor(), Some(&path.name), asked, &fault)).await;
            return Err(problem);
        }
        let access = match self.broker.access_at_hand() {
            Some(access) => access,
            None => Box::pin(self.broker.access()).await?,
        };
        let binding = access.bindings.gateway(path.name.as_str()).map(|binding| binding.id);
        let still = Still { broker: &self.broker, caller: &caller, name: path.name.clone(), binding };
        let agent = match &caller {
            Caller::Admin | Caller::Ticket { .. } => None,
            Caller::Agent(agent) => Some(&**agent),
        };
        let bindings = &access.bindings;
        let asked = Asked { actor: caller.actor(), agent, bindings, path, recheck: Some(&still) };
        let answer = self.gateway.answer(asked, Received::boxed(request)).await;
        answer.map_err(|fault| self.problem(fault))
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
