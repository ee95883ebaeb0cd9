//! The gateway behind the REST door: the proxy's exchange over this process's broker, and its faults as problems.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use keyherd_adapters::provider::{HttpOptions, Outbound};
use keyherd_api::{Annex, AnnexRequest, Caller, Code, Problem, Reply, reply};
use keyherd_core::broker::Broker;
use keyherd_core::time::Timestamp;
use keyherd_proxy::{Exchange, ExchangeParts, Fault, Gateway, Path, Reach, Target};
use tokio::net::TcpStream;
use url::Url;

use super::{WireError, Wired};
use crate::config::Settings;

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
        Ok(Arc::new(Self { gateway: Gateway::new(exchange), broker: wired.broker.clone() }))
    }

    /// Ends what outlives its request.
    pub(crate) async fn shutdown(&self) {
        self.gateway.shutdown().await;
    }

    async fn pass(&self, caller: Caller, request: AnnexRequest) -> Result<Reply, Problem> {
        let path = Path::parse(request.uri().path()).map_err(|fault| self.problem(fault))?;
        caller.may_use(path.name.as_str())?;
        let access = self.broker.access().await?;
        let agent = match &caller {
            Caller::Admin => None,
            Caller::Agent(agent) => Some(&agent.name),
        };
        let answer = self.gateway.answer(caller.actor(), agent, &access.bindings, request).await;
        answer.map(reply).map_err(|fault| self.problem(fault))
    }

    fn problem(&self, fault: Fault) -> Problem {
        problem_of(fault, self.broker.now())
    }
}

/// A fault as the API tells it.
pub(super) fn problem_of(fault: Fault, now: Timestamp) -> Problem {
    let code = match &fault {
        Fault::Refused { name, refusal } => return Problem::refused(name, refusal, now),
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
        Fault::NotFound(_) => Code::NotFound,
        Fault::Denied(_) => Code::Denied,
        Fault::Unanswered(_) => Code::ApprovalTimeout,
        Fault::Busy(_) => Code::Busy,
        Fault::Uninjectable(_) => Code::Conflict,
        Fault::Crowded(_) => Code::Busy,
        Fault::Unreachable { .. } | Fault::Broken { .. } => Code::ProviderUnavailable,
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
