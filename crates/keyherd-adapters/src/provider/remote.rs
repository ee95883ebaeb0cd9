//! One request to a keyherd server: the same dialling, trust and bounds as towards a provider, for plain REST.
//!
//! Follows no redirect, reuses no connection, retries nothing. The bearer and the bodies are wiped when they were sent
//! or read, and are in no error.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request};
use http_body_util::Full;
use keyherd_core::ports::{CallLimits, Delivery};
use keyherd_core::provider::Body;
use keyherd_core::secret::Secret;
use url::{Position, Url};
use zeroize::Zeroizing;

use super::dial::Dialer;
use super::{BadCaBundle, Failure, HttpOptions, exchange, request, tls};

/// A client for a server's REST API.
#[derive(Debug)]
pub struct RestClient {
    dialer: Dialer,
}

/// What is asked of a server.
#[derive(Debug)]
pub struct RestCall<'a> {
    /// GET, POST, PUT, PATCH or DELETE.
    pub method: Method,
    /// The whole URL: https, or http to this machine.
    pub url: &'a Url,
    /// Who asks.
    pub bearer: &'a Secret,
    /// A JSON document.
    pub body: Option<Zeroizing<Vec<u8>>>,
}

/// What the server said.
#[derive(Debug)]
pub struct RestAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Complete and decoded.
    pub body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer. The code is one of [`super::HttpProvider`]'s, or `bad_answer`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestError {
    /// The server has seen nothing of it.
    #[error("{detail}")]
    NotSent {
        /// In one word.
        code: String,
        /// In one line.
        detail: String,
    },
    /// It may have been done.
    #[error("{detail}")]
    Unanswered {
        /// In one word.
        code: String,
        /// In one line.
        detail: String,
    },
}

impl RestClient {
    /// Reads the CA bundle, if there is one.
    ///
    /// # Errors
    /// [`BadCaBundle`] names the file.
    pub fn new(options: HttpOptions) -> Result<Self, BadCaBundle> {
        let tls = tls::Tls::new(options.ca_bundle.as_deref())?;
        Ok(Self { dialer: Dialer::new(tls, options.egress_proxy) })
    }

    /// Asks once, on a connection of its own.
    ///
    /// # Errors
    /// [`RestError`] tells what was not sent from what may have been done.
    pub async fn call(&self, call: RestCall<'_>, limits: &CallLimits) -> Result<RestAnswer, RestError> {
        let url = call.url;
        let message = message(call).map_err(not_sent)?;
        let stream = self.dialer.dial(url, limits.connect_timeout).await.map_err(not_sent)?;
        match exchange::exchange(stream, message, limits, &|| true).await {
            Delivery::NotSent { code, detail } => Err(RestError::NotSent { code, detail }),
            Delivery::Unanswered { code, detail } => Err(RestError::Unanswered { code, detail }),
            Delivery::Answered(reply) => match reply.body {
                Body::Bytes(body) => Ok(RestAnswer { status: reply.status, body }),
                Body::Truncated => Err(bad_answer("the answer broke off")),
                Body::TooLarge => Err(bad_answer("the answer is too large")),
                Body::Undecodable => Err(bad_answer("the answer cannot be decoded")),
            },
        }
    }
}

fn message(call: RestCall<'_>) -> Result<Request<Full<Bytes>>, Failure> {
    let bad = |detail: &str| Failure::new("bad_request", detail);
    let mut bearer = Zeroizing::new(String::with_capacity("Bearer ".len() + call.bearer.expose().len()));
    bearer.push_str("Bearer ");
    bearer.push_str(call.bearer.expose());
    let mut bearer =
        HeaderValue::from_str(&bearer).map_err(|_| bad("the bearer has a character that cannot be sent"))?;
    bearer.set_sensitive(true);
    let has_body = call.body.is_some();
    let bytes = call.body.map_or_else(Bytes::new, Bytes::from_owner);
    let mut message = Request::new(Full::new(bytes));
    *message.method_mut() = call.method;
    let target = &call.url[Position::BeforePath..Position::AfterQuery];
    *message.uri_mut() = target.parse().map_err(|_| bad("its URL has a path that cannot be sent"))?;
    let headers = message.headers_mut();
    headers.insert(USER_AGENT, request::OURSELVES);
    headers.insert(HOST, request::host(call.url)?);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, application/problem+json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(AUTHORIZATION, bearer);
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Ok(message)
}

fn not_sent(Failure { code, detail }: Failure) -> RestError {
    RestError::NotSent { code: code.to_owned(), detail }
}

fn bad_answer(detail: &str) -> RestError {
    RestError::Unanswered { code: "bad_answer".into(), detail: detail.into() }
}
