//! The demo's API on loopback: it serves an account so often, and then says when to come again.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::{BACKLOG_MAX, http};
use crate::wire::bind;

/// An exchange that takes longer than this is nobody's.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer, in bytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024;
/// For how long it refuses an account that is used up.
const RETRY_AFTER: &str = "600";

/// An API, and how often each key was served and refused.
pub(super) struct DemoUpstream {
    address: SocketAddr,
    limits: HashMap<String, usize>,
    counts: Mutex<HashMap<String, Counts>>,
    latency: Duration,
}

/// What came with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) served: usize,
    pub(super) refused: usize,
}

/// What it answered.
pub(super) struct Answered {
    pub(super) status: u16,
    /// Set where it refused.
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
}

impl DemoUpstream {
    /// Listens on a free port of this machine until the process ends. Each key comes with how often it is served.
    pub(super) async fn start(limits: HashMap<String, usize>, latency: Duration) -> io::Result<Arc<Self>> {
        let listener = bind(&[(Ipv4Addr::LOCALHOST, 0).into()], BACKLOG_MAX)?;
        let address = listener.local_addr()?;
        let upstream = Arc::new(Self { address, limits, counts: Mutex::default(), latency });
        tokio::spawn(Arc::clone(&upstream).accept(listener));
        Ok(upstream)
    }

    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came with that key so far.
    pub(super) fn counts(&self, key: &str) -> Counts {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(key).copied().unwrap_or_default()
    }

    /// A request with that key, as a caller sends it.
    pub(super) async fn call(&self, key: &str) -> io::Result<Answered> {
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await?;
            let request = format!(
                "GET /v1/things HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n",
                self.address
            );
            stream.write_all(request.as_bytes()).await?;
            let mut bytes = Vec::new();
            stream.take(ANSWER_LEN_MAX).read_to_end(&mut bytes).await?;
            read(&bytes).ok_or_else(|| io::Error::other("the API gave no answer"))
        };
        timeout(EXCHANGE_TIMEOUT, exchange).await?
    }

    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let upstream = Arc::clone(&self);
            tokio::spawn(async move {
                // A client that left has its own deadline.
                let _ = timeout(EXCHANGE_TIMEOUT, upstream.serve(stream)).await;
            });
        }
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let Some(asked) = http::read(&mut stream).await else { return Ok(()) };
        let key = http::header(&asked.head, "authorization").and_then(|value| value.strip_prefix("Bearer "));
        let serves = key.is_some_and(|key| self.takes(key));
        tokio::time::sleep(self.latency).await;
        if serves {
            return http::answer(&mut stream, "200 OK", r#"{"things":[]}"#).await;
        }
        let body = r#"{"error":{"type":"rate_limit_error","message":"this account is used up"}}"#;
        let retry_after = format!("Retry-After: {RETRY_AFTER}\r\n");
        http::answer_with(&mut stream, "429 Too Many Requests", &retry_after, body).await
    }

    fn takes(&self, key: &str) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = counts.entry(key.to_owned()).or_default();
        let serves = self.limits.get(key).is_some_and(|limit| counts.served < *limit);
        let counted = if serves { &mut counts.served } else { &mut counts.refused };
        *counted += 1;
        serves
    }
}

fn read(bytes: &[u8]) -> Option<Answered> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    Some(Answered {
        status: head.split(' ').nth(1)?.parse().ok()?,
        retry_after: http::header(head, "retry-after").map(str::to_owned),
        body: bytes.get(end + 4..)?.to_vec(),
    })
}
