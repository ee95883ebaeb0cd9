//! `GET /`: a page for people who find this server. The dashboard will stand here.

use axum::response::{Html, IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};

/// Nothing is loaded, nothing runs, nothing is sent, nobody frames it.
const POLICY: &str = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The page, without anything that a caller could have put there.
const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">",
    "<meta name=\"viewport\" content=\"width=device-width\"><title>keyherd</title></head>\n<body>\n",
    "<h1>keyherd ",
    env!("CARGO_PKG_VERSION"),
    "</h1>\n<p>An OAuth credential broker: however many ask, it happens once.</p>\n<ul>\n",
    "<li><a href=\"/healthz\">/healthz</a>: whether it lives</li>\n",
    "<li><a href=\"/readyz\">/readyz</a>: whether it can serve</li>\n",
    "<li><a href=\"/openapi.json\">/openapi.json</a>: what it can do</li>\n",
    "<li>/metrics and /v1/…: with the admin token as bearer</li>\n</ul>\n</body>\n</html>\n",
);

/// A page about this server
#[utoipa::path(
    get,
    path = "/",
    operation_id = "page",
    tag = "status",
    security(()),
    responses((status = 200, description = "HTML", body = String, content_type = "text/html"))
)]
pub(super) async fn index() -> Response {
    let mut response = Html(PAGE).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
