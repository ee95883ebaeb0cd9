//! What went wrong, as `application/problem+json` (RFC 9457): the one place where errors get a code and a status.
//!
//! Details name things and the way out; they never hold a secret, because no error of the domain does.

mod code;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, PROXY_AUTHENTICATE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use keyherd_core::agent::AgentConflict;
use keyherd_core::binding::BindingConflict;
use keyherd_core::broker::{AcquireError, ConnectError, ManageError};
use keyherd_core::credential::DraftError;
use keyherd_core::ids::BadName;
use keyherd_core::pool::PoolConflict;
use keyherd_core::ports::{JournalError, ProfileError, ShelfError, StoreError};
use keyherd_core::refresh::Refusal;
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use self::code::Code;
use crate::annex::{Reply, reply};
use crate::documents::{BadDocument, Moment, pool_refusal_line, refusal_line};

/// A problem's body (RFC 9457). Absent fields have no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProblemView {
    /// `urn:keyherd:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What programs look at.
    #[schema(example = "cooling")]
    pub code: String,
    /// What, which, and what to do.
    pub detail: String,
    /// For `cooling`: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// For `cooling`: why. For trouble with a provider: its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it makes sense to ask again, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Moment>,
    /// What else belongs to this problem.
    #[serde(flatten)]
    #[schema(value_type = BTreeMap<String, Value>)]
    pub more: BTreeMap<String, Value>,
}

/// A problem on its way out.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    code: Code,
    body: Box<ProblemView>,
    retry_after: Option<Duration>,
    allow: Option<&'static str>,
}

impl Problem {
    /// A problem of that code; `detail` says what, which, and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        let (word, status) = code.parts();
        let body = ProblemView {
            kind: format!("urn:keyherd:problem:{word}"),
            title: code.title().into(),
            status: status.as_u16(),
            code: word.into(),
            detail: detail.into(),
            until: None,
            reason: None,
            retry_at: None,
            more: BTreeMap::new(),
        };
        Self { code, body: Box::new(body), retry_after: None, allow: None }
    }

    /// Of a request that cannot be understood.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(Code::InvalidRequest, detail)
    }

    /// Of our own making. What happened is in the log, not in the answer.
    pub fn internal() -> Self {
        Self::new(Code::Internal, "this is a fault of keyherd itself: its log says more")
    }

    /// Why a caller of `name` gets no token at `now`.
    pub fn refused(name: &str, refusal: &Refusal, now: Timestamp) -> Self {
        let problem = Self::new(refusal_code(refusal), refusal_line(name, refusal));
        match refusal {
            Refusal::Cooling { until, reason } => problem.cooling(*until, reason, now),
            Refusal::Unavailable { code, retry_at } | Refusal::Uncertain { code, retry_at } => {
                problem.because(code).again_at(*retry_at, now)
            }
            Refusal::ReauthRequired { code } | Refusal::Blocked { code } => problem.because(code),
            Refusal::Disabled | Refusal::TimedOut | Refusal::Removed => problem,
        }
    }

    /// The same, where `name` is a pool's.
    pub fn refused_pool(name: &str, refusal: &Refusal, now: Timestamp) -> Self {
        let mut problem = Self::refused(name, refusal, now);
        problem.body.detail = pool_refusal_line(name, refusal);
        problem
    }

    /// The answer, for doors that are not this one.
    pub fn into_reply(self) -> Reply {
        reply(self.into_response())
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What, which, and what to do.
    pub(crate) fn detail(&self) -> &str {
        &self.body.detail
    }

    /// Asks the caller to come again after that time.
    pub fn retry_after(mut self, rest: Duration) -> Self {
        self.retry_after = Some(rest);
        self
    }

    /// Says which methods there are instead.
    pub fn allowing(mut self, methods: &'static str) -> Self {
        self.allow = Some(methods);
        self
    }

    /// Adds what else belongs to it.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.body.more.insert(field.into(), value.into());
        self
    }

    fn cooling(mut self, until: Timestamp, reason: &str, now: Timestamp) -> Self {
        self.body.until = Some(until.into());
        self.because(reason).again_at(until, now)
    }

    fn because(mut self, reason: &str) -> Self {
        self.body.reason = Some(reason.into());
        self
    }

    fn again_at(mut self, at: Timestamp, now: Timestamp) -> Self {
        self.body.retry_at = Some(at.into());
        self.retry_after(now.until(at))
    }
}

fn refusal_code(refusal: &Refusal) -> Code {
    match refusal {
        Refusal::Disabled => Code::Denied,
        Refusal::Cooling { .. } => Code::Cooling,
        Refusal::ReauthRequired { .. } => Code::ReauthRequired,
        Refusal::Blocked { .. } => Code::ProviderBlocked,
        Refusal::Unavailable { .. } => Code::ProviderUnavailable,
        Refusal::Uncertain { .. } => Code::Uncertain,
        Refusal::TimedOut => Code::Timeout,
        Refusal::Removed => Code::NotFound,
    }
}

impl From<AcquireError> for Problem {
    fn from(error: AcquireError) -> Self {
        let code = match &error {
            AcquireError::BadName(_) => Code::InvalidRequest,
            AcquireError::NotFound(_) => Code::NotFound,
            AcquireError::Store(_) => Code::StoreUnavailable,
            // The request is sound; what is kept under that name has to be mended first.
            AcquireError::Unusable(_) => Code::Conflict,
            AcquireError::Lost(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Self {
        match &error {
            ConnectError::NameTaken(name) => Self::new(
                Code::Conflict,
                format!(
                    "credential '{name}' exists already: reconnect it with --replace (?mode=replace), or leave it with --if-absent (?mode=if_absent)"
                ),
            ),
            ConnectError::NotFound(_) => Self::new(Code::NotFound, error.to_string()),
            ConnectError::Conflict { .. } => Self::new(Code::Conflict, error.to_string()),
            ConnectError::Unfit { .. } => Self::invalid(error.to_string()),
            ConnectError::Store(_) => Self::new(Code::StoreUnavailable, error.to_string()),
        }
    }
}

impl From<ManageError> for Problem {
    fn from(error: ManageError) -> Self {
        let code = match &error {
            ManageError::NotFound { .. } => Code::NotFound,
            ManageError::InUse { .. } | ManageError::Refreshing(_) => Code::InUse,
            ManageError::Pooled { .. } => Code::InUse,
            ManageError::Pool { conflict, .. } => refused_pool(conflict),
            ManageError::Used { .. } => Code::InUse,
            ManageError::NoBinding(_) => Code::NotFound,
            ManageError::Agent { conflict, .. } => refused_agent(conflict),
            ManageError::Binding { conflict, .. } => refused_binding(conflict),
            ManageError::BadBinding(_) => Code::InvalidRequest,
            ManageError::Conflict { .. } => Code::Conflict,
            ManageError::Unfit(_) => Code::InvalidRequest,
            ManageError::Store(_) => Code::StoreUnavailable,
        };
        Self::new(code, error.to_string())
    }
}

fn refused_pool(conflict: &PoolConflict) -> Code {
    match conflict {
        PoolConflict::UnknownMember(_) | PoolConflict::NotAMember(_) => Code::NotFound,
        PoolConflict::Duplicate(_) | PoolConflict::Empty | PoolConflict::TooMany => Code::InvalidRequest,
        PoolConflict::NameOfCredential(_) | PoolConflict::NameOfPool(_) | PoolConflict::Pooled { .. } => {
            Code::Conflict
        }
    }
}

fn refused_agent(conflict: &AgentConflict) -> Code {
    match conflict {
        AgentConflict::UnknownName(_) => Code::NotFound,
        AgentConflict::Duplicate(_) | AgentConflict::TooManyAllowed => Code::InvalidRequest,
        AgentConflict::NameTaken | AgentConflict::TooMany(_) => Code::Conflict,
    }
}

fn refused_binding(conflict: &BindingConflict) -> Code {
    match conflict {
        BindingConflict::UnknownName(_) => Code::NotFound,
        BindingConflict::Duplicate(_) | BindingConflict::SecondUpstream(_) | BindingConflict::TooMany(_) => {
            Code::Conflict
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::new(Code::StoreUnavailable, error.to_string())
    }
}

impl From<ShelfError> for Problem {
    fn from(error: ShelfError) -> Self {
        let code = match &error {
            ShelfError::Profile(ProfileError::Invalid(_)) => Code::InvalidRequest,
            ShelfError::NotFound { .. } => Code::NotFound,
            ShelfError::InUse { .. } => Code::InUse,
            // The store of profiles, whichever it is.
            ShelfError::Profile(ProfileError::Unreadable(_)) | ShelfError::File(_) | ShelfError::Store(_) => {
                Code::StoreUnavailable
            }
        };
        Self::new(code, error.to_string())
    }
}

impl From<BadDocument> for Problem {
    fn from(error: BadDocument) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<BadName> for Problem {
    fn from(error: BadName) -> Self {
        Self::invalid(error.to_string())
    }
}

/// The store's trouble in one word: fit for those who have shown no key.
pub(crate) fn store_word(error: &StoreError) -> &'static str {
    match error {
        StoreError::Unavailable(_) | StoreError::Unanswered(_) => "unavailable",
        StoreError::Unwritable(_) => "unwritable",
        StoreError::Misconfigured(_) => "misconfigured",
        StoreError::Corrupt(_) => "corrupt",
        StoreError::Sealed(_) => "sealed",
    }
}

/// The journal's trouble in one word.
pub(crate) fn journal_word(error: &JournalError) -> &'static str {
    match error {
        JournalError::Io(_) => "unavailable",
        JournalError::Sealed { .. } => "sealed",
        JournalError::Unreadable { .. } => "unreadable",
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, status) = self.code.parts();
        let bytes = serde_json::to_vec(&self.body).unwrap_or_default();
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(rest) = self.retry_after {
            headers.insert(RETRY_AFTER, whole_seconds(rest).into());
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if let Some((name, challenge)) = challenge(self.code) {
            headers.insert(name, HeaderValue::from_static(challenge));
        }
        response
    }
}

/// How to show who one is (RFC 9110, section 11.6 and 11.7).
fn challenge(code: Code) -> Option<(HeaderName, &'static str)> {
    match code {
        Code::Unauthorized => Some((WWW_AUTHENTICATE, "Bearer realm=\"keyherd\"")),
        Code::ProxyUnauthorized => Some((PROXY_AUTHENTICATE, "Basic realm=\"keyherd\", charset=\"UTF-8\"")),
        _ => None,
    }
}

/// Retry-After in whole seconds, rounded up so that nobody comes too early.
fn whole_seconds(rest: Duration) -> u64 {
    rest.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests;
