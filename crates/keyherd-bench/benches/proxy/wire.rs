//! A connection for HTTP/1.1, made by hand: what the load's own client costs is small, and the same for all.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use keyherd_bench::{Outcome, Stopwatch};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::{self, HTTP1, HTTP2};
use crate::load::Way;

/// The end of a head.
const END: &[u8] = b"\r\n\r\n";
/// The last chunk of a body that comes in chunks, and what is before it.
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
/// What passes through a tunnel, in bytes.
const ECHO_LEN: usize = 2 * 1_024;
/// What is written at once of a long body, in bytes.
const PART_LEN: usize = 256 * 1_024;

/// How connections are made.
pub(crate) struct Dialling {
    pub(crate) way: Way,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Dialling {
    pub(crate) fn new(way: Way) -> Outcome<Self> {
        let config = |protocols| identity::client(&way.root, protocols).map(Arc::new);
        let (http1, http2) = (config(HTTP1)?, config(HTTP2)?);
        let name = way.host.split(':').next().unwrap_or_default().to_owned();
        Ok(Self { http1, http2, name: ServerName::try_from(name)?, way })
    }

    /// One for HTTP/1.1.
    pub(crate) async fn dial(&self) -> Outcome<Wire> {
        let stream = self.secured(&self.http1).await?;
        let Way { host, token, .. } = &self.way;
        let request =
            format!("GET /v1/things HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        Ok(Wire { stream, request, heard: Vec::new(), host: host.clone(), token: token.clone() })
    }

    /// One for HTTP/2.
    pub(crate) async fn dial_http2(&self) -> Outcome<TlsStream<TcpStream>> {
        let stream = self.secured(&self.http2).await?;
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Ok(stream),
            _ => Err("HTTP/2 is not spoken there".into()),
        }
    }

    async fn secured(&self, config: &Arc<ClientConfig>) -> Outcome<TlsStream<TcpStream>> {
        let stream = self.tunnel().await?;
        Ok(TlsConnector::from(Arc::clone(config)).connect(self.name.clone(), stream).await?)
    }

    /// The bare connection, through the proxy where there is one.
    pub(crate) async fn tunnel(&self) -> Outcome<TcpStream> {
        let Way { proxy, caller, host, address, .. } = &self.way;
        let mut stream = TcpStream::connect(proxy.unwrap_or(*address)).await?;
        stream.set_nodelay(true)?;
        if proxy.is_none() {
            return Ok(stream);
        }
        let caller =
            caller.as_ref().map(|caller| format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(caller)));
        let caller = caller.unwrap_or_default();
        stream
            .write_all(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n{caller}\r\n").as_bytes())
            .await?;
        let mut heard = Vec::new();
        while !heard.ends_with(END) {
            more(&mut stream, &mut heard).await?;
        }
        match heard.starts_with(b"HTTP/1.1 200") {
            true => Ok(stream),
            false => Err(format!("no tunnel: {}", String::from_utf8_lossy(&heard)).into()),
        }
    }
}

/// One connection for HTTP/1.1.
pub(crate) struct Wire {
    stream: TlsStream<TcpStream>,
    request: String,
    host: String,
    token: String,
    heard: Vec<u8>,
}

impl Wire {
    /// One request and its answer.
    pub(crate) async fn ask(&mut self) -> Outcome {
        self.stream.write_all(self.request.as_bytes()).await?;
        self.stream.flush().await?;
        self.answered().await
    }

    /// A request with a long JSON body that has the token at its end. Says when it was answered.
    pub(crate) async fn send(&mut self, len: u64, watch: Stopwatch) -> Outcome<Duration> {
        let tail = format!("\",\"token\":\"{}\"}}", self.token);
        let head = "{\"data\":\"";
        let mut left = len.saturating_sub(u64::try_from(head.len() + tail.len())?);
        let host = &self.host;
        let begin = format!(
            "POST /v1/things HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len}\r\n\r\n{head}"
        );
        self.stream.write_all(begin.as_bytes()).await?;
        let part = filler();
        while left > 0 {
            let now = usize::try_from(left.min(u64::try_from(part.len())?))?;
            self.stream.write_all(part.get(..now).unwrap_or_default()).await?;
            left -= u64::try_from(now)?;
        }
        self.stream.write_all(tail.as_bytes()).await?;
        self.stream.flush().await?;
        self.answered().await?;
        Ok(watch.elapsed())
    }

    async fn answered(&mut self) -> Outcome {
        self.heard.clear();
        let body_at = loop {
            more(&mut self.stream, &mut self.heard).await?;
            if let Some(at) = self.heard.windows(END.len()).position(|at| at == END) {
                break at + END.len();
            }
        };
        let head =
            String::from_utf8_lossy(self.heard.get(..body_at).unwrap_or_default()).to_ascii_lowercase();
        if !head.starts_with("http/1.1 200") {
            return Err(format!("not answered: {}", String::from_utf8_lossy(&self.heard)).into());
        }
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length = length.map(str::parse::<usize>).transpose()?;
        // Nothing comes after it: the next request is not sent yet.
        while !length
            .map_or_else(|| self.heard.ends_with(LAST_CHUNK), |len| self.heard.len() >= body_at + len)
        {
            more(&mut self.stream, &mut self.heard).await?;
        }
        Ok(())
    }
}

/// Something there and back.
pub(crate) async fn echoed(tunnel: &mut TcpStream) -> Outcome {
    let mut said = [b'x'; ECHO_LEN];
    tunnel.write_all(&said).await?;
    tunnel.read_exact(&mut said).await?;
    Ok(())
}

async fn more(stream: &mut (impl AsyncRead + Unpin), heard: &mut Vec<u8>) -> Outcome {
    match stream.read_buf(heard).await? {
        0 => Err(format!("the connection ended after: {}", String::from_utf8_lossy(heard)).into()),
        _ => Ok(()),
    }
}

/// As an encoded image is: letters and digits without an order.
fn filler() -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        LETTERS[usize::from((state >> 58) as u8 & 63)]
    };
    (0..PART_LEN).map(|_| next()).collect()
}
