//! A request, looked through before it goes on: its head, and its body where that is short and says so.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Request, Version, request};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Found, Framing, Hit, Place, Table, hits};
use tokio::time::timeout;

use super::SwapLimits;
use crate::body::{Incoming, Received};
use crate::fault::Fault;
use crate::swap::{HeadFinds, find_in_head};

/// A request and what was found in it.
pub(super) struct Read {
    head: request::Parts,
    body: Incoming,
    names: Vec<Name>,
    /// What was found in the head.
    finds: HeadFinds,
    body_plan: BodyPlan,
    /// Whether fields may follow its body.
    may_be_trailed: bool,
}

/// What a request holds of phantoms, and where more may be.
pub(super) struct Finds {
    pub(super) head: HeadFinds,
    pub(super) body: BodyPlan,
    pub(super) may_be_trailed: bool,
}

/// What becomes of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum BodyPlan {
    /// It has nothing that could be swapped.
    AsIs,
    /// It is looked through as it passes.
    Streamed(Place),
    /// It is all here: so long without its hits, which are these.
    Whole(Place, usize, Vec<Found>),
}

impl Read {
    pub(super) async fn of(
        request: Request<Incoming>,
        table: &Table,
        limits: &SwapLimits,
    ) -> Result<Self, Fault> {
        let (head, body) = request.into_parts();
        let mut finds = find_in_head(&head, table);
        let mut names = std::mem::take(&mut finds.own);
        let place = place(&head.headers);
        let buffer_max = u64::try_from(limits.buffer_len_max).unwrap_or(u64::MAX);
        let length = body.size_hint().exact();
        let (body, body_plan) = match (Framing::of(length, place, buffer_max), place) {
            (Framing::Buffered, Some(place)) => {
                let bytes = whole(body, limits.buffer_len_max, limits.buffer_timeout)
                    .await?
                    .ok_or(Fault::BrokenOff)?;
                let plan = looked_through(&bytes, place, table, &mut names);
                (Full::new(bytes).map_err(|never| match never {}).boxed_unsync(), plan)
            }
            (Framing::Streamed, Some(place)) => (body, BodyPlan::Streamed(place)),
            _ => (body, BodyPlan::AsIs),
        };
        // Over HTTP/1 none follow a body whose length was told (RFC 9112, section 7.1.2).
        let is_counted = head.version != Version::HTTP_2 && length.is_some();
        let may_be_trailed = !is_counted && !body.is_end_stream();
        Ok(Self { head, body, names, finds, body_plan, may_be_trailed })
    }

    /// Whose phantoms are known to be in it, in the order of their places.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.names.iter()
    }

    /// Whether its body will tell more.
    pub(super) fn is_streamed(&self) -> bool {
        matches!(self.body_plan, BodyPlan::Streamed(_))
    }

    /// The request, and what was found in its head and is to become of its body.
    pub(super) fn into_parts(self) -> (Request<Incoming>, Finds) {
        let finds = Finds { head: self.finds, body: self.body_plan, may_be_trailed: self.may_be_trailed };
        (Request::from_parts(self.head, self.body), finds)
    }
}

/// Where tokens stand in a body. `None`: it is no text, or hidden in a coding.
pub(super) fn place(headers: &HeaderMap) -> Option<Place> {
    let is_plain = !headers.contains_key(CONTENT_ENCODING);
    let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Place::of_media_type(kind).filter(|_| is_plain)
}

/// All of a body, in time. `None`: it is longer than that.
pub(super) async fn whole<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    len_max: usize,
    within: Duration,
) -> Result<Option<Bytes>, Fault> {
    let reading = async {
        let mut bytes = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let data = frame.map_err(|_| Fault::BrokenOff)?.into_data().unwrap_or_default();
            if data.len() > len_max - bytes.len() {
                return Ok(None);
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Some(bytes.freeze()))
    };
    timeout(within, reading).await.unwrap_or(Err(Fault::BrokenOff))
}

fn looked_through(bytes: &Bytes, place: Place, table: &Table, names: &mut Vec<Name>) -> BodyPlan {
    let found = hits(table, place, bytes);
    if found.is_empty() {
        return BodyPlan::AsIs;
    }
    let hidden: usize = found.iter().map(|hit| hit.span.len()).sum();
    let found: Vec<Found> = found.into_iter().map(|Hit { what, .. }| what).collect();
    for name in found.iter().filter_map(own) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    BodyPlan::Whole(place, bytes.len() - hidden, found)
}

fn own(found: &Found) -> Option<&Name> {
    match found {
        Found::Own(name) => Some(name),
        Found::Foreign => None,
    }
}

pub(super) fn streamed(body: Received) -> Incoming {
    body.boxed_unsync()
}

/// Its length is settled anew.
pub(super) fn forget_length(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
}
