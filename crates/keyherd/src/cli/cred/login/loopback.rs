//! Where a browser comes back to: one listener on this machine, for one login (RFC 8252, section 7.3).

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use keyherd_core::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use url::Url;
use zeroize::Zeroizing;

use crate::cli::Failure;

const PATH: &str = "/callback";
/// The most that is read of a request, and how long it may take.
const HEAD_LEN_MAX: usize = 16 * 1024;
const HEAD_WAIT: Duration = Duration::from_secs(10);
/// The most connections at once. A browser may open some that it never uses: none keeps the others waiting.
const CONNECTIONS_MAX: usize = 16;

/// A listener for one redirect.
pub(super) struct Loopback {
    listener: TcpListener,
    address: SocketAddr,
}

/// What a browser brings.
#[derive(Debug, PartialEq, Eq)]
enum Brought {
    Code(Secret),
    /// The provider's word for why not.
    Refused(String),
    /// Another page's request, such as for an icon; or somebody else's.
    Other,
}

impl Loopback {
    pub(super) async fn open(port: Option<u16>) -> Result<Self, Failure> {
        let told = |error: std::io::Error| {
            Failure::failed(format!("no redirect can be listened for on 127.0.0.1: {error}"))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await.map_err(told)?;
        let address = listener.local_addr().map_err(told)?;
        Ok(Self { listener, address })
    }

    pub(super) fn redirect(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// The code, once the browser comes back with that state.
    pub(super) async fn code(&self, state: &str) -> Result<Secret, Failure> {
        let mut open = JoinSet::new();
        loop {
            let (mut stream, brought) = tokio::select! {
                accepted = self.listener.accept(), if open.len() < CONNECTIONS_MAX => {
                    let Ok((stream, _)) = accepted else { continue };
                    open.spawn(read(stream, Secret::from(state)));
                    continue;
                }
                Some(Ok(read)) = open.join_next() => read,
            };
            answer(&mut stream, &brought).await;
            match brought {
                Brought::Code(code) => return Ok(code),
                Brought::Refused(why) => {
                    return Err(Failure::failed(super::refused::by_redirect(&why)));
                }
                Brought::Other => {}
            }
        }
    }
}

async fn read(mut stream: TcpStream, state: Secret) -> (TcpStream, Brought) {
    let brought = match timeout(HEAD_WAIT, head(&mut stream)).await {
        Ok(Some(head)) => brought(&head, state.expose()),
        _ => Brought::Other,
    };
    (stream, brought)
}

async fn answer(stream: &mut TcpStream, brought: &Brought) {
    let (status, text) = match brought {
        Brought::Code(_) => ("200 OK", "keyherd has what it needs. This page may be closed."),
        Brought::Refused(_) => ("200 OK", "The provider did not grant it. keyherd says more."),
        Brought::Other => ("404 Not Found", "There is nothing here."),
    };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    // A browser that left has brought what it had.
    let _ = timeout(HEAD_WAIT, stream.write_all(answer.as_bytes())).await;
}

/// A request up to its head's end.
async fn head(stream: &mut TcpStream) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(vec![0; HEAD_LEN_MAX]);
    let mut len = 0;
    while !bytes.get(..len)?.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(bytes.get_mut(len..)?).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => len += read,
        }
    }
    str::from_utf8(bytes.get(..len)?).ok().map(|text| Zeroizing::new(text.to_owned()))
}

fn brought(head: &str, state: &str) -> Brought {
    let target = head.lines().next().and_then(|line| line.strip_prefix("GET ")?.split(' ').next());
    let url = target.and_then(|target| Url::parse(&format!("http://127.0.0.1{target}")).ok());
    let Some(url) = url.filter(|url| url.path() == PATH) else { return Brought::Other };
    let field = |wanted: &str| url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value);
    // Somebody else's request has not our state.
    if field("state").as_deref() != Some(state) {
        return Brought::Other;
    }
    match (field("code"), field("error")) {
        (Some(code), None) if !code.is_empty() => Brought::Code(Secret::from(code.as_ref())),
        (_, Some(error)) => Brought::Refused(keyherd_core::provider::clip_code(&error)),
        _ => Brought::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_brings() {
        let check = |target: &str, expected: Brought| {
            assert_eq!(brought(&format!("GET {target} HTTP/1.1\r\n\r\n"), "s1"), expected, "{target}");
        };
        check("/callback?code=a%2Bb&state=s1", Brought::Code("a+b".into()));
        check("/callback?error=access_denied&state=s1", Brought::Refused("access_denied".into()));
        check("/callback?code=a&state=other", Brought::Other);
        check("/callback?code=a", Brought::Other);
        check("/callback?state=s1", Brought::Other);
        check("/favicon.ico", Brought::Other);
        assert_eq!(brought("POST /callback?code=a&state=s1 HTTP/1.1\r\n\r\n", "s1"), Brought::Other);
    }
}
