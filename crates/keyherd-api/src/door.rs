//! The door: names, bearers and panics, before and around every handler.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::X_CONTENT_TYPE_OPTIONS;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use tower::{BoxError, Service, ServiceExt};

use crate::hosts::Arrival;
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
    pulse: Arc<Pulse>,
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
        Seat { api: self.clone(), arrival: Arrival { local, is_tls }, pulse: Arc::default() }
    }

    /// The door's description, OpenAPI 3.1 in JSON.
    pub fn openapi(&self) -> Bytes {
        self.0.state.openapi.clone()
    }

    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    async fn answer<B>(&self, request: Request<B>, arrival: Arrival) -> Result<Response, Problem>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let state = &self.0.state;
        state.hosts.check(request.uri(), request.headers(), arrival)?;
        if request.method() == Method::POST && request.uri().path() == "/v1/token" {
            let caller = state.callers.recognise(request.headers(), &state.broker).await?;
            return routes::token::answer(state, caller, request.into_body()).await;
        }
        if let Some(annex) = state.annex.as_ref().filter(|annex| annex.is_for(request.uri().path())) {
            let caller = state.callers.recognise_at_annex(request.headers(), &state.broker).await?;
            return annex.answer(caller, request.map(boxed)).await;
        }
        let mut request = request.map(Body::new);
        if !is_open(request.uri().path()) {
            let caller = state.callers.recognise(request.headers(), &state.broker).await?;
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
}

fn boxed<B>(body: B) -> UnsyncBoxBody<Bytes, BoxError>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    UnsyncBoxBody::new(body.map_err(Into::into))
}

/// Paths that need no bearer. All others do, also those that are nowhere. The dashboard has sessions.
fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/openapi.json") || crate::dashboard::is_for(path)
}

impl Seat {
    /// The connection's requests.
    pub(crate) fn pulse(&self) -> &Pulse {
        &self.pulse
    }
}

impl<B> Service<Request<B>> for Seat
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Answering>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let beat = self.pulse.begin(request.version());
        let (api, arrival) = (self.api.clone(), self.arrival);
        let work = async move { api.answer(request, arrival).await };
        let work = AssertUnwindSafe(work).catch_unwind();
        Box::pin(work.map(|outcome| Ok(whatever_came(outcome).map(|body| Answering::new(body, beat)))))
    }
}

fn whatever_came(outcome: std::thread::Result<Result<Response, Problem>>) -> Response {
    match outcome {
        Ok(answer) => answer.into_response(),
        Err(_panic) => {
            // What it carries may hold anything: it is not repeated.
            tracing::error!("a handler panicked");
            Problem::internal().into_response()
        }
    }
}
