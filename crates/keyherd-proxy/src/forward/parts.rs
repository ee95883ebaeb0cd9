//! What the forward proxy asks of others: who calls, where they may go, and the answer to what is read.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, Request, Response};
use keyherd_core::agent::Agent;
use keyherd_core::secret::Secret;
use tokio::net::TcpStream;

use super::body::ForwardBody;
use super::dialled::Dialled;
use super::limits::ForwardLimits;
use crate::body::Received;
use crate::fault::Fault;
use crate::tls::Leaves;

/// To what addresses a connection may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leave {
    /// To this one alone, since it is the one that was judged.
    pub only: Option<IpAddr>,
    /// Also to private ones: a binding or a rule names just that host, or a network that the address is in.
    pub is_named: bool,
}

/// What becomes of a connection.
pub enum Way {
    /// It passes as it is, by this one.
    Tunnel(TcpStream),
    /// It is read, and what may be swapped is.
    Read,
    /// It ends here.
    Refused(Fault),
}

/// Who may go where.
#[async_trait]
pub trait Ways: Send + Sync + 'static {
    /// The agent of that name, if that is its key.
    async fn caller(&self, name: &str, key: &Secret) -> Option<Arc<Agent>>;

    /// What becomes of a connection there; what is to pass is dialled. May take as long as a human does. Requests in absolute form are connections to
    /// nobody yet: about these only [`Answers`] are asked.
    async fn way(&self, agent: &Agent, dialled: &Dialled) -> Way;

    /// Until that agent is none any more: then its tunnels end.
    async fn gone(&self, agent: &Agent);
}

/// Whether an agent's request came encrypted, and so goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Encrypted.
    Https,
}

impl Scheme {
    /// The port where none is said.
    pub fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Whose request it is and where it goes: CONNECT, SNI, `Host` and `:authority` have been found to agree.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who asks.
    pub agent: Arc<Agent>,
    /// The one host.
    pub dialled: Dialled,
    /// How.
    pub scheme: Scheme,
}

/// Answers requests that are read.
#[async_trait]
pub trait Answers: Send + Sync + 'static {
    /// The answer. The request's target is in origin form: path and query.
    async fn answer(&self, asked: Asked, request: Request<Received>) -> Response<ForwardBody>;

    /// What an agent is told where there is no answer of an upstream.
    fn problem(&self, fault: Fault) -> Response<ForwardBody>;

    /// Told of what the door turned away by itself.
    async fn turned_away(&self, turned: &TurnedAway<'_>);
}

/// A request or a connection that the door itself turned away.
#[derive(Debug)]
pub struct TurnedAway<'a> {
    /// Who asked.
    pub agent: &'a Agent,
    /// For whom, where that could be read.
    pub dialled: Option<&'a Dialled>,
    /// Method and path of a request.
    pub request: Option<(&'a Method, &'a str)>,
    /// Why.
    pub away: Away,
}

/// Why the door itself turned something away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Away {
    /// It leads nowhere: what the agent was told.
    BadRequest(String),
    /// What was dialled and what is named are not the same: what the agent was told.
    Misdirected(String),
    /// What came through a tunnel that is read is neither TLS nor HTTP.
    NotHttp,
}

/// How much of what an agent named is shown, in characters.
const SHOWN_MAX: usize = 256;

impl Away {
    /// In a word.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "refused",
            Self::Misdirected(_) => "misdirected",
            Self::NotHttp => "not_http",
        }
    }

    /// In words, bounded.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::BadRequest(detail) | Self::Misdirected(detail) => {
                detail.chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
            }
            Self::NotHttp => "neither TLS nor HTTP".into(),
        }
    }
}

/// What the door is made of.
pub struct ForwardParts {
    /// Who may go where.
    pub ways: Arc<dyn Ways>,
    /// The answers to what is read.
    pub answers: Arc<dyn Answers>,
    /// Who we are to agents.
    pub leaves: Arc<Leaves>,
    /// Its bounds.
    pub limits: ForwardLimits,
}
