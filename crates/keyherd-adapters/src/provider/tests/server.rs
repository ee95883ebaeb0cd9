//! A server of raw bytes: says what it is told to, and remembers what it heard.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a server does with one connection, after it has read the request.
pub(super) enum Then {
    /// Says this and closes.
    Say(Vec<u8>),
    /// Says this, then waits for the other side to close.
    SayAndWait(Vec<u8>),
    /// Says this, then closes so that the other side gets a reset.
    SayAndReset(Vec<u8>),
    /// Says this again and again until nobody listens.
    Flood(Vec<u8>),
}

/// A server that runs until the test ends.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Server {
    /// Treats every connection alike.
    pub(super) async fn start(then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let (heard, then) = (Arc::clone(&server.heard), Arc::new(then));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&then), Arc::clone(&heard)));
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    /// The requests, one for each connection on which there was one.
    pub(super) fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|request| String::from_utf8(request.clone()).unwrap()).collect()
    }
}

/// An answer with its length.
pub(super) fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Reads one request: head and announced body.
pub(super) async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut heard = Vec::new();
    while !is_whole(&heard) {
        if stream.read_buf(&mut heard).await.unwrap_or(0) == 0 {
            break;
        }
    }
    heard
}

async fn serve(mut stream: TcpStream, then: Arc<Then>, heard: Arc<Mutex<Vec<Vec<u8>>>>) {
    let request = hear(&mut stream).await;
    if !request.is_empty() {
        heard.lock().unwrap().push(request);
    }
    match &*then {
        Then::Say(bytes) => say(&mut stream, bytes).await,
        Then::SayAndWait(bytes) => {
            say(&mut stream, bytes).await;
            let _ = stream.read(&mut [0; 1]).await;
        }
        Then::SayAndReset(bytes) => {
            say(&mut stream, bytes).await;
            stream.set_zero_linger().unwrap();
        }
        Then::Flood(bytes) => while stream.write_all(bytes).await.is_ok() {},
    }
}

async fn say(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) {
    // The other side may have had enough before the end.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
}

fn is_whole(heard: &[u8]) -> bool {
    let Some(end) = heard.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&heard[..end]).to_ascii_lowercase();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    heard.len() >= end + 4 + len.unwrap_or(0)
}
