//! The forward proxy: its door over this process's broker, the installation's authority, and faults as problems.
//!
//! Opened where somebody says where it listens. On this machine only: agents' keys cross it in the clear.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use http::{Request, Response};
use keyherd_adapters::durable;
use keyherd_adapters::provider::{HttpOptions, Outbound};
use keyherd_adapters::signer::Hs256Signer;
use keyherd_core::broker::Broker;
use keyherd_core::secret::Hasher;
use keyherd_core::time::Timestamp;
use keyherd_proxy::forward::{
    Answers, Asked, Dialler, Forward, ForwardBody, ForwardLimits, ForwardParts, Received, problem,
};
use keyherd_proxy::tls::{Authority, LeafLimits, Leaves, Life};
use keyherd_proxy::{BrokerWays, Exchange, ExchangeParts, Guarded, SwapLimits, Swapper};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::gateway::problem_of;
use super::{DoorError, Wired};
use crate::config::Settings;

/// The authority's certificate in the data folder: for agents to trust.
const CA_FILE: &str = "ca.pem";
/// The authority is good for these years: from then, 2026-01-01, on.
const CA_FROM: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const CA_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
/// Certificates are for all to read.
const CA_MODE: u32 = 0o644;

/// The proxy's door: bound, not yet serving.
pub(crate) struct ForwardDoor {
    door: Forward,
    swapper: Swapper,
    listener: TcpListener,
    address: SocketAddr,
}

impl ForwardDoor {
    /// Binds the address, and lays the certificate down. `api` is the other listener, which nobody is led to.
    pub(crate) async fn open(
        settings: &Settings,
        listen: &str,
        wired: &Wired,
        api: SocketAddr,
    ) -> Result<Self, DoorError> {
        let failed = |problem: String| DoorError::Proxy { listen: listen.to_owned(), problem };
        let addresses: Vec<_> =
            tokio::net::lookup_host(listen).await.map_err(|error| failed(error.to_string()))?.collect();
        if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(failed(format!(
                "{open} is not on this machine, and agents' keys would cross a network in the clear"
            )));
        }
        let listener =
            TcpListener::bind(addresses.as_slice()).await.map_err(|error| failed(error.to_string()))?;
        let address = listener.local_addr().map_err(|error| failed(error.to_string()))?;
        let leaves = leaves(settings, wired).map_err(failed)?;
        let listeners = vec![address, api];
        let swapper = swapper(settings, wired, &listeners).await.map_err(failed)?;
        let door = Forward::new(ForwardParts {
            ways: Arc::new(BrokerWays::new(wired.broker.clone())),
            answers: Arc::new(Answering { swapper: swapper.clone(), broker: wired.broker.clone() }),
            leaves: Arc::new(leaves),
            listeners,
            limits: ForwardLimits::default(),
        });
        Ok(Self { door, swapper, listener, address })
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `stop`; then finishes what is in flight.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.door.serve(self.listener)).await;
        self.door.shutdown().await;
        self.swapper.shutdown().await;
    }
}

/// The file of the authority's certificate; made where it is missing, or of another installation.
pub(crate) fn ca_file(data: &Path, hasher: &Hasher) -> Result<PathBuf, String> {
    let path = data.join(CA_FILE);
    let told =
        |error: io::Error| format!("its certificate cannot be laid down at {}: {error}", path.display());
    let first = format!("# {}", title(hasher));
    let found = fs::read_to_string(&path).unwrap_or_default();
    if found.lines().next() != Some(&first) {
        let authority = authority(hasher)?;
        let text = format!("{first}\n{}", authority.pem());
        durable::replace(&path, text.as_bytes(), None).map_err(told)?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(CA_MODE)).map_err(told)?;
    Ok(path)
}

/// The installation's: the same in every process of it, with a key that no file holds.
fn authority(hasher: &Hasher) -> Result<Authority, String> {
    let secret = |number: u8| hasher.derive(&[b"ca.", [number].as_slice()].concat());
    let life = Life { from: CA_FROM, until: CA_FROM + CA_LIFE };
    Authority::new(secret, &title(hasher), life, &[]).map_err(|error| error.to_string())
}

/// Tells installations apart where people look at certificates.
fn title(hasher: &Hasher) -> String {
    let id: String = hasher.labelled(b"ca.title", b"").to_hex().chars().take(8).collect();
    format!("CA of installation {id}")
}

fn leaves(settings: &Settings, wired: &Wired) -> Result<Leaves, String> {
    let ports = wired.broker.ports();
    ca_file(&settings.data, &ports.hasher)?;
    let (clock, entropy) = (Arc::clone(&ports.clock), Arc::clone(&ports.entropy));
    Leaves::new(authority(&ports.hasher)?, clock, entropy, LeafLimits::default())
        .map_err(|error| error.to_string())
}

async fn swapper(settings: &Settings, wired: &Wired, listeners: &[SocketAddr]) -> Result<Swapper, String> {
    let outbound = Outbound::new(HttpOptions { ca_bundle: settings.ca_bundle.clone(), egress_proxy: None });
    let outbound = outbound.map_err(|error| error.to_string())?;
    let (broker, limits) = (wired.broker.clone(), ForwardLimits::default());
    let dialler = Dialler::new(listeners.to_vec(), limits.connect_timeout, limits.addresses_max);
    let exchange = Exchange::new(ExchangeParts {
        broker: broker.clone(),
        reach: Arc::new(Guarded::new(broker.clone(), dialler)),
        tls: outbound.tls().await.map_err(|error| error.to_string())?,
        limits: settings.upstream.clone(),
        mode: "forward",
    });
    let signer = Arc::new(Hs256Signer::new(&broker.ports().hasher));
    Ok(Swapper::new(exchange, broker, signer, SwapLimits::default()))
}

/// A fault is told in the words of the API.
struct Answering {
    swapper: Swapper,
    broker: Broker,
}

#[async_trait]
impl Answers for Answering {
    async fn answer(&self, asked: Asked, request: Request<Received>) -> Response<ForwardBody> {
        match self.swapper.answer(asked, request).await {
            Ok(answer) => answer,
            Err(fault) => {
                let detail = fault.to_string();
                let (word, status) = problem_of(fault, self.broker.now()).code().parts();
                problem(status, word, &detail)
            }
        }
    }
}
