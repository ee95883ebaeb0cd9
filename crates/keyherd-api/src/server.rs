//! Serving connections: accepted within bounds, spoken to in HTTP/1 and HTTP/2, drained when it is time to stop.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use keyherd_core::seldom;
use keyherd_core::workers::Workers;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::{Api, Seat};
use crate::limits::{ApiLimits, HEADERS_AT_HAND};
use crate::pressed::Pressed;

/// Rest after an accept that failed, so that a lack of descriptors does not spin.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
/// How often what metrics recorded is moved to where it is rendered.
const UPKEEP: Duration = Duration::from_secs(5);
/// What hyper needs for an HTTP/1 head, in bytes.
const HEAD_LEN_MIN: usize = 8 * 1024;
/// An HTTP/2 connection that is silent is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves the door on a listener until `stop`; then accepts nothing more, ends streams, and lets requests in flight
/// finish within `drain_timeout`. `false`: some had to be cut off. Flights of the broker go on in either case:
/// [`keyherd_core::broker::Broker::shutdown`] comes after this.
///
/// `tls`: its ALPN protocols are the caller's to set (`h2`, `http/1.1`). `workers` serve what is accepted here.
pub async fn serve(
    listener: TcpListener,
    api: Api,
    tls: Option<Arc<rustls::ServerConfig>>,
    workers: &Workers,
    stop: CancellationToken,
) -> bool {
    // The broker begins to watch the outbox with its first listener: before any client can ask.
    drop(api.state().broker.events());
    let drain_timeout = api.state().limits.drain_timeout;
    let (connections, cut) = (TaskTracker::new(), CancellationToken::new());
    let server = Arc::new(Server {
        http: builder(&api.state().limits),
        tls: tls.map(TlsAcceptor::from),
        stop: stop.clone(),
        cut: cut.clone(),
        api: api.clone(),
    });
    {
        let mut upkeep = pin!(upkeep(&api));
        tokio::select! {
            () = stop.cancelled() => {}
            () = server.accept(listener, workers, &connections) => {}
            () = &mut upkeep => {}
        }
    }
    api.state().closing.cancel();
    drain(&api, &connections, &cut, drain_timeout).await
}

struct Server {
    api: Api,
    http: Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    /// No more requests: finish what is there.
    stop: CancellationToken,
    /// Time is up.
    cut: CancellationToken,
}

impl Server {
    async fn accept(self: &Arc<Self>, listener: TcpListener, workers: &Workers, connections: &TaskTracker) {
        let places = self.api.state().limits.connections_max.min(Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(places));
        while let Ok(place) = room.clone().acquire_owned().await {
            match listener.accept().await.and_then(|(stream, _)| stream.into_std()) {
                Ok(stream) => {
                    let server = Arc::clone(self);
                    workers.serve(connections, || server.connection(stream, place));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: std::net::TcpStream, place: OwnedSemaphorePermit) {
        let (stream, local) = match TcpStream::from_std(stream).and_then(|tcp| Ok((tcp.local_addr()?, tcp))) {
            Ok((local, stream)) => (stream, local),
            Err(error) => return tracing::warn!(%error, "a connection cannot be served"),
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let seat = self.api.seat(local, self.tls.is_some());
        // Connections are many: each is as large as what it awaits here, and those without TLS are the smaller ones.
        match &self.tls {
            None => self.speak(stream, place, seat).await,
            Some(tls) => tokio::select! {
                () = self.cut.cancelled() => {}
                () = self.speak_within_tls(tls, stream, place, seat) => {}
            },
        }
    }

    fn speak_within_tls<'a>(
        &'a self,
        tls: &'a TlsAcceptor,
        stream: TcpStream,
        place: OwnedSemaphorePermit,
        seat: Seat,
    ) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let greeted = timeout(self.api.state().limits.header_timeout, tls.accept(stream));
            if let Ok(Ok(stream)) = greeted.await {
                self.speak(stream, place, seat).await;
            }
        })
    }

    async fn speak(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        place: OwnedSemaphorePermit,
        seat: Seat,
    ) {
        let limits = &self.api.state().limits;
        let stream = TokioIo::new(Pressed::new(stream, place, limits.write_timeout));
        // Apart, and so once: a future that others are made of is moved into each of them.
        let mut spoken = Box::pin(self.http.serve_connection_with_upgrades(stream, seat.clone()));
        // All that is not a request, looked at together and seldom.
        let over = async {
            tokio::select! {
                () = self.cut.cancelled() => true,
                () = seat.pulse().stopped(limits.header_timeout) => true,
                () = self.stop.cancelled() => false,
            }
        };
        let ended = match seldom::until(spoken.as_mut(), over).await {
            Ok(ended) => ended,
            Err(is_cut) if is_cut => return,
            Err(_) => {
                spoken.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = spoken => ended,
                    () = self.cut.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended badly");
        }
    }
}

fn builder(limits: &ApiLimits) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    // Heads that do not come are the pulse's.
    http.http1().header_read_timeout(None).max_buf_size(limits.head_len_max.max(HEAD_LEN_MIN));
    if limits.headers_max != HEADERS_AT_HAND {
        http.http1().max_headers(limits.headers_max);
    }
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(u32::try_from(limits.head_len_max).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_TIMEOUT);
    http
}

async fn upkeep(api: &Api) {
    loop {
        // Both are every few seconds' work: what the dashboard charts is read here too.
        api.state().samples.take(&api.state().metrics.render());
        sleep(UPKEEP).await;
        api.state().metrics.upkeep();
    }
}

async fn drain(api: &Api, connections: &TaskTracker, cut: &CancellationToken, patience: Duration) -> bool {
    let changes = &api.state().changes;
    connections.close();
    changes.close();
    let all = async { tokio::join!(connections.wait(), changes.wait()) };
    if timeout(patience, all).await.is_ok() {
        return true;
    }
    tracing::warn!(
        connections = connections.len(),
        changes = changes.len(),
        "not all requests ended in time"
    );
    cut.cancel();
    connections.wait().await;
    false
}
