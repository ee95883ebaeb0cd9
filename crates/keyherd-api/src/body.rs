//! Reading a request's body: whole, within its bound and in time.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use bytes::{Bytes, BytesMut};
use http::Request;
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use crate::documents;
use crate::problem::{Code, Problem};
use crate::state::State;

/// A document in the body.
pub(crate) struct Document<T>(pub(crate) T);

/// A document in the body, or its default where there is no body.
pub(crate) struct DocumentOrNone<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<State> for Document<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, state: &State) -> Result<Self, Problem> {
        Ok(Self(documents::parse(&read_within(request.into_body(), state).await?)?))
    }
}

impl<T: DeserializeOwned + Default> FromRequest<State> for DocumentOrNone<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, state: &State) -> Result<Self, Problem> {
        let bytes = read_within(request.into_body(), state).await?;
        Ok(Self(if bytes.is_empty() { T::default() } else { documents::parse(&bytes)? }))
    }
}

async fn read_within(body: Body, state: &State) -> Result<Bytes, Problem> {
    read(body, state.limits.body_len_max, state.limits.request_timeout).await
}

/// The whole body.
pub(crate) async fn read<B>(body: B, len_max: usize, patience: Duration) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    if usize::try_from(body.size_hint().lower()).map_or(true, |len| len > len_max) {
        return Err(too_large(len_max));
    }
    let mut reading = pin!(collect(body, len_max));
    // Most bodies have come with their heads: no clock is needed for those.
    if let Poll::Ready(read) = poll_fn(|cx| Poll::Ready(reading.as_mut().poll(cx))).await {
        return read;
    }
    tokio::time::timeout(patience, reading).await.unwrap_or_else(|_elapsed| {
        Err(Problem::new(
            Code::RequestTimeout,
            format!("the request's body did not arrive within {} s", patience.as_secs()),
        ))
    })
}

/// Most bodies are one frame: those are not copied.
async fn collect<B>(mut body: B, len_max: usize) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| broken_off())?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > len_max {
            return Err(too_large(len_max));
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&std::mem::take(&mut first));
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn too_large(len_max: usize) -> Problem {
    Problem::new(Code::TooLarge, format!("the request's body is larger than {len_max} bytes"))
}

fn broken_off() -> Problem {
    Problem::invalid("the request's body broke off")
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;

    fn frames(
        parts: &[&'static str],
    ) -> StreamBody<impl futures_util::Stream<Item = Result<http_body::Frame<Bytes>, Infallible>> + use<>>
    {
        let parts: Vec<_> = parts
            .iter()
            .map(|part| Ok(http_body::Frame::data(Bytes::from_static(part.as_bytes()))))
            .collect();
        StreamBody::new(stream::iter(parts))
    }

    #[tokio::test]
    async fn frames_are_joined_up_to_the_bound() {
        let second = Duration::from_secs(1);
        for (parts, expected) in
            [(&[][..], ""), (&["a"], "a"), (&["ab", "", "c", "d"], "abcd"), (&["", "ab"], "ab")]
        {
            assert_eq!(read(frames(parts), 4, second).await, Ok(Bytes::from_static(expected.as_bytes())));
        }
        let refused = read(frames(&["abc", "de"]), 4, second).await.expect_err("too large");
        assert_eq!(refused.code(), Code::TooLarge);
        let announced = read(http_body_util::Full::new(Bytes::from_static(b"abcde")), 4, second).await;
        assert_eq!(announced.expect_err("too large").code(), Code::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_given_up() {
        let stalled = StreamBody::new(stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>());
        let refused = read(stalled, 4, Duration::from_secs(9)).await.expect_err("stalls");
        assert_eq!(refused.code(), Code::RequestTimeout);
    }
}
