//! An answer as an agent may see it, whatever door it came by: none of the real secrets of what the agent may use.
//!
//! Owns what is asked before its head goes on: what is to be looked for, whether a body of which nobody says what it is
//! begins like a text, and how long a short one becomes. Never looks into a body by itself: see [`crate::swap`].

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Response;
use http_body::Body;
use keyherd_core::agent::Agent;
use keyherd_core::broker::Broker;
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Needle, Needles, Place, hits};
use keyherd_core::policy::RequestPath;
use keyherd_core::ports::TokenSigner;
use tokio::time::timeout;

use super::SwapLimits;
use super::hold::Before;
use super::table::{Held, Tables};
use crate::body::AnswerBody;
use crate::fault::Fault;
use crate::forward::{Dialled, ForwardBody, streaming};
use crate::swap::{Reading, Wanted, begins_like_text, scrub, scrub_headers};

/// The answers to agents, at a door that holds none of their phantoms otherwise. Cheap to clone.
#[derive(Clone)]
pub struct Veil(Arc<Inner>);

struct Inner {
    tables: Tables,
    limits: SwapLimits,
}

/// One agent's, at hand before its request is sent.
pub(crate) struct Veiling<'a> {
    veil: &'a Veil,
    held: Arc<Held>,
}

impl Veil {
    /// Over a broker's secrets.
    pub fn new(broker: Broker, signer: Arc<dyn TokenSigner>, limits: SwapLimits) -> Self {
        let tables = Tables::new(broker, signer, &limits);
        Self(Arc::new(Inner { tables, limits }))
    }

    /// For an agent's request.
    ///
    /// # Errors
    /// The store does not answer, and nothing was read of that agent so far: nobody knows what it would be given where.
    pub(crate) async fn of(&self, agent: &Agent) -> Result<Veiling<'_>, Fault> {
        let held = self.0.tables.of(agent).await?;
        Ok(Veiling { veil: self, held })
    }
}

impl Veiling<'_> {
    /// Whether the agent would be given tokens there.
    pub(crate) fn is_token_endpoint(&self, dialled: &Dialled, path: &RequestPath) -> bool {
        self.held.has_endpoints() && self.held.endpoints(dialled, path).next().is_some()
    }

    /// The answer to a request that was sent with these.
    pub(crate) fn over(&self, answer: Response<AnswerBody>, used: &[(&Name, &str)]) -> Veiled<'_> {
        let sent = Sent { tokens: used, encoded: Vec::new() };
        veiled(answer, sent, &self.held, &self.veil.0.limits)
    }
}

/// An answer as its agent sees it: at once, or when it has been read.
pub(crate) enum Veiled<'a> {
    /// Most are short, and have no secret in them.
    AtHand(Response<ForwardBody>),
    Later(BoxFuture<'a, Result<Response<ForwardBody>, Fault>>),
}

/// What upstream got, and may repeat.
pub(super) struct Sent<'a> {
    /// The secrets of these.
    pub(super) tokens: &'a [(&'a Name, &'a str)],
    /// What they were written in, with what stands for it where the agent is.
    pub(super) encoded: Vec<Needle>,
}

/// The answer to a request that was sent with these.
pub(super) fn veiled<'a>(
    mut answer: Response<AnswerBody>,
    sent: Sent<'_>,
    held: &'a Held,
    limits: &'a SwapLimits,
) -> Veiled<'a> {
    let now = held.sought.needles(sent.tokens);
    if sent.encoded.is_empty() && is_clean(&answer, &now) {
        scrub_headers(answer.headers_mut(), &now);
        return Veiled::AtHand(answer.map(streaming));
    }
    let later = held.sought.later(sent.encoded);
    Veiled::Later(Box::pin(rewritten(answer, Wanted { now: later(), later }, limits)))
}

/// Whether all of a body is here, can be read as it stands, and has nothing in it that is looked for: it passes as it came.
fn is_clean(answer: &Response<AnswerBody>, needles: &Needles) -> bool {
    let Some(whole) = answer.body().whole() else { return answer.body().is_end_stream() };
    let place = match Reading::plainly(answer.status(), answer.headers()) {
        Some(Reading::As(place)) => place,
        Some(Reading::ByBeginning) if begins_like_text(whole) => Place::Json,
        Some(Reading::ByBeginning | Reading::Never) => return true,
        None => return false,
    };
    hits(needles, place, whole).is_empty()
}

async fn rewritten(
    answer: Response<AnswerBody>,
    wanted: Wanted,
    limits: &SwapLimits,
) -> Result<Response<ForwardBody>, Fault> {
    let (mut head, mut body) = answer.into_parts();
    let behind = Arc::clone(&wanted.later);
    body.trailed_by(Box::new(move |trailers| scrub_headers(trailers, &behind())));
    let place = match Reading::of(head.status, &head.headers) {
        _ if body.is_end_stream() => None,
        Reading::As(place) => Some(place),
        Reading::ByBeginning => like_text(&mut body, limits.answer_hold).await,
        Reading::Never => None,
    };
    let Some(place) = place else {
        scrub_headers(&mut head.headers, &wanted.now);
        return Ok(Response::from_parts(head, streaming(body)));
    };
    let before = Before::of(&head.headers, limits.buffer_len_max);
    let body = scrub(&mut head, body, place, wanted, limits.decode);
    let held = before.held(&mut head, body, limits.buffer_len_max, limits.answer_hold).await;
    let body = held.map_err(|error| Fault::Unreadable(error.to_string()))?;
    Ok(Response::from_parts(head, body))
}

/// Where secrets would stand in a body that begins like a text. One that lets wait for its beginning is read: it is a stream.
async fn like_text(body: &mut AnswerBody, within: Duration) -> Option<Place> {
    let beginning = timeout(within, body.beginning()).await;
    let is_text = beginning.map_or(true, |bytes| !bytes.is_empty() && begins_like_text(&bytes));
    is_text.then_some(Place::Json)
}
