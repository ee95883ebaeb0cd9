//! A client for tests: one request on a connection of its own, one answer, read to its end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// What to send, and where.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    authority: String,
    text: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    head: String,
}

impl Request {
    /// `url` is plain HTTP; a JSON body unless the headers say otherwise.
    pub(crate) fn new(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let rest = url.strip_prefix("http://").unwrap();
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let mut text = format!("{method} /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            text.push_str("content-type: application/json\r\n");
        }
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        Self { authority: authority.into(), text }
    }

    /// Sends it and waits for the answer.
    pub(crate) fn send(&self) -> io::Result<Answer> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.write_all(self.text.as_bytes())?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes)?;
        parse(&bytes)
    }

    /// The same, for many at once.
    pub(crate) async fn send_async(self) -> io::Result<Answer> {
        let exchange = async {
            let mut stream = tokio::net::TcpStream::connect(&self.authority).await?;
            stream.write_all(self.text.as_bytes()).await?;
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await?;
            parse(&bytes)
        };
        tokio::time::timeout(ANSWER_TIMEOUT, exchange).await?
    }
}

impl Answer {
    /// The headers, as a report takes them.
    pub(crate) fn headers(&self) -> Value {
        let pairs = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        pairs.map(|(name, value)| (name.to_owned(), Value::from(value))).collect()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let broken = || io::Error::other(format!("no answer: {:?}", String::from_utf8_lossy(bytes)));
    let text = std::str::from_utf8(bytes).map_err(io::Error::other)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let is_chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if is_chunked { joined(body).ok_or_else(broken)? } else { body.to_owned() };
    Ok(Answer { status, body, head: head.to_owned() })
}

/// RFC 9112, section 7.1, for texts of ASCII.
fn joined(mut chunks: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, rest) = chunks.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(rest.get(..size)?);
        chunks = rest.get(size..)?.strip_prefix("\r\n")?;
    }
}
