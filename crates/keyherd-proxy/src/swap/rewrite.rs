//! A body that is looked through as it passes, and of which the hits are written anew.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use keyherd_core::phantom::{Piece, Place, Scanner, Seek};

/// What is written in a hit's place.
pub trait Rewrite<W>: Send {
    /// Writes it, or nothing.
    fn write(&mut self, hit: &W, into: &mut Vec<u8>);
}

impl<W, F: FnMut(&W, &mut Vec<u8>) + Send> Rewrite<W> for F {
    fn write(&mut self, hit: &W, into: &mut Vec<u8>) {
        self(hit, into);
    }
}

/// See the module. What has no hit in it passes uncopied, and as soon as it comes.
pub struct Rewriting<B, S: Seek> {
    inner: B,
    scanner: Scanner<S>,
    rewrite: Box<dyn Rewrite<S::What>>,
    /// What is looked for as it goes on, where that changes.
    renewed: Option<Arc<dyn Fn() -> Arc<S> + Send + Sync>>,
    trailers: Option<Frame<Bytes>>,
    has_ended: bool,
    /// What is left of its new length, where that is known.
    left: Option<u64>,
}

impl<B, S: Seek> Rewriting<B, S> {
    /// Looks through a body whose tokens stand in that place.
    pub fn new(inner: B, seek: Arc<S>, place: Place, rewrite: impl Rewrite<S::What> + 'static) -> Self {
        let (scanner, rewrite) = (Scanner::new(seek, place), Box::new(rewrite));
        Self { inner, scanner, rewrite, renewed: None, trailers: None, has_ended: false, left: None }
    }

    /// The same, looking for what is asked for with each piece.
    #[must_use]
    pub fn renewed_by(self, renewed: Arc<dyn Fn() -> Arc<S> + Send + Sync>) -> Self {
        Self { renewed: Some(renewed), ..self }
    }

    /// The same, with a length that the caller worked out: it is announced.
    #[must_use]
    pub fn of_length(self, len: u64) -> Self {
        Self { left: Some(len), ..self }
    }

    fn finish(&mut self) {
        self.has_ended = true;
        self.scanner.finish();
    }

    /// What is ready, in one piece. A single piece passes as it is.
    fn drain(&mut self) -> Bytes {
        match self.scanner.next_piece() {
            None => Bytes::new(),
            Some(Piece::Plain(bytes)) => match self.scanner.next_piece() {
                None => bytes,
                Some(next) => {
                    let mut text = BytesMut::from(&bytes[..]);
                    self.join(next, &mut text);
                    text.freeze()
                }
            },
            Some(hit) => {
                let mut text = BytesMut::new();
                self.join(hit, &mut text);
                text.freeze()
            }
        }
    }

    fn join(&mut self, first: Piece<S::What>, text: &mut BytesMut) {
        let (mut next, mut written) = (Some(first), Vec::new());
        while let Some(piece) = next {
            match piece {
                Piece::Plain(bytes) => text.extend_from_slice(&bytes),
                Piece::Hit(hit) => {
                    self.rewrite.write(&hit, &mut written);
                    text.extend_from_slice(&written);
                    zeroize::Zeroize::zeroize(&mut written);
                }
            }
            next = self.scanner.next_piece();
        }
    }

    fn data(&mut self, bytes: Bytes) -> Frame<Bytes> {
        let len = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.left = self.left.map(|left| left.saturating_sub(len));
        Frame::data(bytes)
    }
}

impl<B, S> Body for Rewriting<B, S>
where
    B: Body<Data = Bytes> + Unpin,
    S: Seek,
    S::What: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        while !this.has_ended {
            match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        if let Some(renewed) = &this.renewed {
                            this.scanner.look_for(renewed());
                        }
                        this.scanner.feed(data);
                        // The end goes with the last bytes: nobody has to ask for it.
                        if this.inner.is_end_stream() {
                            this.finish();
                        }
                    }
                    Err(trailers) => {
                        this.trailers = Some(trailers);
                        this.finish();
                    }
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => this.finish(),
            }
            let ready = this.drain();
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(this.data(ready))));
            }
        }
        Poll::Ready(this.trailers.take().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
