//! The message that goes over the wire, made of core's request.
//!
//! Owns the headers that belong to the transport. Never changes one that the profile sets, except that the connection
//! is always closed.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method as HttpMethod, Request};
use http_body_util::Full;
use keyherd_core::provider::{Method, TokenRequest};
use url::{Position, Url};
use zeroize::Zeroizing;

use super::Failure;

pub(super) const OURSELVES: HeaderValue =
    HeaderValue::from_static(concat!("keyherd/", env!("CARGO_PKG_VERSION")));

/// Hyper adds `Content-Length`.
pub(super) fn build(request: &TokenRequest) -> Result<Request<Full<Bytes>>, Failure> {
    let mut message = Request::new(body(request));
    *message.method_mut() = match request.method {
        Method::Get => HttpMethod::GET,
        Method::Post => HttpMethod::POST,
    };
    let target = &request.url[Position::BeforePath..Position::AfterQuery];
    *message.uri_mut() =
        target.parse().map_err(|_| bad("its URL has a path or query that cannot be sent"))?;
    *message.headers_mut() = headers(request)?;
    Ok(message)
}

/// Our copy is wiped when the message is dropped.
fn body(request: &TokenRequest) -> Full<Bytes> {
    let text = request.body.as_ref().map_or("", |body| body.expose());
    Full::new(Bytes::from_owner(Zeroizing::new(text.as_bytes().to_vec())))
}

fn headers(request: &TokenRequest) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, OURSELVES);
    for (name, secret) in &request.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("a header's name is none"))?;
        let value = HeaderValue::from_str(secret.expose());
        let mut value =
            value.map_err(|_| bad(format!("the header '{name}' has a character that cannot be sent")))?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    if let Some(content_type) = request.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    headers.insert(HOST, host(&request.url)?);
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    Ok(headers)
}

/// With the port where it is not the scheme's own (RFC 9110, section 7.2).
pub(super) fn host(url: &Url) -> Result<HeaderValue, Failure> {
    url[Position::BeforeHost..Position::AfterPort]
        .parse()
        .map_err(|_| bad("its URL has a host that cannot be sent"))
}

fn bad(detail: impl Into<String>) -> Failure {
    Failure::new("bad_request", detail)
}
