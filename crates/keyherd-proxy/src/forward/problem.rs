//! What agents are told where there is no answer of an upstream: problem+json (RFC 9457).

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, PROXY_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};

/// An answer's body, from wherever it comes.
pub type ForwardBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// An answer of ours.
pub fn problem(status: StatusCode, code: &str, detail: &str) -> Response<ForwardBody> {
    let text = serde_json::json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    let mut response = Response::new(whole(text.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// Nobody was recognised.
pub(super) fn unknown_caller() -> Response<ForwardBody> {
    let detail = "this proxy wants an agent's name and key: 'keyherd agent create NAME'";
    let mut response = problem(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "unauthorized", detail);
    let challenge = HeaderValue::from_static("Basic realm=\"keyherd\", charset=\"UTF-8\"");
    response.headers_mut().insert(PROXY_AUTHENTICATE, challenge);
    response
}

/// What was dialled and what is named are not the same (RFC 9110, section 15.5.20).
pub(super) fn misdirected(detail: &str) -> Response<ForwardBody> {
    problem(StatusCode::MISDIRECTED_REQUEST, "invalid_request", detail)
}

/// An answer without a body.
pub(super) fn empty() -> Response<ForwardBody> {
    Response::new(whole(Bytes::new()))
}

fn whole(bytes: Bytes) -> ForwardBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}
