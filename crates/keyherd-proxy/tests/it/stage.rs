//! A gateway over a broker over fakes: credentials, a pool, a binding to an upstream; and requests by somebody.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use keyherd_core::agent::Agent;
use keyherd_core::audit::Actor;
use keyherd_core::binding::{BindingDraft, Bindings};
use keyherd_core::broker::{ConnectMode, NewAgent};
use keyherd_core::credential::{Draft, DraftFields};
use keyherd_core::fakes::{Fleet, Host, ScriptedProvider, WordSigner};
use keyherd_core::ids::{BindingId, Name};
use keyherd_core::pool::Strategy;
use keyherd_core::ports::{Clock, Delivery};
use keyherd_core::provider::Profile;
use keyherd_proxy::forward::ForwardBody;
use keyherd_proxy::{
    Asked, Direct, Exchange, ExchangeLimits, ExchangeParts, Fault, Gateway, Path, SwapLimits, Trail,
    TrailLimits, Veil,
};
use rustls::{ClientConfig, RootCertStore};

use crate::upstream::{Body, Upstream, full};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) struct Stage {
    pub(crate) fleet: Fleet,
    pub(crate) host: Host,
    pub(crate) provider: ScriptedProvider,
    pub(crate) gateway: Gateway,
    pub(crate) bindings: Bindings,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) head: http::response::Parts,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<http::HeaderMap>,
}

impl Got {
    pub(crate) fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("is text")
    }
}

/// How a stage differs from the ordinary one.
pub(crate) struct Setting {
    pub(crate) limits: ExchangeLimits,
    pub(crate) tls: ClientConfig,
    pub(crate) base: String,
    /// The parameter that the token stands in, in place of a header.
    pub(crate) query: Option<&'static str>,
    pub(crate) strategy: Strategy,
    pub(crate) answers: Vec<Delivery>,
}

impl Setting {
    pub(crate) fn at(upstream: &Upstream) -> Self {
        Self {
            limits: ExchangeLimits::default(),
            tls: no_roots(),
            base: upstream.url(),
            query: None,
            strategy: Strategy::Failover,
            answers: Vec::new(),
        }
    }

    /// API keys `a`, `b` and `c` in `pool`, OAuth credentials `one` and `two`, an API key `lone`; all lead to the upstream.
    pub(crate) async fn stage(self) -> Stage {
        let provider = ScriptedProvider::new(self.answers);
        provider.takes(Duration::ZERO);
        let profile = Profile { name: "generic".into(), ..Profile::default() };
        let fleet = Fleet::new(Arc::new(provider.clone()), [profile]);
        let host = fleet.host();
        // Memory is trusted once somebody watches what changes.
        host.broker.watched().await;
        let exchange = Exchange::new(ExchangeParts {
            broker: host.broker.clone(),
            reach: Arc::new(Direct),
            tls: self.tls,
            limits: self.limits,
            mode: "gateway",
        });
        let trail = Trail::new(host.broker.clone(), &TrailLimits::default());
        let veil = Veil::new(host.broker.clone(), Arc::new(WordSigner), SwapLimits::default());
        let gateway = Gateway::new(exchange, trail, veil);
        let names = ["pool", "lone", "one", "two", "duo"];
        let bindings = Bindings::new(
            names.into_iter().zip(1..).map(|(name, id)| binding(name, id, &self.base, self.query)),
        );
        let stage = Stage { fleet, host, provider, gateway, bindings };
        for key in ["a", "b", "c", "lone"] {
            stage.key(key).await;
        }
        for name in ["one", "two"] {
            stage.oauth(name).await;
        }
        stage.pool("pool", "a b c", self.strategy).await;
        stage.pool("duo", "one two", self.strategy).await;
        stage
    }
}

impl Stage {
    pub(crate) async fn at(upstream: &Upstream) -> Self {
        Setting::at(upstream).stage().await
    }

    async fn key(&self, key: &str) {
        self.import(DraftFields {
            name: key.into(),
            provider: "generic".into(),
            kind: Some("static".into()),
            secret: Some(format!("secret-{key}").into()),
            ..DraftFields::default()
        })
        .await;
    }

    async fn oauth(&self, name: &str) {
        let (access, refresh) = (format!("access-{name}-0"), format!("refresh-{name}-0"));
        self.import(self.tokens(name, &access, &refresh)).await;
    }

    /// Made anew by a person: its tokens are these.
    pub(crate) async fn reconnected(&self, name: &str, access: &str, refresh: &str) {
        let draft = Draft::parse(self.tokens(name, access, refresh)).expect("is a draft");
        self.host.broker.connect(draft, ConnectMode::Replace, &actor()).await.expect("is replaced");
    }

    fn tokens(&self, name: &str, access: &str, refresh: &str) -> DraftFields {
        DraftFields {
            name: name.into(),
            provider: "generic".into(),
            access_token: Some(access.into()),
            refresh_token: Some(refresh.into()),
            expires_at: Some(self.fleet.clock.now() + HOUR),
            token_url: Some("https://id.example/token".into()),
            client_id: Some("app".into()),
            client_secret: Some("app-secret".into()),
            ..DraftFields::default()
        }
    }

    /// An agent that may use these.
    pub(crate) async fn robot(&self, allowed: &[&str]) -> Agent {
        let allowed = allowed.iter().map(|name| parsed(name)).collect();
        let new = NewAgent { name: parsed("robot"), allowed, may_fetch_tokens: false };
        self.host.broker.create_agent(new, &actor()).await.expect("is made").0
    }

    pub(crate) async fn phantom(&self, agent: &Agent, name: &str) -> String {
        let made = self.host.broker.phantom(agent, &parsed(name), &WordSigner).await;
        made.expect("the store answers").expect("is there").as_str().to_owned()
    }

    pub(crate) async fn import(&self, fields: DraftFields) {
        let draft = Draft::parse(fields).expect("is a draft");
        self.host.broker.connect(draft, ConnectMode::Create, &actor()).await.expect("is made");
    }

    pub(crate) async fn pool(&self, name: &str, members: &str, strategy: Strategy) {
        let members: Vec<Name> = members.split_whitespace().map(parsed).collect();
        self.host.broker.create_pool(&parsed(name), members, strategy, &actor()).await.expect("is made");
    }

    /// A request, and the answer's head.
    pub(crate) async fn open(&self, request: Request<Body>) -> Result<Response<ForwardBody>, Fault> {
        let path = Path::parse(request.uri().path())?;
        self.gateway.answer(self.asking(path), request).await
    }

    /// Who asks, of the path of that request.
    pub(crate) fn asked(&self, request: &Request<Body>) -> Asked<'_> {
        self.asking(Path::parse(request.uri().path()).expect("is a path of the gateway"))
    }

    fn asking(&self, path: Path) -> Asked<'_> {
        Asked { actor: actor(), agent: None, bindings: &self.bindings, path, recheck: None }
    }

    /// A request, and the whole answer.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Got {
        whole(self.open(request).await.expect("is answered")).await
    }

    pub(crate) async fn read(&self, path: &str) -> Got {
        self.ask(get(path)).await
    }

    /// Whose turn it is in the pool.
    pub(crate) async fn active(&self) -> String {
        let pool = self.host.broker.pool(&parsed("pool")).await.expect("is there");
        pool.active_member().expect("has one").name.to_string()
    }

    /// Whether the credential rests, and why.
    pub(crate) async fn rest(&self, name: &str) -> Option<String> {
        let loaded = self.host.broker.show(&parsed(name)).await.expect("is there");
        loaded.credential.resting(None, self.fleet.clock.now()).map(|rest| rest.reason.clone())
    }

    /// How often that stands in the audit log.
    pub(crate) async fn audited(&self, action: &str) -> usize {
        use keyherd_core::ports::store::AuditStore;
        let entries = self.host.store.entries(0, 1_000).await.expect("are there");
        entries.iter().filter(|entry| entry.action == action).count()
    }
}

pub(crate) async fn whole(answer: Response<ForwardBody>) -> Got {
    let (head, body) = answer.into_parts();
    let read = body.collect().await.expect("is whole");
    let trailers = read.trailers().cloned();
    Got { head, body: read.to_bytes(), trailers }
}

pub(crate) fn get(path: &str) -> Request<Body> {
    asked("GET", path).body(full("")).expect("is a request")
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    let body = body.into();
    asked("POST", path).header("content-length", body.len()).body(full(body)).expect("is a request")
}

pub(crate) fn asked(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "keyherd.example")
        .header("authorization", "Bearer planted-agents-key")
}

pub(crate) fn actor() -> Actor {
    Actor::new("agent:test")
}

pub(crate) fn parsed(name: &str) -> Name {
    Name::parse(name).expect("is a name")
}

fn binding(name: &str, id: i64, base: &str, query: Option<&str>) -> keyherd_core::binding::Binding {
    let host = base.split("://").nth(1).and_then(|rest| rest.split([':', '/']).next()).expect("has a host");
    let draft = BindingDraft {
        name: parsed(name),
        host: host.into(),
        port: None,
        header: None,
        query: query.map(str::to_owned),
        template: None,
        upstream: Some(base.into()),
    };
    draft.check(BindingId::of_random(id), keyherd_core::time::Timestamp::default()).expect("is a binding")
}

fn no_roots() -> ClientConfig {
    trusting(RootCertStore::empty())
}

pub(crate) fn trusting(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("are there")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
