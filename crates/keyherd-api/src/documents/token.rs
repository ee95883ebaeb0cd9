//! Asking for a token, and the one view that holds a secret: the answer.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use keyherd_core::broker::Token;
use keyherd_core::refresh::Ask;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cooldown::check_scope;
use super::parse::at_most;
use super::{BadDocument, Moment, SecretText, Ticket};

/// How long a caller waits who does not say, in seconds.
pub const WAIT_SECONDS_DEFAULT: u64 = 30;
/// The longest a caller may wait, in seconds.
pub const WAIT_SECONDS_MAX: u64 = 300;
/// The longest a token may be asked to live on, in seconds: 30 days.
pub const MIN_VALID_SECONDS_MAX: u64 = 30 * 24 * 3600;

/// Asks for a valid access token, for `POST /v1/token`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenAsk {
    /// The credential's or the pool's name.
    #[schema(example = "acme-1")]
    pub name: String,
    /// How long the token must live on, in seconds, at most 30 days; never more than half of a token's lifetime counts.
    #[serde(default)]
    #[schema(maximum = 2_592_000)]
    pub min_valid_seconds: Option<u64>,
    /// An access token that upstream refused: it is not given back.
    #[serde(default)]
    pub rejected: Option<SecretText>,
    /// How long to wait for a refresh, in seconds.
    #[serde(default)]
    #[schema(maximum = 300, default = 30)]
    pub wait_seconds: Option<u64>,
    /// The part of the account that the token is for, such as a model: it may rest while others do not.
    #[serde(default)]
    pub scope: Option<String>,
}

impl TokenAsk {
    /// Whose token, and the question. `wait_max`: this server's own bound on waiting.
    pub fn into_ask(self, wait_max: Duration) -> Result<(String, Ask), BadDocument> {
        let min_valid = self
            .min_valid_seconds
            .map(|seconds| {
                at_most("min_valid_seconds", seconds, MIN_VALID_SECONDS_MAX).map(Duration::from_secs)
            })
            .transpose()?;
        if let Some(scope) = &self.scope {
            check_scope(scope)?;
        }
        let ask = Ask {
            min_valid,
            scope: self.scope,
            rejected: self.rejected.map(SecretText::into_secret),
            ..Ask::foreground(wait(self.wait_seconds, wait_max)?)
        };
        Ok((self.name, ask))
    }
}

/// Asks for a refresh now, for `POST /v1/credentials/{name}/refresh`. The body may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshAsk {
    /// How long to wait for it, in seconds.
    #[serde(default)]
    #[schema(maximum = 300, default = 30)]
    pub wait_seconds: Option<u64>,
}

impl RefreshAsk {
    /// How long to wait.
    pub fn wait(&self, wait_max: Duration) -> Result<Duration, BadDocument> {
        wait(self.wait_seconds, wait_max)
    }
}

fn wait(seconds: Option<u64>, wait_max: Duration) -> Result<Duration, BadDocument> {
    let max = wait_max.as_secs().min(WAIT_SECONDS_MAX);
    match seconds {
        Some(seconds) => at_most("wait_seconds", seconds, max).map(Duration::from_secs),
        None => Ok(Duration::from_secs(WAIT_SECONDS_DEFAULT.min(max))),
    }
}

/// A valid access token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView<'a> {
    /// The access token, or the static secret.
    #[schema(value_type = String)]
    pub access_token: Cow<'a, str>,
    /// `Bearer`, or what the provider said.
    #[schema(value_type = String, example = "Bearer")]
    pub token_type: Cow<'a, str>,
    /// When it ends; null: it does not.
    pub expires_at: Option<Moment>,
    /// Whose it is: the credential's name, also where a pool was asked for.
    #[schema(value_type = String)]
    pub credential: Cow<'a, str>,
    /// Which generation of its chain it belongs to.
    pub generation: u64,
    /// All members of the pool rest: this one, the first to recover, until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooling_until: Option<Moment>,
    /// For reports: where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
}

impl<'a> TokenView<'a> {
    /// Of a token: the one place where an access token goes into a view.
    pub fn new(token: &'a Token) -> Self {
        Self {
            access_token: token.expose().into(),
            token_type: token.token_type().into(),
            expires_at: token.expires_at().map(Moment::from),
            credential: token.credential().into(),
            generation: token.generation(),
            cooling_until: token.rests_until().map(Moment::from),
            ticket: Some(Ticket::of(token)),
        }
    }
}

// No part of the token.
impl fmt::Debug for TokenView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenView")
            .field("credential", &self.credential)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}
