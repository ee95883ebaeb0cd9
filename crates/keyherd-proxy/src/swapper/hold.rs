//! An answer that is looked through, held back for a moment: until it is known that it can be read, and how long a short one
//! became.
//!
//! Owns the bounds on that: how much, and how long. A stream of events has no length to wait for. What turns out to be
//! unreadable before anything was sent has an error for an answer; what does so later is broken off.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::response::Parts;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::swap::Scrubbed;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What an answer was before it was looked through.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    is_short: bool,
    is_coded: bool,
}

impl Before {
    /// `len_max`: what is short.
    pub(super) fn of(headers: &HeaderMap, len_max: usize) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_short = text(CONTENT_LENGTH).parse().is_ok_and(|len: usize| len <= len_max);
        let is_stream = text(CONTENT_TYPE).to_ascii_lowercase().starts_with("text/event-stream");
        Self { is_short: is_short && !is_stream, is_coded: headers.contains_key(CONTENT_ENCODING) }
    }

    /// Holds back what was changed: one that was short, for its length; one that had a coding, for its beginning.
    ///
    /// # Errors
    /// It cannot be read, and nothing of it was sent.
    pub(super) async fn held(
        self,
        head: &mut Parts,
        body: Scrubbed,
        len_max: usize,
        within: Duration,
    ) -> Result<Scrubbed, Error> {
        // What still has its length or its coding passes as it came.
        let is_short = self.is_short && !head.headers.contains_key(CONTENT_LENGTH);
        let is_coded = self.is_coded && !head.headers.contains_key(CONTENT_ENCODING);
        if !is_short && !is_coded {
            return Ok(body);
        }
        let mut held = Held { ahead: VecDeque::new(), rest: Some(body), len: 0 };
        let wanted = if is_short { len_max } else { 0 };
        // What does not come in time passes as it comes.
        timeout(within, held.read(wanted)).await.unwrap_or(Ok(()))?;
        if held.rest.is_none() {
            head.headers.insert(CONTENT_LENGTH, held.len.into());
        }
        Ok(held.boxed_unsync())
    }
}

/// What was read ahead, and the rest.
struct Held {
    ahead: VecDeque<Frame<Bytes>>,
    /// `None`: all of it was read.
    rest: Option<Scrubbed>,
    /// What is ahead, in bytes.
    len: usize,
}

impl Held {
    /// Until it is at its end, or has more than that.
    async fn read(&mut self, len_max: usize) -> Result<(), Error> {
        while let Some(rest) = &mut self.rest {
            let Some(frame) = rest.frame().await else {
                self.rest = None;
                break;
            };
            let frame = frame?;
            self.len += frame.data_ref().map_or(0, Bytes::len);
            self.ahead.push_back(frame);
            if self.len > len_max {
                break;
            }
        }
        Ok(())
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Some(frame) = self.ahead.pop_front() {
            self.len -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        let frame = Pin::new(rest).poll_frame(cx);
        if let Poll::Ready(Some(Err(error))) = &frame {
            // The agent sees its connection end, and not why.
            tracing::warn!(%error, "an answer is broken off: it cannot be read to its end");
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest {
            None => SizeHint::with_exact(u64::try_from(self.len).unwrap_or(u64::MAX)),
            Some(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue, Response};
    use http_body_util::StreamBody;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(2);

    fn body(pieces: Vec<Result<&'static str, &'static str>>, is_open: bool) -> Scrubbed {
        use futures_util::StreamExt;
        let frames = futures_util::stream::iter(pieces)
            .map(|piece| piece.map(|text| Frame::data(Bytes::from(text))).map_err(Error::from));
        match is_open {
            true => StreamBody::new(frames.chain(futures_util::stream::pending())).boxed_unsync(),
            false => StreamBody::new(frames).boxed_unsync(),
        }
    }

    /// The length that is announced.
    async fn held(
        before: &[(HeaderName, &'static str)],
        body: Scrubbed,
    ) -> Result<(Option<String>, Scrubbed), Error> {
        let headers = before.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        let before = Before::of(&headers.collect(), 10);
        // As it is after it was looked through.
        let (mut head, ()) = Response::new(()).into_parts();
        let held = before.held(&mut head, body, 10, WITHIN).await?;
        let len = head.headers.get(CONTENT_LENGTH).and_then(|len| len.to_str().ok()).map(str::to_owned);
        Ok((len, held))
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_short_has_a_length_and_what_is_not_has_none() {
        let kind = |value| (CONTENT_TYPE, value);
        let gzip = (CONTENT_ENCODING, "gzip");
        let table = [
            (vec![kind("text/plain"), (CONTENT_LENGTH, "9")], vec!["abc", "def"], Some("6")),
            (vec![kind("text/plain"), (CONTENT_LENGTH, "9")], vec!["abcdefgh", "ijkl"], None),
            (vec![kind("text/plain"), (CONTENT_LENGTH, "99")], vec!["abc"], None),
            (vec![kind("text/event-stream"), (CONTENT_LENGTH, "9")], vec!["abc"], None),
            (vec![kind("text/plain"), gzip.clone()], vec!["abc", "def"], None),
            (vec![kind("text/plain"), gzip], vec![], Some("0")),
        ];
        for (headers, pieces, wanted) in table {
            let whole = pieces.concat();
            let (len, held) =
                held(&headers, body(pieces.into_iter().map(Ok).collect(), false)).await.expect("can be read");
            assert_eq!(len.as_deref(), wanted, "{headers:?}");
            assert_eq!(held.size_hint().exact().map(|len| len.to_string()).as_deref(), wanted);
            assert_eq!(held.collect().await.expect("can be read").to_bytes(), whole);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_in_time_passes_as_it_comes() {
        let headers = [(CONTENT_TYPE, "text/plain"), (CONTENT_LENGTH, "9")];
        let (len, mut held) = held(&headers, body(vec![Ok("abc")], true)).await.expect("can be read");
        assert_eq!(len, None);
        let frame = held.frame().await.expect("comes").expect("can be read");
        assert_eq!(frame.into_data().ok(), Some(Bytes::from("abc")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_read_is_an_error_while_nothing_was_sent() {
        let gzip = [(CONTENT_TYPE, "text/plain"), (CONTENT_ENCODING, "gzip")];
        assert!(held(&gzip, body(vec![Err("no gzip")], false)).await.is_err());
        let (_, late) = held(&gzip, body(vec![Ok("abc"), Err("cut")], false)).await.expect("begins well");
        assert!(late.collect().await.is_err(), "it ends with an error, not as if it were whole");
        let short = [(CONTENT_TYPE, "text/plain"), (CONTENT_LENGTH, "9")];
        assert!(held(&short, body(vec![Ok("abc"), Err("cut")], false)).await.is_err());
    }
}
