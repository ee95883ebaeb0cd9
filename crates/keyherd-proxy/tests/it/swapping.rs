//! The forward proxy whole: an agent with phantoms, a broker, an upstream that remembers what it was sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper_util::rt::{TokioExecutor, TokioIo};
use keyherd_core::agent::Agent;
use keyherd_core::binding::BindingDraft;
use keyherd_core::broker::NewAgent;
use keyherd_core::fakes::{SeededEntropy, WordSigner};
use keyherd_core::ports::Clock;
use keyherd_core::secret::Secret;
use keyherd_core::workers::Workers;
use keyherd_proxy::forward::{
    Answers, Asked, Dialler, Forward, ForwardBody, ForwardLimits, ForwardParts, TurnedAway,
};
use keyherd_proxy::tls::{Authority, LeafLimits, Leaves, Life};
use keyherd_proxy::{
    Exchange, ExchangeLimits, ExchangeParts, Fault, Gate, GateParts, Guarded, Reach, Received, SwapLimits,
    Swapper, Trail, TrailLimits,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::stage::{Setting, Stage, actor, parsed, trusting};
use crate::upstream::{Upstream, answer, full};

/// Faults in their own words.
struct Answering(Swapper);

#[async_trait]
impl Answers for Answering {
    async fn answer(&self, asked: Asked, request: Request<Received>) -> Response<ForwardBody> {
        let answered = self.0.answer(asked, request).await;
        answered.unwrap_or_else(|fault| self.problem(fault))
    }

    fn problem(&self, fault: Fault) -> Response<ForwardBody> {
        let status = match fault {
            Fault::Unrecognised => 407,
            Fault::Misdirected(_) => 421,
            Fault::Denied(_) | Fault::Undialled(_) => 403,
            _ => 502,
        };
        let mut answer = Response::new(full(fault.to_string()).map_err(Into::into).boxed_unsync());
        *answer.status_mut() = StatusCode::from_u16(status).expect("is one");
        let kind = "application/problem+json".parse().expect("is a value");
        answer.headers_mut().insert("content-type", kind);
        answer
    }

    async fn turned_away(&self, turned: &TurnedAway<'_>) {
        self.0.turned_away(turned).await;
    }
}

pub(crate) struct Proxy {
    pub(crate) stage: Stage,
    pub(crate) at: SocketAddr,
    agent: Agent,
    key: Secret,
    leaves: Arc<Leaves>,
}

impl Proxy {
    /// An agent that is allowed all, and a binding of each of these names to the upstream's host and port.
    pub(crate) async fn new(upstream: &Upstream, host: &str, bound: &[&str], tls: ClientConfig) -> Self {
        let stage = Setting::at(upstream).stage().await;
        Self::on(stage, &["pool", "lone", "one"], (upstream, host, bound), tls, SwapLimits::default()).await
    }

    /// The same on a stage that is there, with an agent that is allowed these.
    pub(crate) async fn on(
        stage: Stage,
        allowed: &[&str],
        (upstream, host, bound): (&Upstream, &str, &[&str]),
        tls: ClientConfig,
        limits: SwapLimits,
    ) -> Self {
        Self::through(stage, allowed, (upstream, host, bound), tls, (limits, None)).await
    }

    /// The same by that way to upstreams.
    pub(crate) async fn through(
        stage: Stage,
        allowed: &[&str],
        (upstream, host, bound): (&Upstream, &str, &[&str]),
        tls: ClientConfig,
        (limits, reach): (SwapLimits, Option<Arc<dyn Reach>>),
    ) -> Self {
        let broker = &stage.host.broker;
        for name in bound {
            bind(&stage, name, host, upstream).await;
        }
        let allowed = allowed.iter().map(|name| parsed(name)).collect();
        let new = NewAgent { name: parsed("robot"), allowed, may_fetch_tokens: false };
        let (agent, key) = broker.create_agent(new, &actor()).await.expect("is made");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let at = listener.local_addr().expect("has one");
        let dialler = Dialler::new(vec![at], Duration::from_secs(10), 16);
        let exchange = Exchange::new(ExchangeParts {
            broker: broker.clone(),
            reach: reach.unwrap_or_else(|| Arc::new(Guarded::new(broker.clone(), dialler.clone()))),
            tls,
            limits: ExchangeLimits::default(),
            mode: "forward",
        });
        let trail = Trail::new(broker.clone(), &TrailLimits::default());
        let gate = Gate::new(GateParts {
            broker: broker.clone(),
            dialler,
            approval_wait: Duration::from_secs(60),
            trail,
            signer: Arc::new(WordSigner),
            limits: limits.clone(),
            lodger: None,
        });
        let swapper = Swapper::new(exchange, broker.clone(), gate.clone(), limits);
        let leaves = Arc::new(leaves(&stage));
        let door = Forward::new(ForwardParts {
            ways: Arc::new(gate),
            answers: Arc::new(Answering(swapper)),
            leaves: Arc::clone(&leaves),
            limits: ForwardLimits::default(),
        });
        tokio::spawn(async move { door.serve(listener, &Workers::default()).await });
        Self { stage, at, agent, key, leaves }
    }

    pub(crate) async fn phantom(&self, name: &str) -> String {
        self.stage.phantom(&self.agent, name).await
    }

    /// One more place where that name may go.
    pub(crate) async fn bind(&self, name: &str, upstream: &Upstream) {
        bind(&self.stage, name, "127.0.0.1", upstream).await;
    }

    /// A connection after CONNECT was granted.
    pub(crate) async fn tunnel(&self, authority: &str) -> TcpStream {
        let granting = async {
            let mut stream = TcpStream::connect(self.at).await.expect("is open");
            let connect = format!("CONNECT {authority} HTTP/1.1\r\n{}\r\n", self.auth());
            stream.write_all(connect.as_bytes()).await.expect("is open");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("is granted"));
            }
            stream
        };
        tokio::time::timeout(Duration::from_secs(60), granting).await.expect("takes no minute")
    }

    pub(crate) fn auth(&self) -> String {
        let text = format!("robot:{}", self.key.expose());
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(text))
    }

    /// All that is said to a plain request, after which the connection ends.
    pub(crate) async fn told(&self, upstream: &Upstream, line: &str, headers: &str, body: &str) -> String {
        self.told_of(&upstream.at.to_string(), line, headers, body).await
    }

    /// The same of any host.
    pub(crate) async fn told_of(&self, authority: &str, line: &str, headers: &str, body: &str) -> String {
        let (method, path) = line.split_once(' ').expect("is a line");
        let text = format!(
            "{method} http://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{}{headers}\r\n{body}",
            self.auth()
        );
        self.said(&text).await
    }

    /// What is said to these bytes, until the connection ends.
    pub(crate) async fn said(&self, text: &str) -> String {
        let exchange = async {
            let mut stream = TcpStream::connect(self.at).await.expect("is open");
            stream.write_all(text.as_bytes()).await.expect("is open");
            let mut told = Vec::new();
            stream.read_to_end(&mut told).await.expect("ends");
            String::from_utf8(told).expect("is text")
        };
        tokio::time::timeout(Duration::from_secs(60), exchange).await.expect("takes no minute")
    }
}

async fn bind(stage: &Stage, name: &str, host: &str, upstream: &Upstream) {
    let draft = BindingDraft {
        name: parsed(name),
        host: host.into(),
        port: Some(upstream.at.port()),
        header: None,
        query: None,
        template: None,
        upstream: None,
    };
    stage.host.broker.add_binding(draft, &actor()).await.expect("is bound");
}

fn leaves(stage: &Stage) -> Leaves {
    let from = stage.fleet.clock.now();
    let life = Duration::from_secs(3_000 * 86_400);
    let authority = Authority::new(
        |number| Zeroizing::new([7 + number; 32]),
        "test",
        Life { from, until: from + life },
        None,
    );
    let limits = LeafLimits { leaf_life: life, ..LeafLimits::default() };
    let clock = Arc::new(keyherd_core::fakes::PausedClock::new());
    Leaves::new(authority.expect("is one"), clock, Arc::new(SeededEntropy::new(3)), limits)
        .expect("has a key")
}

/// Says back what it was sent: the token, the path and the body.
pub(crate) async fn echo() -> Upstream {
    Upstream::new(|seen| {
        let told = format!("{} {} {}", seen.bearer(), seen.head.uri, seen.body.escape_ascii());
        let mut echoed = answer(200, told);
        echoed.headers_mut().insert("content-type", "text/plain".parse().expect("is a value"));
        echoed.headers_mut().insert("x-echo", seen.bearer().parse().expect("is a value"));
        echoed
    })
    .await
}

/// No text by its media type, it passes as it is: that is how a test sees what upstream got.
pub(crate) fn picture(told: String) -> Response<crate::upstream::Body> {
    let mut picture = answer(200, told);
    picture.headers_mut().insert("content-type", "image/png".parse().expect("is a value"));
    picture
}

pub(crate) fn untrusting() -> ClientConfig {
    trusting(RootCertStore::empty())
}

#[tokio::test]
async fn phantoms_go_out_as_secrets_and_come_back_as_phantoms() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone", "one"], untrusting()).await;
    let (lone, one) = (proxy.phantom("lone").await, proxy.phantom("one").await);
    let body = format!(r#"{{"a":"{lone}","b":"{one}"}}"#);
    let headers = format!(
        "Authorization: Bearer {lone}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nX-Basic: Basic {}\r\n",
        body.len(),
        STANDARD.encode(format!("git:{one}"))
    );
    let told = proxy.told(&upstream, &format!("POST /p?k={one}"), &headers, &body).await;
    assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    let seen = upstream.seen().pop().expect("came");
    assert_eq!(seen.bearer(), "secret-lone");
    assert_eq!(seen.head.uri, "/p?k=access-one-0");
    assert_eq!(seen.body, r#"{"a":"secret-lone","b":"access-one-0"}"#);
    assert_eq!(seen.header("content-length"), Some(seen.body.len().to_string().as_str()), "a length is kept");
    assert_eq!(
        seen.header("x-basic"),
        Some(format!("Basic {}", STANDARD.encode("git:access-one-0")).as_str())
    );
    assert!(seen.header("proxy-authorization").is_none());
    assert!(!told.contains("secret-lone") && !told.contains("access-one-0"), "{told}");
    assert!(told.contains(&format!("x-echo: {lone}")) && told.contains(&format!("k={one}")), "{told}");
}

#[tokio::test]
async fn long_bodies_stream_and_lose_their_length() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let lone = proxy.phantom("lone").await;
    let body = format!(r#"{{"pad":"{}","key":"{lone}"}}"#, "x".repeat(2 * 1024 * 1024));
    let headers = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    proxy.told(&upstream, "POST /", &headers, &body).await;
    let seen = upstream.seen().pop().expect("came");
    assert!(seen.body.ends_with(br#"","key":"secret-lone"}"#));
    assert_eq!(seen.header("content-length"), None);
}

#[tokio::test]
async fn what_is_not_bound_there_is_taken_out() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    let one = proxy.phantom("one").await;
    let body = format!("a={one}&b=c");
    let headers = format!(
        "Authorization: Bearer {one}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
        body.len()
    );
    proxy.told(&upstream, &format!("POST /{one}"), &headers, &body).await;
    let seen = upstream.seen().pop().expect("came");
    assert_eq!(
        (seen.header("authorization"), &seen.body[..], seen.head.uri.path()),
        (Some("Bearer"), &b"a=&b=c"[..], "/")
    );
    // Somebody else's key to upstream is the agent's own business.
    proxy.told(&upstream, "GET /", "Authorization: Bearer own-key\r\n", "").await;
    assert_eq!(upstream.seen().pop().expect("came").bearer(), "own-key");
}

#[tokio::test]
async fn a_pools_phantom_stays_while_its_members_change() {
    let upstream = Upstream::new(|seen| match seen.bearer() {
        "secret-a" => answer(429, r#"{"error":{"code":"rate_limit_exceeded"}}"#),
        _ => answer(200, "ok"),
    })
    .await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["pool"], untrusting()).await;
    let pool = proxy.phantom("pool").await;
    let body = format!(r#"{{"key":"{pool}"}}"#);
    let headers = format!(
        "Authorization: Bearer {pool}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    let told = proxy.told(&upstream, "POST /", &headers, &body).await;
    assert!(told.ends_with("ok"), "{told}");
    assert_eq!(upstream.bearers(), ["secret-a", "secret-b"]);
    assert_eq!(upstream.seen().pop().expect("came").body, r#"{"key":"secret-b"}"#);
    assert_eq!(pool, proxy.phantom("pool").await);
}

#[tokio::test]
async fn http2_on_both_sides() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("is made");
    let certificate = made.cert.der().clone();
    let key = rustls_pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("is a key");
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).expect("is a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("are there")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("fits");
    server.alpn_protocols = vec![b"h2".to_vec()];
    let upstream = Upstream::streaming(
        Arc::new(|request| {
            Box::pin(async move {
                let told = format!("{:?} {:?}", request.version(), request.headers()["authorization"]);
                picture(told)
            })
        }),
        Some(tokio_rustls::TlsAcceptor::from(Arc::new(server))),
    )
    .await;
    let proxy = Proxy::new(&upstream, "localhost", &["lone"], trusting(roots)).await;
    let authority = format!("localhost:{}", upstream.at.port());
    let stream = proxy.tunnel(&authority).await;
    let mut trusted = RootCertStore::empty();
    trusted.add(proxy.leaves.authority().certificate().clone()).expect("is a certificate");
    let mut client = trusting(trusted);
    client.alpn_protocols = vec![b"h2".to_vec()];
    let name = ServerName::try_from("localhost").expect("is a name");
    let stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await.expect("is trusted");
    let lone = proxy.phantom("lone").await;
    let text = asked_in_http2(stream, &format!("https://{authority}/x"), &lone).await;
    assert_eq!(text, r#"HTTP/2.0 "Bearer secret-lone""#);
}

/// The answer's body.
pub(crate) async fn asked_in_http2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    url: &str,
    bearer: &str,
) -> bytes::Bytes {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("is HTTP/2");
    tokio::spawn(connection);
    let request = Request::builder()
        .uri(url)
        .header("authorization", format!("Bearer {bearer}"))
        .body(full(""))
        .expect("is a request");
    let asked = async {
        let answer = sender.send_request(request).await.expect("is answered");
        answer.into_body().collect().await.expect("is whole").to_bytes()
    };
    tokio::time::timeout(Duration::from_secs(60), asked).await.expect("takes no minute")
}

#[tokio::test]
async fn a_revoked_agent_is_turned_away() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "127.0.0.1", &["lone"], untrusting()).await;
    proxy.stage.host.broker.revoke_agent(&parsed("robot"), &actor()).await.expect("is revoked");
    let told = proxy.told(&upstream, "GET /", "", "").await;
    assert!(told.starts_with("HTTP/1.1 407"), "{told}");
    assert!(upstream.seen().is_empty());
}
