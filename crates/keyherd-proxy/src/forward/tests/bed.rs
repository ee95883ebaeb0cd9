//! A door with one agent, one host that is read, and an echo to tunnel to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use keyherd_core::agent::Agent;
use keyherd_core::fakes::{PausedClock, SeededEntropy};
use keyherd_core::ids::{AgentId, Name};
use keyherd_core::secret::{Secret, TokenHash};
use keyherd_core::time::Timestamp;
use keyherd_core::workers::Workers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use zeroize::Zeroizing;

use super::super::*;
use crate::body::Received;
use crate::fault::Fault;
use crate::tls::{Authority, LeafLimits, Leaves, Life};

/// The agent's name and key.
pub(super) const AGENT: (&str, &str) = ("robot", "kha_right");
/// Whose name is one of a team.
pub(super) const TEAMMATE: (&str, &str) = ("team:robot", "kha_other");
/// The host whose requests are read.
pub(super) const HOST: &str = "api.example";

/// A running door.
pub(super) struct Bed {
    pub(super) door: Forward,
    pub(super) address: SocketAddr,
    /// Says back what it hears.
    pub(super) echo: SocketAddr,
    pub(super) leaves: Arc<Leaves>,
    away: Arc<Mutex<Vec<String>>>,
}

/// Says what it was asked, and keeps what it is told was turned away.
struct Echoing(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Answers for Echoing {
    async fn answer(&self, asked: Asked, request: Request<Received>) -> Response<ForwardBody> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let text = format!(
            "{} {:?} {} {} {} {}",
            asked.agent.name,
            asked.scheme,
            asked.dialled,
            head.method,
            head.uri,
            body.escape_ascii()
        );
        let shown = head.headers.contains_key("proxy-authorization");
        Response::new(
            Full::new(Bytes::from(if shown { "the key went on".into() } else { text }))
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
    }

    fn problem(&self, fault: Fault) -> Response<ForwardBody> {
        let status = match &fault {
            Fault::BadRequest(_) => StatusCode::BAD_REQUEST,
            Fault::Unrecognised => StatusCode::PROXY_AUTHENTICATION_REQUIRED,
            Fault::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
            Fault::Denied(_) | Fault::Undialled(_) => StatusCode::FORBIDDEN,
            _ => StatusCode::BAD_GATEWAY,
        };
        let text = Bytes::from(fault.to_string());
        let body = Full::new(text).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response
    }

    async fn turned_away(&self, turned: &TurnedAway<'_>) {
        let TurnedAway { agent, dialled, request, away } = turned;
        let dialled = dialled.map(Dialled::to_string).unwrap_or_default();
        let line = format!("{} {dialled} {request:?} {}", agent.name, away.outcome());
        self.0.lock().expect("is whole").push(line);
    }
}

/// `api.example` is read, `denied.example` is refused, everything else is tunnelled. The echo's address is named.
struct Fixed {
    named: SocketAddr,
    dialler: Dialler,
}

#[async_trait]
impl Ways for Fixed {
    async fn caller(&self, name: &str, key: &Secret) -> Option<Arc<Agent>> {
        let is_known = [AGENT, TEAMMATE].contains(&(name, key.expose()));
        is_known.then(|| {
            let name = Name::parse(name).expect("is a name");
            Arc::new(Agent {
                id: AgentId::from_i64(1),
                actor: Agent::actor_of(&name),
                name,
                key_hash: TokenHash::from_bytes([0; 32]),
                allowed: Vec::new(),
                may_fetch_tokens: false,
                created_at: Timestamp::default(),
            })
        })
    }

    async fn gone(&self, _agent: &Agent) {
        std::future::pending::<()>().await;
    }

    async fn way(&self, _agent: &Agent, dialled: &Dialled) -> Way {
        match dialled.host.as_str() {
            HOST => Way::Read,
            "denied.example" => Way::Refused(Fault::Denied("a rule says no".into())),
            _ => {
                let is_named = dialled.host.address() == Some(self.named.ip()) && dialled.port != 1;
                let leave = Leave { only: None, is_named };
                let dialled = self.dialler.dial(dialled, leave).await;
                dialled.map_or_else(|error| Way::Refused(error.into()), Way::Tunnel)
            }
        }
    }
}

impl Bed {
    pub(super) async fn new() -> Self {
        Self::with(ForwardLimits::default()).await
    }

    pub(super) async fn with(limits: ForwardLimits) -> Self {
        let echo = echo().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("is bound");
        let (leaves, away) = (Arc::new(leaves()), Arc::<Mutex<Vec<String>>>::default());
        let dialler = Dialler::new(vec![address], limits.connect_timeout, limits.addresses_max);
        let parts = ForwardParts {
            ways: Arc::new(Fixed { named: echo, dialler }),
            answers: Arc::new(Echoing(Arc::clone(&away))),
            leaves: Arc::clone(&leaves),
            limits,
        };
        let door = Forward::new(parts);
        let serving = door.clone();
        tokio::spawn(async move { serving.serve(listener, &Workers::default()).await });
        Self { door, address, echo, leaves, away }
    }

    /// What the door turned away by itself.
    pub(super) fn away(&self) -> Vec<String> {
        self.away.lock().expect("is whole").clone()
    }

    pub(super) async fn connect(&self) -> TcpStream {
        soon(TcpStream::connect(self.address)).await.expect("is open")
    }

    /// All that the door says to these bytes, until it closes.
    pub(super) async fn told(&self, said: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(said.as_bytes()).await.expect("is open");
        rest(&mut stream).await
    }

    /// A connection after CONNECT was granted.
    pub(super) async fn tunnel(&self, authority: &str) -> TcpStream {
        let mut stream = self.connect().await;
        let text = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{}\r\n", key(AGENT));
        stream.write_all(text.as_bytes()).await.expect("is open");
        let head = head(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(!head.to_lowercase().contains("content-length"), "{head}");
        stream
    }
}

/// Within the time that nothing here takes.
pub(super) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("takes no minute")
}

/// The header that shows an agent's name and key.
pub(super) fn key((name, key): (&str, &str)) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(format!("{name}:{key}")))
}

/// Up to the head's end, byte by byte: what follows is not touched.
pub(super) async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        text.push(soon(stream.read_u8()).await.expect("has a whole head"));
    }
    String::from_utf8(text).expect("is text")
}

pub(super) async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A connection that is reset has said what it said.
    let _ = soon(stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

/// Bound and not listened to: nobody else gets it meanwhile.
pub(super) fn nobody() -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("is made");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("binds");
    socket
}

async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("is bound");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

fn leaves() -> Leaves {
    let from = Timestamp::from_millis(PausedClock::START_MS);
    let life = Life { from, until: from + Duration::from_secs(3_000 * 86_400) };
    let authority =
        Authority::new(|number| Zeroizing::new([9 + number; 32]), "test", life, None).expect("is one");
    // Good whatever the machine's own clock says.
    let limits = LeafLimits { leaf_life: Duration::from_secs(3_000 * 86_400), ..LeafLimits::default() };
    Leaves::new(authority, Arc::new(PausedClock::new()), Arc::new(SeededEntropy::new(1)), limits)
        .expect("has a key")
}
