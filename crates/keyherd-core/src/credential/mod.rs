//! Credentials and their token chains: what a store keeps, as the domain sees it.
//!
//! A credential is a name with its own switches (disabled, cooling); the tokens live on its chain, which may be
//! shared. Static keys are chains that never refresh, so that every reader takes the same path.
//! Never decides anything: [`crate::refresh`] does.

mod draft;
mod trouble;

use std::time::Duration;

use serde_json::Value;

pub use self::draft::{Amendment, ClientChoice, Draft, DraftError, DraftFields, SCOPES_MAX, TEXT_LEN_MAX};
pub use self::trouble::{Backoff, Block, Trouble, Uncertain, Verdict, VerdictReason};
use crate::ids::{ChainId, ClaimId, CredentialId, Name, OwnerId};
use crate::secret::{Secret, TokenHash};
use crate::time::Timestamp;

/// What kind of secret a credential stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An access token with, usually, a refresh token (RFC 6749, section 6).
    OAuth2,
    /// One secret that does not change by itself: an API key.
    Static,
    /// Access tokens by the client's own authority (RFC 6749, section 4.4): nothing to spend, nothing to lose.
    ClientCredentials,
}

impl Kind {
    /// The word used in documents and stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OAuth2 => "oauth2",
            Self::Static => "static",
            Self::ClientCredentials => "client_credentials",
        }
    }

    /// The kind of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::OAuth2, Self::Static, Self::ClientCredentials].into_iter().find(|kind| kind.as_str() == word)
    }
}

/// The tokens of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// What callers get; none before a first grant. For [`Kind::Static`] the secret.
    pub access_token: Option<Secret>,
    /// As the provider said it; `Bearer` where it said nothing.
    pub token_type: String,
    /// When the access token ends; `None`: it does not.
    pub expires_at: Option<Timestamp>,
    /// The provider named no usable lifetime; `expires_at` is the profile's default.
    pub expires_assumed: bool,
    /// When these tokens came here: with `expires_at`, the lifetime that windows are clamped to.
    pub issued_at: Timestamp,
    /// What the next refresh spends.
    pub refresh_token: Option<Secret>,
    /// When the refresh token ends, where that is known.
    pub refresh_expires_at: Option<Timestamp>,
    /// Scopes granted, where they were said.
    pub scopes: Vec<String>,
}

impl Tokens {
    /// The access token's whole life, as far as it was seen here; `None`: it does not end.
    pub fn lifetime(&self) -> Option<Duration> {
        self.expires_at.map(|end| self.issued_at.until(end))
    }

    /// Whether there is an access token that has not ended.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.access_token.is_some() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Whether the access token lives longer than `window`, which is clamped to half its lifetime.
    pub fn outlasts(&self, window: Duration, now: Timestamp) -> bool {
        self.access_token.is_some() && outlasts(self.issued_at, self.expires_at, window, now)
    }

    /// Whether this is the access token that a caller names.
    pub fn is_access_token(&self, other: &Secret) -> bool {
        self.access_token.as_ref() == Some(other)
    }
}

/// Whether what came at `issued_at` and ends then lives longer than `window`, which is clamped to half its lifetime.
pub(crate) fn outlasts(
    issued_at: Timestamp,
    ends_at: Option<Timestamp>,
    window: Duration,
    now: Timestamp,
) -> bool {
    ends_at.is_none_or(|end| now + window.min(issued_at.until(end) / 2) < end)
}

/// The client app a chain is used with, resolved: its own or a named one's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// Set where the app is one that credentials share by name.
    pub name: Option<Name>,
    /// The `client_id` (RFC 6749, section 2.2).
    pub id: Option<String>,
    /// None for a public client.
    pub secret: Option<Secret>,
}

/// What a claim was taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A refresh like any other.
    Refresh,
    /// The one try after an unknown outcome: did the provider rotate, or not?
    ProbeUncertain,
    /// The rare try after a terminal error: is the account healthy again?
    ProbeVerdict,
}

impl Purpose {
    /// The word a store keeps.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::ProbeUncertain => "probe_uncertain",
            Self::ProbeVerdict => "probe_verdict",
        }
    }

    /// The purpose of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Refresh, Self::ProbeUncertain, Self::ProbeVerdict].into_iter().find(|p| p.as_str() == word)
    }
}

/// Whether a claim's owner can still act on it, as the store's adapter sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// This very process.
    Mine,
    /// Another process that lives, or may live.
    Alive,
    /// A process that is gone for good.
    Gone,
}

/// The recorded intent to spend one refresh token: the only thing that authorises a provider call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// This claim, and no other one.
    pub id: ClaimId,
    /// The process that took it.
    pub owner: OwnerId,
    /// What it was taken for.
    pub purpose: Purpose,
    /// When, on the store's clock.
    pub at: Timestamp,
    /// Whether the owner can still act.
    pub holder: Holder,
}

/// A token chain: the refresh-token lineage that must not be spent twice, and the access token that came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// This incarnation.
    pub id: ChainId,
    /// +1 at every change of the row; what a claim is conditional on.
    pub revision: u64,
    /// +1 at each committed refresh or reconnect; the fencing number.
    pub generation: u64,
    /// Set where credentials share the chain by name.
    pub name: Option<Name>,
    /// The profile's name.
    pub provider: String,
    /// What kind of secret it is.
    pub kind: Kind,
    /// The client app.
    pub client: Client,
    /// Overrides the profile's token endpoint.
    pub token_url: Option<String>,
    /// The resource indicator (RFC 8707), if any.
    pub resource: Option<String>,
    /// Scopes asked for when the credential was made.
    pub scopes: Vec<String>,
    /// The current generation's tokens.
    pub tokens: Tokens,
    /// Hash of what the next provider call spends: the refresh token's, or a stand-in for grants without one.
    pub spend_hash: Option<TokenHash>,
    /// When the provider last granted tokens here (imports do not count).
    pub refreshed_at: Option<Timestamp>,
    /// The current access token was minted because its predecessor was rejected upstream.
    pub minted_by_rejection: bool,
    /// What stands in the way of the next refresh.
    pub trouble: Trouble,
    /// The unresolved claim, if any.
    pub claim: Option<Claim>,
    /// A block on the client app, if one is in force.
    pub block: Option<Block>,
    /// When the background looks at it next.
    pub due_at: Option<Timestamp>,
}

impl Chain {
    /// The verdict in force: one that is about the very token that would be spent.
    pub fn verdict(&self) -> Option<&Verdict> {
        match &self.trouble {
            Trouble::Verdict(verdict) if Some(verdict.hash) == self.spend_hash => Some(verdict),
            _ => None,
        }
    }

    /// Whether a process that lives or may live has claimed it, this one included.
    pub fn is_claimed(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.holder != Holder::Gone)
    }

    /// No token any more, and nothing to get another one with.
    fn has_ended(&self, now: Timestamp) -> bool {
        let tokens = &self.tokens;
        self.kind == Kind::OAuth2 && tokens.refresh_token.is_none() && !tokens.is_valid(now)
    }

    /// Whether another process, which lives or may live, is at it.
    pub fn is_held(&self) -> bool {
        self.claim.as_ref().is_some_and(|claim| claim.holder == Holder::Alive)
    }
}

/// Why a credential rests, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooldown {
    /// The part that rests, such as a model or a path, by its exact text; `None`: the whole account.
    pub scope: Option<String>,
    /// Until when; only ever extended.
    pub until: Timestamp,
    /// `rate_limit`, `authentication`, `manual`, or the caller's word.
    pub reason: String,
}

impl Cooldown {
    /// The reason of a used-up limit.
    pub const RATE_LIMIT: &str = "rate_limit";
    /// The reason of a secret that upstream refuses.
    pub const AUTHENTICATION: &str = "authentication";

    /// A whole account's.
    pub fn whole(until: Timestamp, reason: impl Into<String>) -> Self {
        Self { scope: None, until, reason: reason.into() }
    }

    /// Whether a request in that scope is concerned: a whole account's rest concerns every one.
    pub fn concerns(&self, scope: Option<&str>) -> bool {
        self.scope.is_none() || self.scope.as_deref() == scope
    }

    /// Whether upstream was the reason. Then the end is a guess, and one caller tries first.
    pub fn is_evidence(&self) -> bool {
        [Self::RATE_LIMIT, Self::AUTHENTICATION].contains(&self.reason.as_str())
    }
}

/// One account's name and switches.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// This incarnation.
    pub id: CredentialId,
    /// What callers ask for.
    pub name: Name,
    /// Where its tokens live.
    pub chain: ChainId,
    /// Switched off by hand: nobody gets its token, nobody refreshes for it.
    pub disabled: bool,
    /// Whatever the owner wants to keep with it.
    pub attributes: Value,
    /// The whole account rests until then.
    pub cooldown: Option<Cooldown>,
    /// Parts of it rest until then: one at most for each scope.
    pub scoped: Vec<Cooldown>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Credential {
    /// What was ever said of the whole account's or that scope's rest, ended or not.
    pub fn rests(&self, scope: Option<&str>) -> impl Iterator<Item = &Cooldown> {
        self.cooldown.iter().chain(&self.scoped).filter(move |cooldown| cooldown.concerns(scope))
    }

    /// The rest that keeps a request in that scope waiting longest.
    pub fn resting(&self, scope: Option<&str>, now: Timestamp) -> Option<&Cooldown> {
        self.rests(scope).filter(|cooldown| now < cooldown.until).max_by_key(|cooldown| cooldown.until)
    }

    /// The rest of just that scope, or of just the whole account, ended or not.
    pub fn rest_of(&self, scope: Option<&str>) -> Option<&Cooldown> {
        self.rests(scope).find(|cooldown| cooldown.scope.as_deref() == scope)
    }

    /// Takes a rest in, unless there is a longer one of the same scope.
    pub fn take_rest(&mut self, cooldown: &Cooldown) {
        let known = match &cooldown.scope {
            None => self.cooldown.as_mut(),
            Some(scope) => self.scoped.iter_mut().find(|known| known.scope.as_deref() == Some(scope)),
        };
        match (known, &cooldown.scope) {
            (Some(known), _) if known.until < cooldown.until => known.clone_from(cooldown),
            (Some(_), _) => {}
            (None, None) => self.cooldown = Some(cooldown.clone()),
            (None, Some(_)) => {
                let at = self.scoped.partition_point(|known| known.scope < cooldown.scope);
                self.scoped.insert(at, cooldown.clone());
            }
        }
    }
}

/// A credential together with its chain: what one read of the store gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The name and its switches.
    pub credential: Credential,
    /// The tokens.
    pub chain: Chain,
}

/// How a credential stands, in one word for people and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Serves, or will after a refresh.
    Active,
    /// Switched off by hand.
    Disabled,
    /// Rests.
    Cooling,
    /// A human must log in again.
    ReauthRequired,
    /// It is unknown whether the provider rotated.
    Uncertain,
    /// The client app is refused.
    Blocked,
    /// The provider does not answer well; tried again soon.
    Unavailable,
}

impl State {
    /// The word in documents and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::Cooling => "cooling",
            Self::ReauthRequired => "reauth_required",
            Self::Uncertain => "uncertain",
            Self::Blocked => "blocked",
            Self::Unavailable => "unavailable",
        }
    }
}

impl Loaded {
    /// The whole account's cooldown that holds now, if one does.
    pub fn cooling(&self, now: Timestamp) -> Option<&Cooldown> {
        self.credential.cooldown.as_ref().filter(|cooldown| now < cooldown.until)
    }

    /// How it stands now.
    pub fn state(&self, now: Timestamp) -> State {
        Self::state_of(&self.credential, &self.chain, now)
    }

    /// The same, where the two are not together.
    pub fn state_of(credential: &Credential, chain: &Chain, now: Timestamp) -> State {
        if credential.disabled {
            return State::Disabled;
        }
        if credential.resting(None, now).is_some() {
            return State::Cooling;
        }
        match &chain.trouble {
            _ if chain.verdict().is_some() => State::ReauthRequired,
            _ if chain.block.is_some() => State::Blocked,
            Trouble::Uncertain(_) => State::Uncertain,
            Trouble::Backoff(backoff) if now < backoff.retry_at => State::Unavailable,
            _ if chain.has_ended(now) => State::ReauthRequired,
            _ => State::Active,
        }
    }
}
