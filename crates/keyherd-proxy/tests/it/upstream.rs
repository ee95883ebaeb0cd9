//! An upstream that does what a test tells it, on a port of its own, and remembers what it was sent.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::request::Parts;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use keyherd_proxy::BodyError;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

type Answering = Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// A running upstream.
pub(crate) struct Upstream {
    pub(crate) at: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<Mutex<usize>>,
    open: Arc<Mutex<usize>>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) head: Arc<Parts>,
    pub(crate) body: Bytes,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().expect("is text"))
    }

    /// The token it was sent with.
    pub(crate) fn bearer(&self) -> &str {
        self.header("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default()
    }
}

impl Upstream {
    /// Reads every request to its end, then answers as it is told.
    pub(crate) async fn new<F>(answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        let answer = Arc::new(answer);
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let log = Arc::clone(&seen);
        let answering: Answering = Arc::new(move |request| {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            Box::pin(async move {
                let (head, body) = request.into_parts();
                let Ok(body) = body.collect().await else { return status(400) };
                let seen = Seen { head: Arc::new(head), body: body.to_bytes() };
                lock(&log).push(seen.clone());
                answer(&seen)
            })
        });
        Self { seen, ..Self::streaming(answering, None).await }
    }

    /// Does with requests what it is told, as they come.
    pub(crate) async fn streaming(answering: Answering, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("has one");
        let (connections, open): (Arc<Mutex<usize>>, Arc<Mutex<usize>>) = Default::default();
        let (count, left) = (Arc::clone(&connections), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *lock(&count) += 1;
                *lock(&left) += 1;
                let (serving, left) =
                    (served(stream, Arc::clone(&answering), tls.clone()), Arc::clone(&left));
                tokio::spawn(async move {
                    serving.await;
                    *lock(&left) -= 1;
                });
            }
        });
        Self { at, seen: Arc::default(), connections, open }
    }

    /// A TCP server that says these bytes to whatever comes, and closes.
    pub(crate) async fn raw(said: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("has one");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(said).await;
            }
        });
        Self { at, seen: Arc::default(), connections: Arc::default(), open: Arc::default() }
    }

    /// Answers requests, and closes the connections that it has, without a word before, when `leave` says so.
    pub(crate) async fn leaving(leave: &watch::Sender<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("has one");
        let (connections, open): (Arc<Mutex<usize>>, Arc<Mutex<usize>>) = Default::default();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (count, left, log, leave) =
            (Arc::clone(&connections), Arc::clone(&open), Arc::clone(&seen), leave.subscribe());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *lock(&count) += 1;
                *lock(&left) += 1;
                let (left, log, mut leave) = (Arc::clone(&left), Arc::clone(&log), leave.clone());
                leave.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        _ = plainly(&mut stream, &log) => {}
                        _ = leave.changed() => {}
                    }
                    drop(stream);
                    *lock(&left) -= 1;
                });
            }
        });
        Self { at, seen, connections, open }
    }

    /// Answers one request on each connection. When `leave` says so it ends its own side, and waits for the other to end.
    pub(crate) async fn finishing(leave: &watch::Sender<()>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("has one");
        let (connections, open): (Arc<Mutex<usize>>, Arc<Mutex<usize>>) = Default::default();
        let (count, left, leave) = (Arc::clone(&connections), Arc::clone(&open), leave.subscribe());
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                *lock(&count) += 1;
                *lock(&left) += 1;
                let (left, mut leave) = (Arc::clone(&left), leave.clone());
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell").await;
                    let _ = leave.changed().await;
                    let _ = stream.shutdown().await;
                    while stream.read(&mut buffer).await.is_ok_and(|len| len > 0) {}
                    *lock(&left) -= 1;
                });
            }
        });
        Self { at, seen: Arc::default(), connections, open }
    }

    /// Answers one request on each connection, and resets it at the next.
    pub(crate) async fn resetting() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("has one");
        let connections: Arc<Mutex<usize>> = Arc::default();
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            while let Ok((mut stream, _)) = listener.accept().await {
                *lock(&count) += 1;
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell").await;
                    let _ = stream.read(&mut buffer).await;
                    let _ = stream.set_zero_linger();
                });
            }
        });
        Self { at, seen: Arc::default(), connections, open: Arc::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.at)
    }

    /// What it was sent so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// With whose tokens, in order.
    pub(crate) fn bearers(&self) -> Vec<String> {
        self.seen().iter().map(|seen| seen.bearer().to_owned()).collect()
    }

    /// All that ever came.
    pub(crate) fn connections(&self) -> usize {
        *lock(&self.connections)
    }

    /// Those that are open.
    pub(crate) fn open(&self) -> usize {
        *lock(&self.open)
    }
}

/// A stream's body, and the hand that fills it.
pub(crate) fn by_hand() -> (mpsc::Sender<Result<Frame<Bytes>, BodyError>>, Body) {
    let (sender, mut parts) = mpsc::channel(16);
    let stream = futures_util::stream::poll_fn(move |cx| parts.poll_recv(cx));
    (sender, UnsyncBoxBody::new(StreamBody::new(stream)))
}

pub(crate) fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    UnsyncBoxBody::new(Full::new(bytes.into()).map_err(|never: Infallible| match never {}))
}

pub(crate) fn status(status: u16) -> Response<Body> {
    answer(status, "")
}

pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    Response::builder().status(status).body(full(body)).expect("is an answer")
}

async fn served(stream: TcpStream, answering: Answering, tls: Option<TlsAcceptor>) {
    let service = service_fn(move |request| {
        let answer = answering(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let http = auto::Builder::new(TokioExecutor::new());
    match tls {
        None => drop(http.serve_connection_with_upgrades(TokioIo::new(stream), service).await),
        Some(tls) => {
            let Ok(stream) = tls.accept(stream).await else { return };
            drop(http.serve_connection_with_upgrades(TokioIo::new(stream), service).await);
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until it is so.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

/// Reads requests with a length, and answers each.
async fn plainly(stream: &mut TcpStream, log: &Mutex<Vec<Seen>>) -> std::io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8(head).expect("is text").to_lowercase();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
        let mut body = vec![0; length.map_or(0, |text| text.parse().expect("is a number"))];
        stream.read_exact(&mut body).await?;
        let (head, ()) = Request::new(()).into_parts();
        lock(log).push(Seen { head: Arc::new(head), body: body.into() });
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell").await?;
    }
}
