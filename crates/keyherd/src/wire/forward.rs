//! The forward proxy: its door over this process's broker, the installation's authority, and faults as problems.
//!
//! Opened where somebody says where it listens. Off this machine only within TLS: agents' keys cross it.

use std::net::{Ipv4Addr, SocketAddr};
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
use keyherd_core::agent::Agent;
use keyherd_core::broker::{Broker, ManageError};
use keyherd_core::ids::Name;
use keyherd_core::secret::Hasher;
use keyherd_core::time::Timestamp;
use keyherd_core::workers::Workers;
use keyherd_proxy::forward::{Answers, Asked, Dialler, Forward, ForwardBody, ForwardParts, TurnedAway};
use keyherd_proxy::tls::{Authority, Constraint, Leaves, Life, Names};
use keyherd_proxy::{Exchange, ExchangeParts, Fault, Gate, GateParts, Guarded, Received, Swapper, Trail};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::gateway::problem_of;
use super::listener::bind;
use super::{Door, DoorError, Wired, ca, neighbours};
use crate::config::{ProxyPlace, Settings};

/// The authority's certificate in the data folder: for agents to trust.
pub(super) const CA_FILE: &str = "ca.pem";
/// How the files of constrained ones begin.
const CA_CONSTRAINED: &str = "ca-constrained";
/// The authority is good for these years: from then, 2026-01-01, on.
const CA_FROM: Timestamp = Timestamp::from_millis(1_767_225_600_000);
const CA_LIFE: Duration = Duration::from_secs(20 * 365 * 24 * 60 * 60);
/// One that is gone with its process, on clocks that may be off.
const CA_OWN_SLACK: Duration = Duration::from_secs(24 * 60 * 60);
const CA_OWN_LIFE: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// Certificates are for all to read.
const CA_MODE: u32 = 0o644;

/// The proxy's door: bound, not yet serving.
pub(crate) struct ForwardDoor {
    door: Forward,
    swapper: Swapper,
    listener: TcpListener,
    address: SocketAddr,
    is_encrypted: bool,
}

impl ForwardDoor {
    /// Binds the address, and lays the certificate down. `api` is the other listener, which nobody is led to.
    pub(crate) async fn open(
        settings: &Settings,
        place: &ProxyPlace,
        wired: &Wired,
        api: &Door,
    ) -> Result<Option<Self>, DoorError> {
        let listen = &place.listen;
        let failed = |problem: String| DoorError::Proxy { listen: listen.clone(), problem };
        let addresses: Vec<_> =
            tokio::net::lookup_host(listen).await.map_err(|error| failed(error.to_string()))?.collect();
        let tls = api.tls();
        if let Some(open) = addresses.iter().find(|address| tls.is_none() && !address.ip().is_loopback()) {
            return Err(failed(format!(
                "{open} is not on this machine, and agents' keys would cross a network in the clear: give --tls-cert and \
                 --tls-key"
            )));
        }
        let listener = match bind(&addresses, settings.proxy.limits.backlog_max) {
            Err(error) if place.is_default && error.kind() == io::ErrorKind::AddrInUse => {
                tracing::warn!("there is no proxy: {listen} is taken; choose another address with --proxy");
                return Ok(None);
            }
            bound => bound.map_err(|error| failed(error.to_string()))?,
        };
        let hasher = &wired.broker.ports().hasher;
        ca_file(&settings.data, hasher).map_err(failed)?;
        let authority = authority(hasher).map_err(failed)?;
        let made = Self::made(
            settings,
            wired,
            listener,
            Made { authority, lodger: None, others: vec![api.address()], tls },
        );
        made.await.map(Some).map_err(failed)
    }

    /// A door of a process's own: on a free port, for one agent that no store has, in the name of an authority that no file
    /// has.
    pub(crate) async fn own(
        settings: &Settings,
        wired: &Wired,
        agent: Arc<Agent>,
        authority: Authority,
    ) -> Result<Self, String> {
        let listener = bind(&[(Ipv4Addr::LOCALHOST, 0).into()], settings.proxy.limits.backlog_max)
            .map_err(|error| error.to_string())?;
        let mut settings = settings.clone();
        // Who it is for has ended then: nobody else is waited for.
        settings.proxy.limits.drain_timeout = Duration::ZERO;
        Self::made(
            &settings,
            wired,
            listener,
            Made { authority, lodger: Some(agent), others: Vec::new(), tls: None },
        )
        .await
    }

    async fn made(
        settings: &Settings,
        wired: &Wired,
        listener: TcpListener,
        made: Made,
    ) -> Result<Self, String> {
        let Made { authority, lodger, others, tls } = made;
        let is_encrypted = tls.is_some();
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let mut listeners = others;
        listeners.push(address);
        let (broker, limits) = (wired.broker.clone(), settings.proxy.limits.clone());
        let dialler = Dialler::new(listeners, limits.connect_timeout, limits.addresses_max)
            .beside(Arc::new(neighbours::Folder::of(&settings.data)));
        let gate = gate(settings, &broker, dialler.clone(), lodger);
        let exchange = exchange(settings, &broker, dialler).await?;
        let swap = settings.proxy.swap.clone();
        let swapper = Swapper::new(exchange, broker.clone(), gate.clone(), swap);
        let parts = ForwardParts {
            ways: Arc::new(gate),
            answers: Arc::new(Answering { swapper: swapper.clone(), broker: broker.clone() }),
            leaves: Arc::new(leaves(settings, &broker, authority)?),
            limits,
        };
        let door = match tls {
            None => Forward::new(parts),
            Some(tls) => Forward::encrypted(parts, ServerConfig::clone(&tls)),
        };
        Ok(Self { door, swapper, listener, address, is_encrypted })
    }

    /// Its address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.is_encrypted { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Serves until `stop`; then finishes what is in flight.
    pub(crate) async fn serve(self, workers: &Workers, stop: CancellationToken) {
        stop.run_until_cancelled(self.door.serve(self.listener, workers)).await;
        self.door.shutdown().await;
        self.swapper.shutdown().await;
    }
}

/// What tells one door from another.
struct Made {
    authority: Authority,
    lodger: Option<Arc<Agent>>,
    /// keyherd's other listeners.
    others: Vec<SocketAddr>,
    /// The listener's own certificate, where it has one.
    tls: Option<Arc<ServerConfig>>,
}

/// The file of the authority's certificate; made where it is missing, or of another installation.
pub(crate) fn ca_file(data: &Path, hasher: &Hasher) -> Result<PathBuf, String> {
    let path = data.join(CA_FILE);
    let authority = authority(hasher)?;
    let found = fs::read(&path).unwrap_or_default();
    if ca::names(&found, &authority, hasher) {
        opened(&path)?;
    } else {
        lay_down(&path, &format!("# {}\n{}", title(hasher), authority.pem()))?;
    }
    Ok(path)
}

fn lay_down(path: &Path, text: &str) -> Result<(), String> {
    durable::replace(path, text.as_bytes(), None).map_err(|error| unlaid(path, &error))?;
    opened(path)
}

/// Lets everybody read it.
fn opened(path: &Path) -> Result<(), String> {
    fs::set_permissions(path, fs::Permissions::from_mode(CA_MODE)).map_err(|error| unlaid(path, &error))
}

fn unlaid(path: &Path, error: &io::Error) -> String {
    format!("its certificate cannot be laid down at {}: {error}", path.display())
}

/// Where these agents' requests are read, for a certificate to be believed there and nowhere else.
pub(crate) async fn read_names(
    broker: &Broker,
    agents: &[Agent],
    names_max: usize,
) -> Result<Result<Names, String>, ManageError> {
    let read = broker.read_hosts(agents).await?;
    if let Some(network) = read.network {
        return Ok(Err(format!(
            "a rule about requests is about the network {network}, where any host may be"
        )));
    }
    Ok(Names::of(&read.hosts, names_max).map_err(|error| error.to_string()))
}

/// The file of a certificate of the same authority that is believed for these hosts alone; made anew each time. `agent`: whose.
pub(crate) fn constrained_ca_file(
    data: &Path,
    broker: &Broker,
    agent: Option<&Name>,
    names: Names,
) -> Result<PathBuf, String> {
    let whose = agent.map_or_else(String::new, |agent| format!("-{agent}"));
    let path = data.join(format!("{CA_CONSTRAINED}{whose}.pem"));
    let (hasher, all) = (&broker.ports().hasher, names.each().collect::<Vec<_>>().join(", "));
    let constraint = Constraint { names, serial: serial(broker) };
    let authority = installation(hasher, Some(constraint))?;
    let text = format!("# {}, believed for: {all}\n{}", title(hasher), authority.pem());
    lay_down(&path, &text)?;
    Ok(path)
}

fn serial(broker: &Broker) -> [u8; 16] {
    let mut serial = [0; 16];
    broker.ports().entropy.fill(&mut serial);
    serial
}

/// An authority that is gone with this process, for as long as that may live. `names`: what it is for; `None`: any host.
pub(crate) fn own_authority(broker: &Broker, names: Option<Names>) -> Result<Authority, String> {
    let ports = broker.ports();
    let mut secrets = Zeroizing::new([[0; 32]; 4]);
    secrets.iter_mut().for_each(|secret| ports.entropy.fill(secret));
    let secret = |number: u8| Zeroizing::new(secrets.get(usize::from(number)).copied().unwrap_or_default());
    let now = broker.now();
    let life = Life { from: now - CA_OWN_SLACK, until: now + CA_OWN_LIFE };
    let constraint = names.map(|names| Constraint { names, serial: serial(broker) });
    Authority::new(secret, "CA of one run", life, constraint).map_err(|error| error.to_string())
}

/// The installation's: the same in every process of it, with a key that no file holds.
pub(super) fn authority(hasher: &Hasher) -> Result<Authority, String> {
    installation(hasher, None)
}

fn installation(hasher: &Hasher, constraint: Option<Constraint>) -> Result<Authority, String> {
    let secret = |number: u8| hasher.derive(&[b"ca.", [number].as_slice()].concat());
    let life = Life { from: CA_FROM, until: CA_FROM + CA_LIFE };
    Authority::new(secret, &title(hasher), life, constraint).map_err(|error| error.to_string())
}

/// Tells installations apart where people look at certificates.
pub(super) fn title(hasher: &Hasher) -> String {
    let id: String = hasher.labelled(b"ca.title", b"").to_hex().chars().take(8).collect();
    format!("CA of installation {id}")
}

fn leaves(settings: &Settings, broker: &Broker, authority: Authority) -> Result<Leaves, String> {
    let (clock, entropy) = (Arc::clone(&broker.ports().clock), Arc::clone(&broker.ports().entropy));
    Leaves::new(authority, clock, entropy, settings.proxy.leaves).map_err(|error| error.to_string())
}

fn gate(settings: &Settings, broker: &Broker, dialler: Dialler, lodger: Option<Arc<Agent>>) -> Gate {
    Gate::new(GateParts {
        broker: broker.clone(),
        dialler,
        approval_wait: settings.upstream.approval_wait,
        trail: Trail::new(broker.clone(), &settings.proxy.audit),
        signer: Arc::new(Hs256Signer::new(&broker.ports().hasher)),
        limits: settings.proxy.swap.clone(),
        lodger,
    })
}

async fn exchange(settings: &Settings, broker: &Broker, dialler: Dialler) -> Result<Exchange, String> {
    let outbound = Outbound::new(HttpOptions { ca_bundle: settings.ca_bundle.clone(), egress_proxy: None });
    let outbound = outbound.map_err(|error| error.to_string())?;
    Ok(Exchange::new(ExchangeParts {
        broker: broker.clone(),
        reach: Arc::new(Guarded::new(broker.clone(), dialler)),
        tls: outbound.tls().await.map_err(|error| error.to_string())?,
        limits: settings.upstream.clone(),
        mode: "forward",
    }))
}

/// A fault is told in the words of the API.
struct Answering {
    swapper: Swapper,
    broker: Broker,
}

#[async_trait]
impl Answers for Answering {
    async fn answer(&self, asked: Asked, request: Request<Received>) -> Response<ForwardBody> {
        let answered = self.swapper.answer(asked, request).await;
        answered.unwrap_or_else(|fault| self.problem(fault))
    }

    fn problem(&self, fault: Fault) -> Response<ForwardBody> {
        problem_of(fault, &self.broker).into_reply()
    }

    async fn turned_away(&self, turned: &TurnedAway<'_>) {
        self.swapper.turned_away(turned).await;
    }
}
