//! Swapping as an injection: each try of a request gets its own token.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, request};
use http_body_util::BodyExt;
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Found, Needle, Place, Table};
use keyherd_core::secret::Secret;

use super::request::{BodyPlan, Finds, forget_length};
use crate::body::{Outgoing, Trailed};
use crate::inject::{BadInjection, Inject};
use crate::swap::{Rewriting, strip_trailers, swap_head};

/// One request's.
pub(super) struct SwapInject {
    table: Arc<Table>,
    /// Whose token the exchange brings.
    primary: Option<Name>,
    others: Vec<(Name, Secret)>,
    finds: Finds,
    /// Over all tries.
    sent: Mutex<Sent>,
}

/// What upstream was sent.
#[derive(Default)]
struct Sent {
    tokens: Vec<Secret>,
    encoded: Vec<Needle>,
}

impl SwapInject {
    pub(super) fn new(
        table: Arc<Table>,
        primary: Option<Name>,
        others: Vec<(Name, Secret)>,
        finds: Finds,
    ) -> Self {
        Self { table, primary, others, finds, sent: Mutex::default() }
    }

    /// The secrets that upstream may know now.
    pub(super) fn used(&self) -> Vec<(Name, Secret)> {
        let sent = self.sent();
        let tokens = sent.tokens.iter();
        let ours =
            self.primary.iter().flat_map(|name| tokens.clone().map(|token| (name.clone(), token.clone())));
        ours.chain(self.others.iter().cloned()).collect()
    }

    /// What upstream got of them in Base64, with what the agent had sent there.
    pub(super) fn encoded(&self) -> Vec<Needle> {
        std::mem::take(&mut self.sent().encoded)
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A try's secrets.
    fn secrets(&self, token: &str) -> Vec<(Name, Secret)> {
        let ours = self.primary.iter().map(|name| (name.clone(), Secret::from(token)));
        ours.chain(self.others.iter().cloned()).collect()
    }
}

impl Inject for SwapInject {
    fn head(&self, head: &mut request::Parts, token: &str) -> Result<(), BadInjection> {
        let ours = Secret::from(token);
        let secret = |name: &Name| match self.primary.as_ref() == Some(name) {
            true => Some(&ours),
            false => of(&self.others, name),
        };
        let encoded = swap_head(head, &self.finds.head, &self.table, &secret)
            .map_err(|_| BadInjection::new("a header or a URL"))?;
        if self.finds.body != BodyPlan::AsIs {
            forget_length(&mut head.headers);
        }
        let mut sent = self.sent();
        sent.encoded.extend(encoded);
        if self.primary.is_some() {
            sent.tokens.push(ours);
        }
        Ok(())
    }

    fn body(&self, body: Outgoing, token: &str) -> Outgoing {
        let body = self.swapped(body, token);
        if !self.finds.may_be_trailed {
            return body;
        }
        let table = Arc::clone(&self.table);
        let trailed = Trailed::new(body, move |trailers: &mut HeaderMap| strip_trailers(trailers, &table));
        Outgoing::other(trailed.boxed_unsync())
    }
}

impl SwapInject {
    fn swapped(&self, body: Outgoing, token: &str) -> Outgoing {
        let (place, len) = match &self.finds.body {
            BodyPlan::AsIs => return body,
            BodyPlan::Streamed(place) => (*place, None),
            BodyPlan::Whole(place, plain, found) => {
                let secrets = self.secrets(token);
                let written: usize = found.iter().map(|found| written(*place, &secrets, found).len()).sum();
                (*place, u64::try_from(plain + written).ok())
            }
        };
        let secrets = self.secrets(token);
        let rewriting =
            Rewriting::new(body, Arc::clone(&self.table), place, move |found: &Found, into: &mut Vec<u8>| {
                into.extend_from_slice(&written(place, &secrets, found));
            });
        Outgoing::other(match len {
            Some(len) => rewriting.of_length(len).boxed_unsync(),
            None => rewriting.boxed_unsync(),
        })
    }
}

/// What stands in a hit's place: nothing, where there is no secret for it.
fn written(place: Place, secrets: &[(Name, Secret)], found: &Found) -> zeroize::Zeroizing<Vec<u8>> {
    let mut text = zeroize::Zeroizing::new(Vec::new());
    if let Found::Own(name) = found
        && let Some(secret) = of(secrets, name)
    {
        // Only headers refuse characters.
        let _ = place.write(secret.expose(), &mut text);
    }
    text
}

fn of<'s>(secrets: &'s [(Name, Secret)], name: &Name) -> Option<&'s Secret> {
    secrets.iter().find(|(known, _)| known == name).map(|(_, secret)| secret)
}
