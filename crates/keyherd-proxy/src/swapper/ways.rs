//! Who may go where, by agents and bindings; and the way there, by addresses that were judged.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use keyherd_core::agent::Agent;
use keyherd_core::broker::Broker;
use keyherd_core::secret::Secret;
use tokio::net::TcpStream;

use crate::forward::{Dialled, Dialler, Refused, Way, Ways};
use crate::target::Target;
use crate::upstream::Reach;

/// Hosts that a binding names for the agent are read, all others are tunnelled.
#[derive(Clone)]
pub struct BrokerWays(Broker);

impl BrokerWays {
    /// Over a broker.
    pub fn new(broker: Broker) -> Self {
        Self(broker)
    }
}

#[async_trait]
impl Ways for BrokerWays {
    async fn caller(&self, name: &str, key: &Secret) -> Option<Arc<Agent>> {
        match self.0.agent_named(name, key.expose().as_bytes()).await {
            Ok(agent) => agent,
            Err(error) => {
                tracing::warn!(%error, "an agent cannot be recognised");
                None
            }
        }
    }

    async fn way(&self, agent: &Agent, dialled: &Dialled) -> Way {
        let access = match self.0.access().await {
            Ok(access) => access,
            Err(error) => {
                return Way::Refused(Refused { code: "store_unavailable", detail: error.to_string() });
            }
        };
        let mut bound = access.bindings.at(&dialled.host, dialled.port);
        if bound.any(|binding| agent.is_allowed(binding.name.as_str())) {
            return Way::Read;
        }
        let is_named = access.bindings.names(&dialled.host, dialled.port);
        Way::Tunnel(Arc::new(move |_| is_named))
    }
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
        let access = self.broker.access().await.map_err(io::Error::other)?;
        let is_named = access.bindings.names(target.host(), target.port());
        let dialled = Dialled { host: target.host().clone(), port: target.port() };
        self.dialler.dial(&dialled, &|_| is_named).await.map_err(io::Error::other)
    }
}
