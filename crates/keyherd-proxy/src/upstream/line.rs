//! An HTTP/1 connection: who sends on it, and what moves its bytes.
//!
//! Owns where that work is done. As long as one request has the connection, its own task does it: nobody else must be woken
//! for a request to leave, or for an answer to come. What has to go on when nobody asks for it runs in a task of its own.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::runtime::{self, Handle};
use tokio::task::unconstrained;

use crate::alarm::Alarm;
use crate::body::Outgoing;

/// Ends with its sender, or with upstream. How it ended the sender hears.
type Work = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

pub(super) struct Line {
    sender: http1::SendRequest<Outgoing>,
    /// Whom its bytes wake: the runtime that made it.
    home: runtime::Id,
    /// `None`: it has ended, or runs apart.
    work: Option<Work>,
    /// For whoever waits for an answer on it.
    pub(super) alarm: Alarm,
}

impl Line {
    pub(super) fn new(
        sender: http1::SendRequest<Outgoing>,
        work: impl Future<Output = hyper::Result<()>> + Send + 'static,
    ) -> Self {
        let home = Handle::current().id();
        Self { sender, home, work: Some(Box::pin(work)), alarm: Alarm::default() }
    }

    pub(super) fn home(&self) -> runtime::Id {
        self.home
    }

    /// Sends a request, and waits for the head of its answer.
    pub(super) fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>> + Send + '_ {
        // At once: what waits is not as large as a request.
        let answer = self.sender.try_send_request(request);
        let work = &mut self.work;
        async move {
            // Never told to come again later: nobody would wake it, see below.
            let mut answer = pin!(unconstrained(answer));
            poll_fn(|cx| {
                poll(work, cx);
                answer.as_mut().poll(&mut quietly(work.is_some(), cx))
            })
            .await
        }
    }

    /// How something is polled that comes by this connection: see [`quietly`].
    pub(super) fn quietly<'c>(&self, cx: &Context<'c>) -> Context<'c> {
        quietly(self.work.is_some(), cx)
    }

    /// Moves what can be moved. Whoever waits for something of this connection does so before.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) {
        poll(&mut self.work, cx);
    }

    /// From here on its work is done in a task of its own.
    pub(super) fn run_apart(&mut self) {
        if let Some(work) = self.work.take() {
            tokio::spawn(work);
        }
    }

    /// Whether it may be lent again, now or later. Woken is nobody any more: who has it next looks first.
    pub(super) fn rests(&mut self) -> bool {
        if !self.is_free() {
            self.poll(&mut Context::from_waker(Waker::noop()));
        }
        if !self.is_free() {
            // The rest of its request may be on its way.
            self.run_apart();
        }
        !self.sender.is_closed()
    }

    /// Whether a request can be sent on it, as far as was seen.
    pub(super) fn is_free(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether upstream has closed it, as far as can be seen.
    pub(super) fn is_closed(&mut self) -> bool {
        let looking = poll_fn(|cx| {
            self.poll(cx);
            Poll::Ready(())
        });
        // One task looks at hundreds: it would be told to come again later.
        let _ = pin!(unconstrained(looking)).poll(&mut Context::from_waker(Waker::noop()));
        self.sender.is_closed()
    }
}

/// Who moves a connection's bytes sees at once what has come by them: to be woken for it would be to be polled once more
/// for nothing. What another task moves wakes who waits for it.
fn quietly<'c>(is_moved_here: bool, cx: &Context<'c>) -> Context<'c> {
    Context::from_waker(if is_moved_here { Waker::noop() } else { cx.waker() })
}

fn poll(work: &mut Option<Work>, cx: &mut Context<'_>) {
    if let Some(running) = work
        && let Poll::Ready(_ended) = running.as_mut().poll(cx)
    {
        *work = None;
    }
}
