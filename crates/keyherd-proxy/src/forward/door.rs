//! The door: its listener, how many may come, and how it closes.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Response};
use keyherd_core::agent::Agent;
use keyherd_core::seldom;
use keyherd_core::workers::Workers;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::body::ForwardBody;
use super::connection::connection;
use super::dialled::Dialled;
use super::parts::{Away, ForwardParts, TurnedAway};
use crate::fault::Fault;
use crate::meters::{Meters, Outcome};

/// How long accepting rests after it failed, such as for want of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// The door's name, for metrics.
const MODE: &str = "forward";

/// The forward proxy. Cheap to clone.
#[derive(Clone)]
pub struct Forward(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) parts: ForwardParts,
    /// Of connections, and of requests that go nowhere: what is read is counted by who answers it.
    meters: Meters,
    /// The listener's own certificate, where it has one.
    pub(super) tls: Option<TlsAcceptor>,
    /// One is always taken: the next connection's.
    pub(super) places: Arc<Semaphore>,
    /// Who accepts, and connections with what comes of them: tunnels.
    pub(super) tasks: TaskTracker,
    /// No new requests: connections end with the one under way.
    pub(super) closing: CancellationToken,
    /// Everything ends now.
    pub(super) cut: CancellationToken,
}

impl Forward {
    /// A door that is not open yet.
    pub fn new(parts: ForwardParts) -> Self {
        Self::made(parts, None)
    }

    /// The same within TLS: an HTTPS proxy, and SOCKS5 alike. Over it HTTP/1.1 is spoken, as without it.
    pub fn encrypted(parts: ForwardParts, mut config: ServerConfig) -> Self {
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self::made(parts, Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn made(parts: ForwardParts, tls: Option<TlsAcceptor>) -> Self {
        let (closing, cut) = (CancellationToken::new(), CancellationToken::new());
        let places = Arc::new(Semaphore::new(parts.limits.connections_max));
        let (meters, tasks) = (Meters::new(MODE), TaskTracker::new());
        Self(Arc::new(Inner { parts, meters, tls, places, tasks, closing, cut }))
    }

    /// Accepts until [`Forward::shutdown`] is called, or nobody waits for it any more. `workers` serve what is accepted.
    pub async fn serve(&self, listener: TcpListener, workers: &Workers) {
        let (door, workers) = (self.clone(), workers.clone());
        // Without workers, among the connections that it begins: whoever waits here may be a thread that does nothing else, and
        // would have to be woken for each.
        let accepting = self.0.tasks.spawn(async move {
            let closing = door.0.closing.clone();
            closing.run_until_cancelled(door.accept(&listener, &workers)).await;
        });
        let _ended = AbortOnDropHandle::new(accepting).await;
    }

    async fn accept(&self, listener: &TcpListener, workers: &Workers) {
        loop {
            let Ok(place) = Arc::clone(&self.0.places).acquire_owned().await else { return };
            match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => {
                    let door = self.clone();
                    workers.serve(&self.0.tasks, || async move {
                        match TcpStream::from_std(stream) {
                            Ok(stream) => door.until_cut(connection(&door, stream)).await,
                            Err(error) => tracing::warn!(%error, "a connection cannot be served"),
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the proxy cannot accept");
                    sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// Closes: requests and tunnels have `drain_timeout` to end.
    pub async fn shutdown(&self) {
        self.0.closing.cancel();
        self.0.tasks.close();
        let drained = timeout(self.0.parts.limits.drain_timeout, self.0.tasks.wait()).await;
        self.0.cut.cancel();
        if drained.is_err() {
            tracing::info!(left = self.0.tasks.len(), "the proxy ends connections that are still open");
            self.0.tasks.wait().await;
        }
    }

    /// Counts how a connection, or what it asked for, ended.
    pub(super) fn count(&self, outcome: Outcome) {
        self.0.meters.count(outcome);
    }

    /// What an agent is told that goes nowhere.
    pub(super) fn told(&self, fault: Fault) -> Response<ForwardBody> {
        self.count(Outcome::of(&fault));
        self.0.parts.answers.problem(fault)
    }

    /// The same where the door itself sees that it goes nowhere: nobody else leaves its line.
    pub(super) async fn turn_away(
        &self,
        agent: &Agent,
        dialled: Option<&Dialled>,
        request: Option<(&Method, &str)>,
        fault: Fault,
    ) -> Response<ForwardBody> {
        let away = match &fault {
            Fault::Misdirected(_) => Away::Misdirected(fault.to_string()),
            _ => Away::BadRequest(fault.to_string()),
        };
        self.0.parts.answers.turned_away(&TurnedAway { agent, dialled, request, away }).await;
        self.told(fault)
    }

    /// Runs to its end, or until everything is cut.
    fn until_cut<'a>(
        &'a self,
        task: impl Future<Output = ()> + Send + 'a,
    ) -> impl Future<Output = ()> + Send + 'a {
        // On the heap at once: it is large, and is handed on through what counts it and what cuts it.
        let mut task = Box::pin(task);
        async move {
            if !self.0.cut.is_cancelled() {
                let _ = seldom::until(task.as_mut(), self.0.cut.cancelled()).await;
            }
        }
    }

    /// A step of a handshake, in time. Who has sent no request when the door closes is not waited for.
    pub(super) fn in_time<T, E: From<io::Error>>(
        &self,
        step: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        let in_time = timeout(self.0.parts.limits.handshake_timeout, step);
        let ended = |kind: io::ErrorKind| Err(io::Error::from(kind).into());
        async move {
            match seldom::until(pin!(in_time), self.0.closing.cancelled()).await {
                Ok(Ok(done)) => done,
                Ok(Err(_elapsed)) => ended(io::ErrorKind::TimedOut),
                Err(()) => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the proxy closes").into()),
            }
        }
    }
}
