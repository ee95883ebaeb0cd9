//! One try: a connection, the request with its token, the answer's head.
//!
//! Owns what may be sent again without anybody knowing: a request of which upstream has seen or done nothing, and an
//! idempotent one on a connection that upstream had closed.

use std::error::Error;
use std::io;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri, Version};

use super::Exchange;
use crate::body::{AnswerBody, Outgoing, Received, Upload};
use crate::fault::Fault;
use crate::headers::announce_upgrade;
use crate::order::Order;
use crate::target::Target;
use crate::upstream::{Lease, Unsent};

/// Connections that turn out to be closed, or to be ending, before the last one is made, for this request.
const STALE_MAX: usize = 2;

/// What a try sends.
pub(super) struct Message<'a> {
    pub(super) order: &'a Order,
    /// Without what belongs to the caller's connection.
    pub(super) head: &'a Parts,
    pub(super) upload: Option<&'a Upload>,
    /// The protocol that the connection is to go on in.
    pub(super) upgrade: Option<&'a http::HeaderValue>,
}

impl Exchange {
    /// Sends a message with that token. The second value: how long upstream took.
    pub(super) async fn deliver(
        &self,
        message: &Message<'_>,
        token: &str,
    ) -> Result<(Response<AnswerBody>, Duration), Fault> {
        let mut stale = 0;
        loop {
            let (lease, connecting) = self.leased(message, stale >= STALE_MAX).await?;
            let request = message.request(token, &lease)?;
            let is_reused = lease.is_reused();
            let sent = self.uptime();
            // On the heap: nothing around it is as large, and each would be moved with it.
            match Box::pin(self.send(lease, request, message)).await? {
                Ok(mut answer) => {
                    message.order.inject.returned(answer.headers_mut(), token);
                    let took = connecting + self.uptime().saturating_sub(sent);
                    return Ok((answer, took));
                }
                Err(unsent) if stale <= STALE_MAX && message.may_go_again(&unsent, is_reused) => stale += 1,
                Err(unsent) if message.upload.is_some_and(Upload::is_broken) => {
                    tracing::debug!(error = %unsent.error, "a request broke off");
                    return Err(Fault::BrokenOff);
                }
                Err(unsent) => return Err(broken(&message.order.target, &unsent.error)),
            }
        }
    }

    /// A connection, and how long it took where it had to be waited for.
    async fn leased(&self, message: &Message<'_>, is_fresh: bool) -> Result<(Lease, Duration), Fault> {
        let (upstreams, target) = (&self.0.upstreams, &message.order.target);
        let only_http1 = message.upgrade.is_some();
        if !is_fresh && let Some(lease) = upstreams.lease_at_hand(target, only_http1) {
            return Ok((lease, Duration::ZERO));
        }
        let asked = self.uptime();
        // On the heap: most requests find one that is there, and are moved about with it.
        let lease = Box::pin(upstreams.lease(target, only_http1, is_fresh)).await?;
        Ok((lease, self.uptime().saturating_sub(asked)))
    }

    async fn send(
        &self,
        mut lease: Lease,
        request: Request<Outgoing>,
        message: &Message<'_>,
    ) -> Result<Result<Response<AnswerBody>, Box<Unsent>>, Fault> {
        let mut alarm = lease.take_alarm();
        let answered = {
            let mut sending = std::pin::pin!(lease.send(request));
            let mut passed = 0;
            loop {
                match alarm.bounded(self.0.limits.head_timeout, sending.as_mut()).await {
                    Some(answered) => break answered,
                    // A long request is on its way: its time begins when it has arrived.
                    None => match message.upload.map(Upload::passed).filter(|now| *now > passed) {
                        Some(now) => passed = now,
                        None => return Err(Fault::Late(message.order.target.authority())),
                    },
                }
            }
        };
        lease.keep_alarm(alarm);
        if message.upload.is_some_and(|upload| !upload.is_ended()) {
            // The answer has begun before the request has ended: neither may wait for the other.
            lease.run_apart();
        }
        let idle_timeout = self.0.limits.idle_timeout;
        Ok(answered.map(|answer| match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => answer.map(|_| AnswerBody::going_on(lease)),
            _ => Received::response(answer).map(|rest| AnswerBody::new(rest, lease, idle_timeout)),
        }))
    }
}

impl Message<'_> {
    fn request(&self, token: &str, lease: &Lease) -> Result<Request<Outgoing>, Fault> {
        let body = match self.upload {
            None => Outgoing::empty(),
            Some(upload) => Outgoing::copy(upload.copy().ok_or(Fault::BrokenOff)?),
        };
        let mut head = self.head.clone();
        let inject = &self.order.inject;
        inject.head(&mut head, token).map_err(|error| Fault::Uninjectable(error.to_string()))?;
        address(&mut head, lease)?;
        if let Some(protocol) = self.upgrade {
            announce_upgrade(&mut head.headers, protocol.clone());
        }
        Ok(Request::from_parts(head, inject.body(body, token)))
    }

    /// Upstream did nothing with it; or it had closed a connection that was used before, and the request does no harm twice.
    fn may_go_again(&self, unsent: &Unsent, is_reused: bool) -> bool {
        let is_harmless = match end_of(&unsent.error) {
            _ if unsent.request.is_some() => true,
            End::Undone => true,
            End::Closed => is_reused && self.head.method.is_idempotent(),
            End::Other => false,
        };
        is_harmless && self.upload.is_none_or(Upload::may_go_again)
    }
}

/// What became of a request that got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Upstream says that it did nothing with it (RFC 9113, sections 6.8 and 8.7).
    Undone,
    /// The connection had ended, or was ending.
    Closed,
    Other,
}

fn end_of(error: &hyper::Error) -> End {
    if error.is_canceled() || error.is_closed() || error.is_incomplete_message() {
        return End::Closed;
    }
    let source = error.source();
    if let Some(http2) = source.and_then(|source| source.downcast_ref::<h2::Error>()) {
        let is_refused = http2.is_reset() && http2.reason() == Some(h2::Reason::REFUSED_STREAM);
        return match http2 {
            // By GOAWAY, whatever its reason, end those streams alone that it says were not looked at (section 6.8).
            _ if http2.is_remote() && (http2.is_go_away() || is_refused) => End::Undone,
            _ if http2.is_go_away() || http2.get_io().is_some_and(was_cut) => End::Closed,
            _ => End::Other,
        };
    }
    match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) if was_cut(error) => End::Closed,
        _ => End::Other,
    }
}

fn was_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Writes where the request goes in the way of its protocol.
fn address(head: &mut Parts, lease: &Lease) -> Result<(), Fault> {
    let uri = std::mem::take(&mut head.uri);
    if !lease.is_http2() {
        head.version = Version::HTTP_11;
        head.headers.insert(HOST, lease.host().ok_or(Fault::Internal)?);
        head.uri = uri;
        return Ok(());
    }
    head.version = Version::HTTP_2;
    let (mut parts, target) = (uri.into_parts(), lease.target());
    parts.scheme = Some(if target.is_tls() { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(Authority::try_from(target.authority()).map_err(|_| Fault::Internal)?);
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    head.uri = Uri::from_parts(parts).map_err(|_| Fault::Internal)?;
    Ok(())
}

/// In words, without what hyper's causes may carry.
fn broken(target: &Target, error: &hyper::Error) -> Fault {
    let problem = match error {
        error if error.is_parse_too_large() => "its head is too large",
        error if error.is_parse() => "what it said is no HTTP",
        error if error.is_incomplete_message() || error.is_closed() || error.is_canceled() => {
            "it closed the connection"
        }
        error if error.is_timeout() => "it did not say that it lives",
        error if error.is_body_write_aborted() => "the request broke off",
        _ => "the connection broke",
    };
    tracing::debug!(%error, upstream = %target.authority(), "no answer");
    Fault::Broken { upstream: target.authority(), problem: problem.into() }
}
