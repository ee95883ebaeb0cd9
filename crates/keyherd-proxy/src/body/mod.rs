//! Bodies on their way, in either direction, in constant memory.

mod answer;
mod received;
mod room;
mod trailed;
mod turn;
mod upload;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;

pub use self::answer::AnswerBody;
pub(crate) use self::answer::{Ahead, Watch};
pub use self::received::Received;
pub(crate) use self::room::Room;
pub(crate) use self::trailed::Trailed;
pub(crate) use self::turn::Turn;
pub(crate) use self::upload::{Copy, Upload};

/// What goes wrong with a body; what it carries is shown to nobody but a log.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's body, as a door hands it over.
pub type Incoming = UnsyncBoxBody<Bytes, BodyError>;

/// A request's body on its way upstream: one try's.
pub struct Outgoing(Kind);

enum Kind {
    Empty,
    Copy(Copy),
    Other(Incoming),
}

impl Outgoing {
    /// A body that was made of another one.
    pub fn other(body: Incoming) -> Self {
        Self(Kind::Other(body))
    }

    pub(crate) fn empty() -> Self {
        Self(Kind::Empty)
    }

    pub(crate) fn copy(copy: Copy) -> Self {
        Self(Kind::Copy(copy))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Kind::Empty => Poll::Ready(None),
            Kind::Copy(copy) => copy.poll(cx),
            Kind::Other(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Empty => true,
            Kind::Copy(copy) => copy.is_ended(),
            Kind::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Copy(copy) => copy.left(),
            Kind::Other(body) => body.size_hint(),
        }
    }
}
