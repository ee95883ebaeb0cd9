//! Who calls: the bearer of a key. For now the administrator alone; agents with keys of their own belong here.

use std::fmt;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use keyherd_core::audit::Actor;
use keyherd_core::secret::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::problem::{Code, Problem};

/// The keys this server knows, as hashes. Keys are random and long, so that a plain hash gives nothing away.
#[derive(Clone)]
pub struct Callers {
    admin: [u8; 32],
}

/// Somebody who has shown a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Holds the admin token: may do everything.
    Admin,
}

impl Callers {
    /// Knows the administrator by this token.
    pub fn new(admin_token: &Secret) -> Self {
        Self { admin: Sha256::digest(admin_token.expose().as_bytes()).into() }
    }

    /// Who shows this request's bearer token (RFC 6750, section 2.1). Compared in constant time, hash by hash.
    pub(crate) fn recognise(&self, headers: &HeaderMap) -> Result<Caller, Problem> {
        let token =
            headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes())).ok_or_else(no_token)?;
        let hash: [u8; 32] = Sha256::digest(token).into();
        if self.admin.ct_eq(&hash).into() { Ok(Caller::Admin) } else { Err(unknown_token()) }
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callers(…)")
    }
}

impl Caller {
    /// As the audit log names them.
    pub fn actor(self) -> Actor {
        match self {
            Self::Admin => Actor::new("admin"),
        }
    }
}

/// The caller whom the door has recognised before any handler ran.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(no_token)
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

fn no_token() -> Problem {
    Problem::new(
        Code::Unauthorized,
        "no bearer token was sent: send 'Authorization: Bearer …' with the admin token",
    )
}

fn unknown_token() -> Problem {
    Problem::new(
        Code::Unauthorized,
        "this bearer token is not known here: the admin token is in the file 'admin.token' of the server's data folder",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Option<&str>, expected: bool) {
        let callers = Callers::new(&Secret::from("right"));
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(AUTHORIZATION, value.parse().expect("is a value"));
        }
        let got = callers.recognise(&headers);
        assert_eq!(got.is_ok(), expected, "{value:?}");
        assert!(!format!("{got:?}{callers:?}").contains("right"));
    }

    #[test]
    fn only_the_right_bearer() {
        check(Some("Bearer right"), true);
        check(Some("bearer right"), true);
        for bad in
            ["Bearer wrong", "Bearer ", "Bearer", "Basic right", "right", "Bearer right ", "Bearer  right"]
        {
            check(Some(bad), false);
        }
        check(None, false);
    }
}
