//! The dashboard's own style, script and mark, which are part of the program.

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

/// Whoever has it has it for as long as this version runs: its address names the version.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// Where a page finds one.
pub(super) fn at(name: &str) -> String {
    format!("/ui/assets/{name}?v={}", crate::VERSION)
}

/// Everybody may have them: the page to log in needs them too.
pub(super) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "app.css" => ("text/css; charset=utf-8", include_str!("assets/app.css")),
        "app.js" => ("text/javascript; charset=utf-8", include_str!("assets/app.js")),
        "mark.svg" => ("image/svg+xml", include_str!("assets/mark.svg")),
        _ => return StatusCode::NOT_FOUND.into_response(),
    };
    ([(CONTENT_TYPE, HeaderValue::from_static(kind)), (CACHE_CONTROL, KEPT)], text).into_response()
}
