//! A connection, lent to one request.
//!
//! Given back, it may serve others; dropped, an HTTP/1 connection is closed, since half an answer may be on it.

use std::future::Future;
use std::sync::Arc;
use std::task::Context;

use futures_util::TryFutureExt;
use futures_util::future::Either;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use tokio::sync::OwnedSemaphorePermit;

use super::lane::{Lane, Stream};
use super::line::Line;
use crate::alarm::Alarm;
use crate::body::Outgoing;
use crate::target::Target;

pub(super) enum Sender {
    Http1(Line),
    Http2(http2::SendRequest<Outgoing>, #[expect(dead_code, reason = "dropping it frees the place")] Stream),
}

/// See the module.
pub(crate) struct Lease {
    lane: Arc<Lane>,
    sender: Sender,
    /// Free again with it.
    _place: OwnedSemaphorePermit,
    is_reused: bool,
}

/// A request that got no answer.
pub(crate) struct Unsent {
    /// The request itself, where none of it was sent.
    pub(crate) request: Option<Request<Outgoing>>,
    pub(crate) error: hyper::Error,
}

impl Lease {
    pub(super) fn new(lane: Arc<Lane>, sender: Sender, place: OwnedSemaphorePermit, is_reused: bool) -> Self {
        Self { lane, sender, _place: place, is_reused }
    }

    /// Whether something was sent on it before: upstream may have closed it since.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(..))
    }

    pub(crate) fn target(&self) -> &Target {
        self.lane.target()
    }

    /// What an HTTP/1 request on it says of where it goes.
    pub(crate) fn host(&self) -> Option<HeaderValue> {
        self.lane.host()
    }

    /// Sends the request. Dropped before the answer's head came, it ends the request.
    pub(crate) fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> impl Future<Output = Result<Response<Incoming>, Box<Unsent>>> + Send + '_ {
        let sending = match &mut self.sender {
            Sender::Http1(line) => Either::Left(line.send(request)),
            Sender::Http2(sender, _) => Either::Right(sender.try_send_request(request)),
        };
        sending.map_err(|mut unsent| {
            Box::new(Unsent { request: unsent.take_message(), error: unsent.into_error() })
        })
    }

    /// For whoever waits for an answer on it: to be given back.
    pub(crate) fn take_alarm(&mut self) -> Alarm {
        match &mut self.sender {
            Sender::Http1(line) => std::mem::take(&mut line.alarm),
            Sender::Http2(..) => Alarm::default(),
        }
    }

    pub(crate) fn keep_alarm(&mut self, alarm: Alarm) {
        if let Sender::Http1(line) = &mut self.sender {
            line.alarm = alarm;
        }
    }

    /// Moves what can be moved. Whoever waits for more of an answer's body does so first.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        if let Sender::Http1(line) = &mut self.sender {
            line.poll(cx);
        }
    }

    /// How the answer's body is polled by whoever moves the connection.
    pub(crate) fn quietly<'c>(&self, cx: &Context<'c>) -> Context<'c> {
        match &self.sender {
            Sender::Http1(line) => line.quietly(cx),
            Sender::Http2(..) => Context::from_waker(cx.waker()),
        }
    }

    /// From here on the connection lives without being asked.
    pub(crate) fn run_apart(&mut self) {
        if let Sender::Http1(line) = &mut self.sender {
            line.run_apart();
        }
    }

    /// The answer has ended.
    pub(crate) fn give_back(self) {
        if let Sender::Http1(mut line) = self.sender
            && line.rests()
        {
            self.lane.keep(line);
        }
    }
}
