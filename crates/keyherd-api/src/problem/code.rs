//! The codes of problems: word, status and title of each. Never which error gets which.

use http::StatusCode;

/// What kind of problem: the `code` that programs look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its word, described in the outside surface's table of codes")]
pub enum Code {
    InvalidRequest,
    Unauthorized,
    ProxyUnauthorized,
    Denied,
    ApprovalTimeout,
    NotFound,
    MethodNotAllowed,
    RequestTimeout,
    Conflict,
    InUse,
    ReauthRequired,
    TooLarge,
    Misdirected,
    Cooling,
    Internal,
    ProviderUnavailable,
    ProviderBlocked,
    Uncertain,
    StoreUnavailable,
    Busy,
    Timeout,
}

impl Code {
    /// The word and the status.
    pub const fn parts(self) -> (&'static str, StatusCode) {
        match self {
            Self::InvalidRequest => ("invalid_request", StatusCode::BAD_REQUEST),
            Self::Unauthorized => ("unauthorized", StatusCode::UNAUTHORIZED),
            // Of the forward proxy's listener, and of no route.
            Self::ProxyUnauthorized => ("unauthorized", StatusCode::PROXY_AUTHENTICATION_REQUIRED),
            Self::Denied => ("denied", StatusCode::FORBIDDEN),
            Self::ApprovalTimeout => ("approval_timeout", StatusCode::FORBIDDEN),
            Self::NotFound => ("not_found", StatusCode::NOT_FOUND),
            Self::MethodNotAllowed => ("method_not_allowed", StatusCode::METHOD_NOT_ALLOWED),
            Self::RequestTimeout => ("request_timeout", StatusCode::REQUEST_TIMEOUT),
            Self::Conflict => ("conflict", StatusCode::CONFLICT),
            Self::InUse => ("in_use", StatusCode::CONFLICT),
            Self::ReauthRequired => ("reauth_required", StatusCode::CONFLICT),
            Self::TooLarge => ("too_large", StatusCode::PAYLOAD_TOO_LARGE),
            Self::Misdirected => ("misdirected", StatusCode::MISDIRECTED_REQUEST),
            Self::Cooling => ("cooling", StatusCode::TOO_MANY_REQUESTS),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR),
            Self::ProviderUnavailable => ("provider_unavailable", StatusCode::BAD_GATEWAY),
            Self::ProviderBlocked => ("provider_blocked", StatusCode::BAD_GATEWAY),
            Self::Uncertain => ("uncertain", StatusCode::SERVICE_UNAVAILABLE),
            Self::StoreUnavailable => ("store_unavailable", StatusCode::SERVICE_UNAVAILABLE),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE),
            Self::Timeout => ("timeout", StatusCode::GATEWAY_TIMEOUT),
        }
    }

    /// The same for humans; equal for every problem of the code.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request cannot be understood",
            Self::Unauthorized => "A valid bearer token is needed",
            Self::ProxyUnauthorized => "An agent's name and key are needed",
            Self::Denied => "This is not permitted",
            Self::ApprovalTimeout => "Nobody answered in time",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "This method is not for this path",
            Self::RequestTimeout => "The request did not arrive in time",
            Self::Conflict => "The request does not fit what is there",
            Self::InUse => "Something still uses it",
            Self::ReauthRequired => "A human must log in again",
            Self::TooLarge => "The request is too large",
            Self::Misdirected => "This server does not answer to that name",
            Self::Cooling => "The credential rests",
            Self::Internal => "keyherd made a mistake",
            Self::ProviderUnavailable => "The provider does not answer well",
            Self::ProviderBlocked => "The provider refuses the client app",
            Self::Uncertain => "It is unknown whether the provider rotated",
            Self::StoreUnavailable => "The store does not answer",
            Self::Busy => "Too much at once",
            Self::Timeout => "The caller's time ended",
        }
    }
}
