//! The door: names, bearers and panics, before and around every handler.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Map};
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use hyper::service::Service;
use tower::{BoxError, ServiceExt};

use crate::annex::{AnnexBody, Reply, boxed};
use crate::caller::LastKey;
use crate::hosts::{Arrival, KnownHost};
use crate::limits::ApiLimits;
use crate::problem::Problem;
use crate::pulse::{Answering, Pulse};
use crate::routes;
use crate::state::{ApiState, State};

/// The REST door over one broker. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

struct Inner {
    state: State,
    router: Router,
}

/// The door as seen from one connection: a service for its requests.
#[derive(Clone)]
pub struct Seat {
    api: Api,
    arrival: Arrival,
    desk: Arc<Desk>,
}

/// What is known of a connection.
#[derive(Default)]
struct Desk {
    pulse: Arc<Pulse>,
    host: KnownHost,
    last: LastKey,
}

impl Api {
    /// A door over a broker, within these bounds.
    pub fn new(state: ApiState, limits: ApiLimits) -> Self {
        let (described, openapi) = routes::described();
        let state = State::new(state, limits, openapi);
        Self(Arc::new(Inner { router: routes::router(described, &state), state }))
    }

    /// The service for a connection that arrived at `local`.
    pub fn seat(&self, local: std::net::SocketAddr, is_tls: bool) -> Seat {
        Seat { api: self.clone(), arrival: Arrival { local, is_tls }, desk: Arc::default() }
    }

    /// The door's description, OpenAPI 3.1 in JSON.
    pub fn openapi(&self) -> Bytes {
        self.0.state.openapi.clone()
    }

    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    async fn answer<B>(
        &self,
        request: Request<B>,
        arrival: Arrival,
        host: &KnownHost,
    ) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let state = &self.0.state;
        state.hosts.check(request.uri(), request.headers(), arrival, host)?;
        if request.method() == Method::POST && request.uri().path() == "/v1/token" {
            let caller = state.callers.recognise(request.headers(), &state.broker).await?;
            return routes::token::answer(state, caller, request.into_body()).await;
        }
        let mut request = request.map(Body::new);
        if !is_open(request.uri().path()) {
            let caller = state.callers.recognise_or_ticket(request.headers(), &state.broker).await?;
            caller.may_reach(request.method(), request.uri().path())?;
            request.extensions_mut().insert(caller);
        }
        request.extensions_mut().insert(arrival);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let begun = state.uptime();
        let mut response =
            self.0.router.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
        response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let took = state.uptime().saturating_sub(begun);
        tracing::debug!(%method, path, status = response.status().as_u16(), ?took, "answered");
        Ok(response)
    }

    async fn answer_at_annex(
        &self,
        request: Request<AnnexBody>,
        arrival: Arrival,
        desk: &Desk,
    ) -> Result<Reply, Problem> {
        let state = &self.0.state;
        state.hosts.check(request.uri(), request.headers(), arrival, &desk.host)?;
        let annex = state.annex.as_ref().ok_or_else(Problem::internal)?;
        let caller = state.callers.recognise_at_annex(request.headers(), &state.broker, &desk.last).await?;
        annex.answer(caller, request).await
    }

    fn is_for_annex(&self, path: &str) -> bool {
        self.0.state.annex.as_ref().is_some_and(|annex| annex.is_for(path))
    }
}

/// Paths that need no bearer. All others do, also those that are nowhere. The dashboard has sessions.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/openapi.json") || crate::dashboard::is_for(path)
}

impl Seat {
    /// The connection's requests.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.desk.pulse
    }

    /// Answers one of the connection's requests. Dropped, the caller has gone.
    pub fn answer<B>(&self, request: Request<B>) -> BoxFuture<'static, Response<Answering>>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let beat = self.desk.pulse.begin(request.version());
        let (api, desk, arrival) = (self.api.clone(), Arc::clone(&self.desk), self.arrival);
        // Apart: what most requests go through is not moved about as large as the rest.
        if api.is_for_annex(request.uri().path()) {
            let request = request.map(boxed);
            return Box::pin(async move {
                let work = AssertUnwindSafe(api.answer_at_annex(request, arrival, &desk));
                match settled(work.catch_unwind().await) {
                    Ok(answer) => answer.map(|body| Answering::of_annex(body, beat)),
                    Err(problem) => problem.into_response().map(|body| Answering::new(body, beat)),
                }
            });
        }
        Box::pin(async move {
            let work = AssertUnwindSafe(api.answer(request, arrival, &desk.host));
            let answer = settled(work.catch_unwind().await).into_response();
            answer.map(|body| Answering::new(body, beat))
        })
    }
}

impl Service<Request<Incoming>> for Seat {
    type Response = Response<Answering>;
    type Error = Infallible;
    type Future =
        Map<BoxFuture<'static, Self::Response>, fn(Self::Response) -> Result<Self::Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.answer(request).map(Ok)
    }
}

fn settled<T>(outcome: std::thread::Result<Result<T, Problem>>) -> Result<T, Problem> {
    outcome.unwrap_or_else(|_panic| {
        // What it carries may hold anything: it is not repeated.
        tracing::error!("a handler panicked");
        Err(Problem::internal())
    })
}
