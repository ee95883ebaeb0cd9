//! An answer's body: what was read ahead of it, then the rest as it comes. Its end gives the connection back.
//!
//! Owns the bound on silence. Never changes a byte, and never reads more than is asked for.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use keyherd_core::seldom::Seldom;
use tokio::time::{Sleep, sleep};

use super::turn::Turn;
use super::{BodyError, Received};
use crate::upstream::Lease;

/// Upstream's answer on its way to the caller. Dropped before its end, it ends the request upstream too.
pub struct AnswerBody {
    ahead: VecDeque<Frame<Bytes>>,
    /// How it broke off.
    broken: Option<Broken>,
    rest: Option<Received>,
    lease: Option<Lease>,
    idle_timeout: Duration,
    /// Runs while nothing comes.
    stalled: Option<Pin<Box<Sleep>>>,
    watch: Option<Box<dyn Watch>>,
    /// What becomes of its trailers.
    trailed: Option<Trailed>,
    turn: Turn,
    /// Who asked for it is revoked.
    gone: Option<Seldom<Box<dyn Future<Output = ()> + Send>>>,
}

/// What came before it, the head too, passes first, and has time to leave: a server that hears of both at once sends neither.
struct Broken {
    error: BodyError,
    has_waited: bool,
}

impl From<BodyError> for Broken {
    fn from(error: BodyError) -> Self {
        Self { error, has_waited: false }
    }
}

/// Looks on while a body passes.
pub(crate) trait Watch: Send {
    /// The next bytes. `false`: it need not see more.
    fn see(&mut self, bytes: &[u8]) -> bool;
}

/// Changes the fields that follow a body.
pub(crate) type Trailed = Box<dyn Fn(&mut HeaderMap) + Send>;

/// What came of reading ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    Data,
    End,
    Broken,
}

/// Nothing came for too long.
#[derive(Debug, thiserror::Error)]
#[error("upstream sent nothing for too long")]
struct Silent;

/// The agent is none any more.
#[derive(Debug, thiserror::Error)]
#[error("the agent that asked was revoked")]
struct Revoked;

impl AnswerBody {
    pub(crate) fn new(rest: Received, lease: Lease, idle_timeout: Duration) -> Self {
        let mut body = Self {
            ahead: VecDeque::new(),
            broken: None,
            rest: Some(rest),
            lease: Some(lease),
            idle_timeout,
            stalled: None,
            watch: None,
            trailed: None,
            turn: Turn::default(),
            gone: None,
        };
        body.settle();
        body
    }

    /// The end of a head after which the connection goes on in another protocol: nobody else may have it.
    pub(crate) fn going_on(mut lease: Lease) -> Self {
        lease.run_apart();
        Self { lease: Some(lease), ..Self::empty() }
    }

    /// A body of nothing.
    pub(crate) fn empty() -> Self {
        Self {
            ahead: VecDeque::new(),
            broken: None,
            rest: None,
            lease: None,
            idle_timeout: Duration::MAX,
            stalled: None,
            watch: None,
            trailed: None,
            turn: Turn::default(),
            gone: None,
        }
    }

    /// It breaks off when that comes to its end.
    pub(crate) fn until(&mut self, gone: impl Future<Output = ()> + Send + 'static) {
        self.gone = Some(Seldom::new(Box::pin(gone)));
    }

    /// Reads what has come already, which passes later all the same. Waits for nothing.
    pub(crate) fn read_at_hand(&mut self) {
        // Where nothing is to be read, the connection may be on its way to somebody else. Who waits for more is woken all the
        // same: it asks first.
        if self.ahead.is_empty()
            && self.rest.is_some()
            && let Poll::Ready(next) = self.poll_next(&mut Context::from_waker(Waker::noop()))
        {
            self.was_read(next);
        }
    }

    /// All of it, where it was read, and is one piece.
    pub(crate) fn whole(&self) -> Option<&Bytes> {
        let only = self.ahead.front().filter(|_| self.is_read() && self.ahead.len() == 1);
        only.and_then(Frame::data_ref)
    }

    /// Whether nothing more is to come from upstream.
    pub(crate) fn is_read(&self) -> bool {
        self.rest.is_none() && self.broken.is_none()
    }

    /// Reads one more frame, which passes later all the same.
    pub(crate) async fn read_ahead(&mut self) -> (Ahead, Bytes) {
        let next = poll_fn(|cx| self.poll_next(cx)).await;
        self.was_read(next)
    }

    fn was_read(&mut self, next: Option<Result<Frame<Bytes>, BodyError>>) -> (Ahead, Bytes) {
        match next {
            Some(Ok(frame)) => {
                let data = frame.data_ref().cloned().unwrap_or_default();
                self.ahead.push_back(frame);
                self.settle();
                (Ahead::Data, data)
            }
            Some(Err(error)) => {
                self.give_up();
                self.broken = Some(error.into());
                (Ahead::Broken, Bytes::new())
            }
            None => {
                self.end();
                (Ahead::End, Bytes::new())
            }
        }
    }

    /// The first bytes of it that are still to pass; none where there are none, or it broke off.
    pub(crate) async fn beginning(&mut self) -> Bytes {
        loop {
            let here = self.ahead.iter().filter_map(Frame::data_ref).find(|data| !data.is_empty());
            if let Some(data) = here {
                return data.clone();
            }
            if self.read_ahead().await.0 != Ahead::Data {
                return Bytes::new();
            }
        }
    }

    /// From here on somebody looks on, at what was read ahead too.
    pub(crate) fn watched_by(&mut self, watch: Box<dyn Watch>) {
        self.watch = Some(watch);
    }

    /// Its trailers pass through that.
    pub(crate) fn trailed_by(&mut self, trailed: Trailed) {
        self.trailed = Some(trailed);
    }

    /// What is left of it, for who upgrades the connection.
    pub(crate) fn take_lease(&mut self) -> Option<Lease> {
        self.lease.take()
    }

    fn passing(&mut self, frame: &mut Frame<Bytes>) {
        if let (Some(watch), Some(data)) = (&mut self.watch, frame.data_ref())
            && !watch.see(data)
        {
            self.watch = None;
        }
        if let (Some(trailed), Some(trailers)) = (&self.trailed, frame.trailers_mut()) {
            trailed(trailers);
        }
    }

    /// What comes from upstream.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let Some(lease) = &mut self.lease else { return Pin::new(rest).poll_frame(cx) };
        // What came with the head, or with the last piece, is there already.
        if let Poll::Ready(next) = Pin::new(&mut *rest).poll_frame(&mut lease.quietly(cx)) {
            return Poll::Ready(next);
        }
        lease.poll(cx);
        Pin::new(rest).poll_frame(&mut lease.quietly(cx))
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_none() {
            return Poll::Ready(None);
        }
        ready!(self.turn.poll(cx));
        let Poll::Ready(frame) = self.poll_next(cx) else { return self.poll_stalled(cx) };
        self.stalled = None;
        match frame {
            Some(Ok(mut frame)) => {
                self.turn.passes(frame.data_ref());
                self.passing(&mut frame);
                self.settle();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.give_up();
                self.broken = Some(error.into());
                self.poll_broken(cx)
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn poll_broken(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(broken) = self.broken.as_mut().filter(|broken| !broken.has_waited) {
            broken.has_waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.broken.take().map(|broken| Err(broken.error)))
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let timeout = self.idle_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(timeout)));
        if stalled.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.give_up();
        Poll::Ready(Some(Err(Silent.into())))
    }

    /// Where the last byte has come, the connection is free, although nobody may ask for the end.
    fn settle(&mut self) {
        if self.rest.as_ref().is_some_and(Body::is_end_stream) {
            self.end();
        }
    }

    fn end(&mut self) {
        (self.rest, self.gone) = (None, None);
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }

    /// The connection is closed with it.
    fn give_up(&mut self) {
        (self.rest, self.lease, self.gone) = (None, None, None);
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerBody(…)")
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        // Before each piece: who reads late, or fast, would have all that is still on its way.
        if this.gone.as_mut().is_some_and(|gone| gone.poll(cx).is_ready()) {
            this.give_up();
            this.ahead.clear();
            return Poll::Ready(Some(Err(Revoked.into())));
        }
        if let Some(mut frame) = this.ahead.pop_front() {
            if this.ahead.is_empty() {
                // A stream may live for long: the room is not kept.
                this.ahead = VecDeque::new();
            }
            this.passing(&mut frame);
            return Poll::Ready(Some(Ok(frame)));
        }
        if this.broken.is_some() { this.poll_broken(cx) } else { this.poll_rest(cx) }
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.broken.is_none() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: u64 = self.ahead.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum();
        let none = || if self.broken.is_some() { SizeHint::new() } else { SizeHint::with_exact(0) };
        let rest = self.rest.as_ref().map_or_else(none, Body::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower() + ahead);
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper + ahead);
        }
        hint
    }
}
