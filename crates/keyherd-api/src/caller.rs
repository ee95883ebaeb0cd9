//! Who calls: the bearer of a key, the administrator's or an agent's; and what an agent's key opens here.
//!
//! Never keeps a key, but the one that a connection showed last, for as long as it lasts. Who has which one the broker knows.

mod last;

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method};
use keyherd_core::agent::Agent;
use keyherd_core::approval::Approval;
use keyherd_core::audit::Actor;
use keyherd_core::broker::Broker;
use keyherd_core::ids::{ApprovalId, Name};
use keyherd_core::secret::Secret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub(crate) use self::last::LastKey;
use crate::problem::{Code, Problem};

/// Where some clients put their key.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The keys this server knows itself, as hashes. Keys are random and long, so that a plain hash gives nothing away.
#[derive(Clone)]
pub struct Callers {
    admin: [u8; 32],
}

/// Somebody who has shown a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// Holds the admin token: may do everything.
    Admin,
    /// A program, which may use what it was allowed.
    Agent(Arc<Agent>),
    /// A channel's other side, which may answer that one approval.
    Ticket {
        /// As the audit log names it.
        actor: Actor,
        /// Which one.
        approval: ApprovalId,
    },
}

impl Callers {
    /// Knows the administrator by this token.
    pub fn new(admin_token: &Secret) -> Self {
        Self { admin: Sha256::digest(admin_token.expose().as_bytes()).into() }
    }

    /// Whether that is the admin token, compared in constant time.
    pub(crate) fn is_admin(&self, token: &str) -> bool {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.admin.ct_eq(&hash).into()
    }

    /// Who shows this request's bearer token (RFC 6750, section 2.1).
    pub(crate) async fn recognise(&self, headers: &HeaderMap, broker: &Broker) -> Result<Caller, Problem> {
        self.whose(shown_bearer(headers).ok_or_else(no_token)?, broker).await
    }

    /// The same, where a channel's other side may come with its ticket.
    pub(crate) async fn recognise_or_ticket(
        &self,
        headers: &HeaderMap,
        broker: &Broker,
    ) -> Result<Caller, Problem> {
        let token = shown_bearer(headers).ok_or_else(no_token)?;
        match broker.of_ticket(token).await? {
            Some((actor, approval)) => Ok(Caller::Ticket { actor, approval }),
            None => self.whose(token, broker).await,
        }
    }

    /// The same for a door behind this one, whose clients may know of no bearers: then the key stands in `x-api-key`. `last`:
    /// what the connection showed before.
    pub(crate) async fn recognise_at_annex(
        &self,
        headers: &HeaderMap,
        broker: &Broker,
        last: &LastKey,
    ) -> Result<Caller, Problem> {
        let key = || headers.get(API_KEY).map(HeaderValue::as_bytes).filter(|key| !key.is_empty());
        let token = shown_bearer(headers).or_else(key).ok_or_else(no_token)?;
        // Who has a key is asked each time; only what is the same for ever is not worked out again.
        if let Some(agent) = last.hash_of(token).and_then(|hash| broker.agent_at_hand(&hash)) {
            return Ok(Caller::Agent(agent));
        }
        let caller = Box::pin(self.whose(token, broker)).await?;
        if let Caller::Agent(agent) = &caller {
            last.keep(token, agent.key_hash);
        }
        Ok(caller)
    }

    /// Compared in constant time, hash by hash.
    async fn whose(&self, token: &[u8], broker: &Broker) -> Result<Caller, Problem> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        if self.admin.ct_eq(&hash).into() {
            return Ok(Caller::Admin);
        }
        let agent = match broker.key_hash(token) {
            Some(hash) => broker.agent_of(&hash).await?,
            None => None,
        };
        agent.map(Caller::Agent).ok_or_else(unknown_token)
    }
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Callers(…)")
    }
}

impl Caller {
    /// As the audit log names them.
    pub fn actor(&self) -> Actor {
        match self {
            Self::Admin => Actor::new("admin"),
            Self::Agent(agent) => agent.actor.clone(),
            Self::Ticket { actor, .. } => actor.clone(),
        }
    }

    /// Whether this is for them at all. What an agent's key opens is named here; all else, also what is nowhere, is the
    /// administrator's.
    pub(crate) fn may_reach(&self, method: &Method, path: &str) -> Result<(), Problem> {
        match self {
            Self::Admin => Ok(()),
            Self::Agent(_) if is_for_agents(method, path) => Ok(()),
            Self::Ticket { approval, .. } if is_answer_to(*approval, method, path) => Ok(()),
            Self::Ticket { .. } => Err(not_for_tickets()),
            Self::Agent(agent) => Err(Problem::new(
                Code::Denied,
                format!(
                    "this is not for agents: the key of '{}' opens the gateway and the proxy, and asks for approval; use the \
                     admin token",
                    agent.name
                ),
            )),
        }
    }

    /// Whether they may have tokens of that credential or pool themselves, and report on them. Who may not is not told
    /// whether it exists.
    pub(crate) fn may_fetch(&self, name: &str) -> Result<(), Problem> {
        let agent = match self {
            Self::Admin => return Ok(()),
            Self::Ticket { .. } => return Err(not_for_tickets()),
            Self::Agent(agent) => agent,
        };
        if !agent.may_fetch_tokens {
            let detail = format!(
                "agent '{}' may not have tokens themselves: use the gateway or the proxy, or make the agent anew with \
                 '--may token'",
                agent.name
            );
            return Err(Problem::new(Code::Denied, detail));
        }
        self.may_use(name)
    }

    /// Whether their key still opens anything, after they have waited: an agent may have been revoked meanwhile.
    pub(crate) async fn is_still(&self, broker: &Broker) -> Result<(), Problem> {
        match self {
            Self::Agent(agent) if !broker.has_agent(agent).await? => Err(unknown_token()),
            _ => Ok(()),
        }
    }

    /// Whether they may use that credential or pool. Who may not is not told whether it exists.
    pub fn may_use(&self, name: &str) -> Result<(), Problem> {
        match self {
            Self::Agent(agent) if !agent.is_allowed(name) => Err(Problem::new(
                Code::Denied,
                format!(
                    "agent '{}' is not allowed what it asks for: make it anew with '--allow'",
                    agent.name
                ),
            )),
            Self::Ticket { .. } => Err(not_for_tickets()),
            _ => Ok(()),
        }
    }
}

impl Caller {
    /// Whether they may ask on that agent's behalf.
    pub(crate) fn may_ask_as(&self, name: &Name) -> Result<(), Problem> {
        match self {
            Self::Agent(agent) if agent.name != *name => {
                let own = &agent.name;
                Err(Problem::new(
                    Code::Denied,
                    format!("the key of agent '{own}' asks for '{own}' alone: say so in 'agent'"),
                ))
            }
            Self::Ticket { .. } => Err(not_for_tickets()),
            _ => Ok(()),
        }
    }

    /// Whether that approval is theirs to see.
    pub(crate) fn may_see(&self, approval: &Approval) -> bool {
        match self {
            Self::Admin => true,
            Self::Agent(agent) => agent.name == approval.question.agent,
            Self::Ticket { approval: own, .. } => *own == approval.id,
        }
    }
}

/// Routes that look at the caller themselves.
fn is_for_agents(method: &Method, path: &str) -> bool {
    match (method.as_str(), path) {
        ("POST", "/v1/token" | "/v1/report" | "/v1/approvals") | ("GET", "/v1/approvals") => true,
        // Its own ones: the route looks whose they are.
        ("GET", path) => path.strip_prefix("/v1/approvals/").is_some_and(|id| !id.contains('/')),
        _ => false,
    }
}

fn is_answer_to(approval: ApprovalId, method: &Method, path: &str) -> bool {
    method == Method::POST && path == format!("/v1/approvals/{approval}/answer")
}

/// The caller whom the door has recognised before any handler ran.
impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(no_token)
    }
}

fn shown_bearer(headers: &HeaderMap) -> Option<&[u8]> {
    headers.get(AUTHORIZATION).and_then(|value| bearer(value.as_bytes()))
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty()).then_some(token)
}

fn no_token() -> Problem {
    Problem::new(
        Code::Unauthorized,
        "no bearer token was sent: send 'Authorization: Bearer …' with the admin token, or with an agent's key",
    )
}

fn not_for_tickets() -> Problem {
    Problem::new(
        Code::Denied,
        "this ticket answers the one approval that it came with, and opens nothing else",
    )
}

fn unknown_token() -> Problem {
    Problem::new(
        Code::Unauthorized,
        "this bearer token is not known here: the admin token is in the file 'admin.token' of the server's data folder; an \
         agent's key is worthless once it was revoked",
    )
}

#[cfg(test)]
mod tests {
    use keyherd_core::fakes::{Fleet, ScriptedProvider};
    use keyherd_core::provider::Profile;

    use super::*;

    async fn check(value: Option<&str>, expected: bool) {
        let fleet = Fleet::new(Arc::new(ScriptedProvider::new([])), [Profile::default()]);
        let callers = Callers::new(&Secret::from("right"));
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(AUTHORIZATION, value.parse().expect("is a value"));
        }
        let got = callers.recognise(&headers, &fleet.host().broker).await;
        assert_eq!(got.is_ok(), expected, "{value:?}");
        assert!(!format!("{got:?}{callers:?}").contains("right"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_right_bearer() {
        check(Some("Bearer right"), true).await;
        check(Some("bearer right"), true).await;
        for bad in
            ["Bearer wrong", "Bearer ", "Bearer", "Basic right", "right", "Bearer right ", "Bearer  right"]
        {
            check(Some(bad), false).await;
        }
        check(None, false).await;
    }
}
