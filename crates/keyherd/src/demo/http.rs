//! Just enough HTTP/1.1 for a token endpoint on loopback: one request a connection, bounded, answered in JSON.
//!
//! For the demo's own provider, and for the one in the tests. Never for anything that is reachable from elsewhere.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest request, in bytes.
const REQUEST_LEN_MAX: usize = 256 * 1024;

/// A request, as far as a token endpoint cares.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    /// The request line and the headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

impl Asked {
    /// A parameter of a form body.
    pub(crate) fn param(&self, name: &str) -> Option<String> {
        let mut params = url::form_urlencoded::parse(self.body.as_bytes());
        params.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// Reads one request. None: the other side left, or speaks no HTTP.
pub(crate) async fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::with_capacity(2_048);
    loop {
        if let Some(asked) = whole(&bytes) {
            return Some(asked);
        }
        if bytes.len() > REQUEST_LEN_MAX || stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Answers, and closes.
pub(crate) async fn answer(stream: &mut TcpStream, status: &str, body: &str) -> io::Result<()> {
    answer_with(stream, status, "", body).await
}

/// The same, with further lines of headers.
pub(crate) async fn answer_with(
    stream: &mut TcpStream,
    status: &str,
    headers: &str,
    body: &str,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Type: application/json\r\nCache-Control: no-store\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    stream.shutdown().await
}

fn whole(bytes: &[u8]) -> Option<Asked> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at(end);
    let head = std::str::from_utf8(head).ok()?;
    let len: usize = header(head, "content-length").map_or(Some(0), |len| len.parse().ok())?;
    let body = rest.get(4..4 + len)?;
    Some(Asked { head: head.to_owned(), body: String::from_utf8_lossy(body).into_owned() })
}

/// The value of a header; its name in any case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    lines.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
