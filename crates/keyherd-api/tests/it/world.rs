//! A door over a broker over fakes, and a client that shows the admin token.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use keyherd_api::{Annex, Api, ApiLimits, ApiState, Callers, Hosts, Metrics};
use keyherd_core::audit::Actor;
use keyherd_core::fakes::{Fleet, Host, ScriptedProvider, WordSigner};
use keyherd_core::ids::Name;
use keyherd_core::ports::{Delivery, ProfileError, ProfileShelf, ShelfError, Shelved};
use keyherd_core::provider::Profile;
use keyherd_core::secret::Secret;
use serde_json::{Value, json};

/// The admin token of every world.
pub(crate) const ADMIN: &str = "planted-admin-token";
/// Where every in-process request arrives.
pub(crate) const LOCAL: ([u8; 4], u16) = ([127, 0, 0, 1], 8484);

pub(crate) struct World {
    pub(crate) fleet: Fleet,
    pub(crate) host: Host,
    pub(crate) provider: ScriptedProvider,
    pub(crate) api: Api,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl World {
    pub(crate) fn new(answers: impl IntoIterator<Item = Delivery>) -> Self {
        Self::with_limits(answers, ApiLimits::default())
    }

    pub(crate) fn with_limits(answers: impl IntoIterator<Item = Delivery>, limits: ApiLimits) -> Self {
        let provider = ScriptedProvider::new(answers);
        let fleet = Fleet::new(Arc::new(provider.clone()), [Profile::default()]);
        let host = fleet.host();
        let api = door(&host, limits);
        Self { fleet, host, provider, api }
    }

    /// One request with the admin token, in process.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.raw(request(method, path).body(body_of(body)).expect("is a request")).await
    }

    /// A GET, as JSON.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Any request, in process.
    pub(crate) async fn raw(&self, request: Request<Body>) -> Answer {
        Answer::of(self.open(request).await).await
    }

    /// Any request, its answer's body unread.
    pub(crate) async fn open(&self, request: Request<Body>) -> Response {
        let seat = self.api.seat(SocketAddr::from(LOCAL), false);
        seat.answer(request).await.map(Body::new)
    }

    /// Asks for a token.
    pub(crate) async fn token(&self, ask: Value) -> Answer {
        self.ask("POST", "/v1/token", Some(ask)).await
    }

    /// Makes an oauth2 credential whose access token ends after these seconds.
    pub(crate) async fn credential(&self, name: &str, expires_in: i64) -> Value {
        let at = self.host.broker.now().as_millis() / 1000 + expires_in;
        let document = json!({
            "name": name, "provider": "generic", "token_url": "https://provider.example/token",
            "client_id": "app", "client_secret": "planted-client-secret",
            "access_token": format!("planted-access-{name}"), "refresh_token": format!("planted-refresh-{name}"),
            "expires_at": rfc3339(at), "scopes": ["read"], "attributes": {"team": "a"},
        });
        let answer = self.ask("POST", "/v1/credentials", Some(document)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }
}

impl Answer {
    pub(crate) async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("is whole").to_bytes();
        Self {
            status: parts.status.as_u16(),
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).expect("is text"),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("is text"))
    }

    /// Whether it is this problem, whole and in the right type.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(body["status"], status);
        assert_eq!(self.header("content-type"), "application/problem+json");
        for field in ["type", "title", "detail"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {}", self.text);
        }
        assert!(!self.text.contains("planted"), "a secret in {}", self.text);
    }
}

pub(crate) fn door(host: &Host, limits: ApiLimits) -> Api {
    door_before(host, limits, None)
}

/// A door with another one behind it.
pub(crate) fn door_before(host: &Host, limits: ApiLimits, annex: Option<Arc<dyn Annex>>) -> Api {
    let state = ApiState {
        broker: host.broker.clone(),
        callers: Callers::new(&Secret::from(ADMIN)),
        metrics: metrics(),
        hosts: Hosts::default(),
        annex,
        signer: Arc::new(WordSigner),
        shelf: Arc::new(Shelf::default()),
    };
    Api::new(state, limits)
}

/// One recorder for the whole test process, as there is one in every process.
fn metrics() -> Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| Metrics::install().expect("is the first")).clone()
}

/// A request that shows the admin token.
pub(crate) fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost:8484")
        .header("authorization", format!("Bearer {ADMIN}"))
}

pub(crate) fn body_of(body: Option<Value>) -> Body {
    body.map_or_else(Body::empty, |body| Body::from(body.to_string()))
}

pub(crate) fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).expect("is a time").to_string()
}

/// Keeps names: a text is one. `used` is in use.
#[derive(Default)]
struct Shelf(Mutex<BTreeSet<String>>);

#[async_trait::async_trait]
impl ProfileShelf for Shelf {
    async fn import(&self, text: &str, _: &Actor) -> Result<Shelved, ShelfError> {
        let name = Name::parse(text).map_err(|error| ProfileError::Invalid(error.to_string()))?;
        let is_new = self.0.lock().expect("sound").insert(name.to_string());
        let profile = Profile { name: name.to_string(), ..Profile::default() };
        Ok(Shelved { profile, is_new, place: "here".into() })
    }

    async fn remove(&self, name: &Name, _: &Actor) -> Result<String, ShelfError> {
        if name.as_str() == "used" {
            return Err(ShelfError::InUse { name: name.clone(), users: 3 });
        }
        match self.0.lock().expect("sound").remove(name.as_str()) {
            true => Ok("it is gone".into()),
            false => Err(ShelfError::NotFound { name: name.clone(), place: "this".into() }),
        }
    }
}
