//! Reading as much of an answer as is needed to judge it, ahead of passing it on.
//!
//! Owns the bounds on that: how much, and how long. What was read passes afterwards as it came.

use std::time::Duration;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http::response::Parts;
use keyherd_core::provider::Body;
use keyherd_core::upstream::{self, FIRST_EVENT_LEN_MAX, Headers, Needs};
use tokio::time::timeout;

use crate::body::{Ahead, AnswerBody};
use crate::decode;
use crate::limits::ExchangeLimits;

/// Headers as core reads them.
pub(crate) struct Shown<'a>(pub(crate) &'a HeaderMap);

impl Headers for Shown<'_> {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }
}

/// What must be seen of an answer.
pub(crate) fn needs(head: &Parts) -> Needs {
    let media_type = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    upstream::needs(head.status.as_u16(), media_type.unwrap_or_default())
}

/// What core has to see of the body, and whether it is known yet.
pub(crate) struct Seen {
    pub(crate) body: Body,
    /// A stream's first event has not come in time: it may yet be an error.
    pub(crate) is_open: bool,
}

/// Reads what is needed.
pub(crate) async fn look(needs: Needs, head: &Parts, body: &mut AnswerBody, limits: &ExchangeLimits) -> Seen {
    match needs {
        Needs::Head => Seen { body: Body::from(""), is_open: false },
        Needs::Body => Seen { body: refusal(head, body, limits).await, is_open: false },
        Needs::FirstEvent => first_event(head, body, limits.first_event_timeout).await,
    }
}

async fn refusal(head: &Parts, body: &mut AnswerBody, limits: &ExchangeLimits) -> Body {
    let mut bytes = Vec::new();
    let read = async {
        loop {
            match body.read_ahead().await {
                (Ahead::Data, data) => bytes.extend_from_slice(&data),
                (end, _) => return end,
            }
            if bytes.len() > limits.refusal_len_max {
                return Ahead::Data;
            }
        }
    };
    match timeout(limits.refusal_timeout, read).await {
        Ok(Ahead::End) => decode::whole(&head.headers, bytes, limits.refusal_len_max).await,
        Ok(Ahead::Data) => Body::TooLarge,
        Ok(Ahead::Broken) | Err(_) => Body::Truncated,
    }
}

async fn first_event(head: &Parts, body: &mut AnswerBody, patience: Duration) -> Seen {
    let (mut bytes, mut text) = (Vec::new(), Vec::new());
    let is_coded = decode::is_coded(&head.headers);
    let read = async {
        loop {
            let (ahead, data) = body.read_ahead().await;
            if ahead != Ahead::Data {
                return true;
            }
            bytes.extend_from_slice(&data);
            if is_coded {
                // From its beginning each time: it is short, and events come whole.
                text = decode::beginning(&head.headers, bytes.clone(), FIRST_EVENT_LEN_MAX).await;
            } else {
                text.extend_from_slice(&data);
            }
            if upstream::first_event(&text).is_some() || bytes.len().max(text.len()) >= FIRST_EVENT_LEN_MAX {
                return true;
            }
        }
    };
    let is_open = !timeout(patience, read).await.unwrap_or_default();
    Seen { body: Body::from(text), is_open }
}
