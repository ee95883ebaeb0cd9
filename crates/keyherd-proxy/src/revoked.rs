//! Agents that are revoked while something of theirs lasts: a stream, or a connection that went on in another protocol.
//!
//! Owns how that is noticed: as soon as the notice is heard, by whatever process it was done. As long as the store cannot
//! say, who was known is.

use std::future::Future;

use keyherd_core::agent::Agent;
use keyherd_core::broker::Broker;
use keyherd_core::ids::{AgentId, Name};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

/// Which agent something ends with.
#[derive(Debug, Clone)]
pub struct EndsWith {
    id: AgentId,
    name: Name,
}

impl From<&Agent> for EndsWith {
    fn from(agent: &Agent) -> Self {
        Self { id: agent.id, name: agent.name.clone() }
    }
}

/// One listener for all: events are many, and few of them are about agents.
pub(crate) fn revocations(broker: &Broker) -> watch::Receiver<()> {
    let mut events = broker.events();
    let (teller, told) = watch::channel(());
    tokio::spawn(async move {
        loop {
            let may_be_one = tokio::select! {
                () = teller.closed() => return,
                heard = events.recv() => match heard {
                    Ok(event) => event.kind == "agent_revoked",
                    Err(RecvError::Lagged(_)) => true,
                    Err(RecvError::Closed) => return,
                },
            };
            if may_be_one {
                teller.send_replace(());
            }
        }
    });
    told
}

/// Waits until `is_gone`, which is asked whenever somebody was revoked.
pub(crate) async fn until<F: Future<Output = bool>>(
    mut revocations: watch::Receiver<()>,
    is_gone: impl Fn() -> F,
) {
    while !is_gone().await {
        if revocations.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

impl EndsWith {
    /// Waits until that agent is none any more.
    pub(crate) async fn gone(self, broker: Broker, revocations: watch::Receiver<()>) {
        let is_gone = || async {
            // On the heap for as long as it takes: what waits for a revocation is one of thousands.
            let access = Box::pin(broker.access()).await;
            access.is_ok_and(|access| {
                access.agents.named(self.name.as_str()).is_none_or(|now| now.id != self.id)
            })
        };
        until(revocations, is_gone).await;
    }
}
