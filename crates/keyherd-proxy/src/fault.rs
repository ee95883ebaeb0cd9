//! Why a request got no answer from its upstream: ours to say, in words without a secret. Doors give them codes.

use keyherd_core::broker::{AcquireError, AskError};
use keyherd_core::refresh::Refusal;

use crate::forward::NotDialled;

/// What stands between a request and its answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// The request cannot be passed on as it is.
    #[error("{0}")]
    BadRequest(String),
    /// Requests of that method are never passed on.
    #[error("'{0}' is not passed on")]
    BadMethod(http::Method),
    /// Nothing by that name leads anywhere.
    #[error("{0}")]
    NotFound(String),
    /// This caller may not.
    #[error("{0}")]
    Denied(String),
    /// Nobody is led to that address.
    #[error(transparent)]
    Undialled(#[from] NotDialled),
    /// No agent was recognised.
    #[error("this proxy wants an agent's name and key: 'keyherd agent create NAME'")]
    Unrecognised,
    /// What was dialled and what is named are not the same (RFC 9110, section 15.5.20).
    #[error("{0}")]
    Misdirected(String),
    /// A human was asked, and nobody answered in time.
    #[error("{0}")]
    Unanswered(String),
    /// Nobody could be asked.
    #[error(transparent)]
    Unasked(#[from] AskError),
    /// Too much is under way here.
    #[error("{0}")]
    Busy(String),
    /// There is no token now.
    #[error("there is no token of '{name}' now")]
    Refused {
        /// Whose.
        name: String,
        /// Why.
        refusal: Refusal,
    },
    /// Something is wrong with the engine or the store.
    #[error(transparent)]
    Engine(#[from] AcquireError),
    /// The credential cannot be put into a request.
    #[error("{0}")]
    Uninjectable(String),
    /// As many requests as may be are under way to that upstream.
    #[error("{0} has as many requests of ours as it may have ([upstream] requests_max)")]
    Crowded(String),
    /// No connection to the upstream.
    #[error("{upstream} cannot be reached: {problem}")]
    Unreachable {
        /// Host and port.
        upstream: String,
        /// What failed.
        problem: String,
    },
    /// The connection ended, or what came was no HTTP.
    #[error("{upstream} gave no answer: {problem}")]
    Broken {
        /// Host and port.
        upstream: String,
        /// What failed.
        problem: String,
    },
    /// There is an answer, and tokens in it that cannot be kept here: then nobody gets them.
    #[error("the answer of {upstream} to a token request is withheld: {problem}")]
    Withheld {
        /// Host and port.
        upstream: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is an answer, and what of it there is cannot be read: nobody knows whether a secret is in it.
    #[error("the answer cannot be read, and is not passed on: {0}")]
    Unreadable(String),
    /// No answer in time.
    #[error("{0} took too long to answer")]
    Late(String),
    /// The request's own body ended before it was whole.
    #[error("the request's body broke off")]
    BrokenOff,
    /// A mistake of ours.
    #[error("keyherd made a mistake")]
    Internal,
}
