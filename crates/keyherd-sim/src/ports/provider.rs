//! The way to the provider as one host has it. What was sent arrives, whatever becomes of the host meanwhile.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::credential::Purpose;
use keyherd_core::fakes::json_reply;
use keyherd_core::ids::{ChainId, OwnerId};
use keyherd_core::ports::{CallLimits, Clock, Delivery, ProviderClient, SendGate};
use keyherd_core::provider::{Body, Reply, TokenRequest};
use keyherd_core::secret::TokenHash;
use serde_json::json;
use tokio::sync::oneshot;

use super::Seat;
use crate::accounts::{Habit, Said};
use crate::ledger::Answer;
use crate::plan::TOKEN_LIFE;
use crate::tally::Event;
use crate::world::World;

pub(crate) struct SimProvider(pub(crate) Seat);

/// What becomes of one request and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Good,
    /// The answer never comes. `false`: neither did the request arrive.
    Lost(bool),
    /// A gateway answers. `false`: the provider never saw it.
    Gateway(bool),
    /// The answer breaks off.
    Truncated,
    Busy,
}

impl Fate {
    fn event(self) -> Option<Event> {
        match self {
            Self::Good => None,
            Self::Lost(false) => Some(Event::TimeoutBefore),
            Self::Lost(true) => Some(Event::TimeoutAfter),
            Self::Gateway(false) => Some(Event::GatewayBefore),
            Self::Gateway(true) => Some(Event::GatewayAfter),
            Self::Truncated => Some(Event::Truncated),
            Self::Busy => Some(Event::Busy),
        }
    }
}

/// A request under way, and what is known of it.
struct Request {
    world: Arc<World>,
    host: usize,
    owner: OwnerId,
    token: String,
    secret: String,
    client: String,
    hash: TokenHash,
    chain: Option<ChainId>,
}

#[async_trait]
impl ProviderClient for SimProvider {
    async fn call(&self, request: &TokenRequest, limits: &CallLimits, gate: SendGate<'_>) -> Delivery {
        let seat = &self.0;
        seat.moment("before connecting").await;
        let (not_sent, handshake) = {
            let mut state = seat.world.lock();
            let rate = state.plan.not_sent;
            (state.dice.chance(rate), state.dice.millis(1, 300))
        };
        tokio::time::sleep(handshake).await;
        let request = Request::new(seat, request);
        if not_sent {
            seat.world.count(Event::NotSent);
            seat.tell(request.chain, format!("provider: cannot be reached for {}", request.token));
            return Delivery::NotSent { code: "connect_failed".into(), detail: String::new() };
        }
        // Up to here; between the gate and the first byte a stop can still do harm, as SECURITY.md says.
        seat.moment("connected").await;
        if !gate() {
            seat.world.count(Event::GateShut);
            seat.tell(request.chain, format!("provider: {} is not sent, the gate is closed", request.token));
            return Delivery::NotSent { code: "gate_closed".into(), detail: String::new() };
        }
        request.note_sent();
        let (chain, token, hash) = (request.chain, request.token.clone(), request.hash);
        let answer = tokio::time::timeout(limits.answer_timeout, request.send()).await;
        let answer = answer.ok().flatten();
        seat.moment("answered").await;
        let (what, delivery) = match answer {
            Some((what, delivery)) => (what, delivery),
            None => (Answer::Unknown, Delivery::Unanswered { code: "timeout".into(), detail: String::new() }),
        };
        if matches!(delivery, Delivery::Answered(_)) {
            seat.world.lock().ledger.answered(seat.owner, hash, what);
        }
        seat.tell(chain, format!("provider: {token} {}", shown(&delivery, what)));
        delivery
    }
}

impl Request {
    fn new(seat: &Seat, request: &TokenRequest) -> Self {
        let body = request.body.as_ref().map_or("", |body| body.expose());
        let part = |name: &str| {
            let mut pairs = url::form_urlencoded::parse(body.as_bytes());
            pairs.find(|(key, _)| key == name).map_or_else(String::new, |(_, value)| value.into_owned())
        };
        let token = part("refresh_token");
        let hash = seat.world.hash(&token);
        let mut state = seat.world.lock();
        state.ledger.names.insert(hash, token.clone());
        let chain = state.ledger.claims.get(&(seat.owner, hash)).map(|held| held.chain);
        drop(state);
        Self {
            world: Arc::clone(&seat.world),
            host: seat.host,
            owner: seat.owner,
            secret: part("client_secret"),
            client: part("client_id"),
            token,
            hash,
            chain,
        }
    }

    fn note_sent(&self) {
        let world = &self.world;
        let row = self.chain.and_then(|chain| world.installation.chain(chain));
        let times = (world.at(), world.clock.now());
        let mut state = world.lock();
        let rotates = state.accounts.family(&self.token).is_some_and(|family| family.habit != Habit::Never);
        state.ledger.sends((self.owner, self.hash), row, times, rotates);
        let held = state.ledger.claims.get(&(self.owner, self.hash));
        let purpose = held.map_or("no claim", |held| held.purpose.as_str());
        if held.is_some_and(|held| held.purpose == Purpose::ProbeUncertain) {
            state.tally.count(Event::Probe);
        }
        drop(state);
        world.tell(Some(self.host), self.chain, format!("provider: {} is sent ({purpose})", self.token));
    }

    /// Travels, is dealt with over there, and comes back, if it does.
    async fn send(self) -> Option<(Answer, Delivery)> {
        let (fate, out, back) = self.fate();
        let (tell, told) = oneshot::channel();
        tokio::spawn(async move {
            tokio::time::sleep(out).await;
            let said = self.arrive(fate);
            tokio::time::sleep(back).await;
            if let Some(answer) = said {
                let _ = tell.send(answer);
            } else {
                // Nobody answers: the caller's own deadline ends it.
                std::future::pending::<()>().await;
            }
        });
        told.await.ok()
    }

    fn fate(&self) -> (Fate, Duration, Duration) {
        let mut state = self.world.lock();
        let (lost, gateway, busy) = (state.plan.answer_lost, state.plan.gateway, state.plan.busy);
        let reached = state.dice.chance(500);
        let fate = if state.dice.chance(lost) {
            if state.dice.chance(300) { Fate::Truncated } else { Fate::Lost(reached) }
        } else if state.dice.chance(gateway) {
            Fate::Gateway(reached)
        } else if state.dice.chance(busy) {
            Fate::Busy
        } else {
            Fate::Good
        };
        if let Some(event) = fate.event() {
            state.tally.count(event);
        }
        let slow = if state.dice.chance(100) { 3_000 } else { 100 };
        (fate, state.dice.millis(1, slow), state.dice.millis(1, slow))
    }

    fn arrive(&self, fate: Fate) -> Option<(Answer, Delivery)> {
        let arrives = !matches!(fate, Fate::Lost(false) | Fate::Gateway(false) | Fate::Busy);
        let said = arrives.then(|| self.deal());
        match (fate, said) {
            (Fate::Lost(_), _) => None,
            (Fate::Gateway(_), _) => Some((Answer::Unknown, json_reply(502, &json!("bad gateway")))),
            (Fate::Truncated, _) => Some((Answer::Unknown, truncated())),
            (Fate::Busy, _) | (_, None) => Some((Answer::Busy, json_reply(503, &json!({"error": "busy"})))),
            (Fate::Good, Some(said)) => Some(answer(&said)),
        }
    }

    /// What the provider makes of it, once it is there.
    fn deal(&self) -> Said {
        let at = self.world.at();
        let mut state = self.world.lock();
        let wanted = state.accounts.secrets.iter().find(|(name, _)| **name == self.client);
        if wanted.is_some_and(|(_, wanted)| self.secret != format!("secret-{wanted}")) {
            return Said::Refused("invalid_client");
        }
        if state.accounts.is_spent(&self.token) {
            state.ledger.comes_back(self.owner, self.hash, at);
        }
        let was_spent = state.accounts.is_spent(&self.token);
        let said = state.accounts.refresh(&self.token, at);
        if was_spent && matches!(said, Said::Refused(_)) {
            let has_skewed = state.has_skewed;
            state.ledger.ends_family(self.hash, has_skewed, at);
        }
        if let Said::Granted { refresh: Some(next), .. } = &said {
            state.ledger.rotated.entry(self.hash).or_insert(at);
            let next_hash = self.world.hash(next);
            state.ledger.names.insert(next_hash, next.clone());
        }
        drop(state);
        let what = match &said {
            Said::Granted { refresh: Some(next), .. } => format!("gives {next}"),
            Said::Granted { .. } => "grants".to_owned(),
            Said::Refused(code) => format!("refuses: {code}"),
        };
        self.world.tell(None, self.chain, format!("the provider {what} for {}", self.token));
        said
    }
}

fn answer(said: &Said) -> (Answer, Delivery) {
    match said {
        Said::Granted { access, refresh } => {
            let mut body = json!({"access_token": access, "expires_in": TOKEN_LIFE.as_secs()});
            if let Some(refresh) = refresh {
                body["refresh_token"] = json!(refresh);
            }
            (Answer::Granted, json_reply(200, &body))
        }
        Said::Refused("invalid_client") => {
            (Answer::ClientApp, json_reply(401, &json!({"error": "invalid_client"})))
        }
        Said::Refused(code) => (Answer::Terminal, json_reply(400, &json!({"error": code}))),
    }
}

fn truncated() -> Delivery {
    Delivery::Answered(Reply {
        status: 200,
        content_type: Some("application/json".into()),
        retry_after: None,
        body: Body::Truncated,
    })
}

fn shown(delivery: &Delivery, what: Answer) -> String {
    match delivery {
        Delivery::NotSent { code, .. } => format!("was not sent: {code}"),
        Delivery::Unanswered { code, .. } => format!("has no answer: {code}"),
        Delivery::Answered(reply) => format!("is answered: {} {what:?}", reply.status),
    }
}
