//! Those who ask for tokens: with deadlines, with windows, with rejected tokens; some go away. And what they got, judged.

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::audit::Actor;
use keyherd_core::broker::{AcquireError, Acquired, Broker};
use keyherd_core::ids::{Name, OwnerId};
use keyherd_core::refresh::Ask;
use keyherd_core::secret::Secret;

use crate::plan::TOKEN_LIFE;
use crate::ports::Seat;
use crate::world::{Asking, Life, World};

/// An answer may come this long after its caller's deadline.
const SLACK: Duration = Duration::from_secs(1);
/// An answer travels this long at most: a token was issued so much earlier than it is thought to be.
const TRAVEL_MAX: Duration = Duration::from_secs(9);

/// A host that is up, unpaused and in reach of the store knows by then what was committed.
const INFORMED_MAX: Duration = Duration::from_secs(15);

/// A caller at one host.
pub(crate) struct Caller {
    pub(crate) world: Arc<World>,
    pub(crate) host: usize,
    pub(crate) owner: OwnerId,
    pub(crate) broker: Broker,
    pub(crate) name: Name,
    pub(crate) ask: Ask,
    /// It goes away after this.
    pub(crate) leaves: Option<Duration>,
}

/// A caller who has no answer yet.
struct Waits {
    world: Arc<World>,
    id: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.world.lock().asking.remove(&self.id);
    }
}

pub(crate) fn actor() -> Actor {
    Actor::new("sim")
}

impl Caller {
    /// A caller at a host that is up, with a question of its own. `None`: no host is up.
    pub(crate) fn random(world: &Arc<World>) -> Option<Self> {
        let (host, (owner, broker)) = {
            let mut state = world.lock();
            let host = state.some_host_up()?;
            (host, state.hosts[host].running.clone()?)
        };
        Self::at(world, host, owner, broker)
    }

    /// A caller of that process, with a question of its own.
    pub(crate) fn at(world: &Arc<World>, host: usize, owner: OwnerId, broker: Broker) -> Option<Self> {
        let mut state = world.lock();
        let names: Vec<Name> = state.names.keys().cloned().collect();
        let name = state.dice.pick(&names)?.clone();
        let longest = if state.dice.chance(200) { 1_000 } else { 30_000 };
        let mut ask = Ask::foreground(state.dice.millis(50, longest));
        if state.dice.chance(150) {
            ask.min_valid = Some(state.dice.millis(0, 120_000));
        }
        let is_calm = state.is_calm;
        if !is_calm && state.dice.chance(60) {
            ask.rejected = state.last_served.get(&name).map(|token| Secret::from(token.as_str()));
        }
        ask.forced = state.dice.chance(50);
        let leaves = state.dice.chance(100).then(|| state.dice.millis(0, 3_000));
        Some(Self { world: Arc::clone(world), host, owner, broker, name, ask, leaves })
    }

    /// Asks, and has the answer judged.
    pub(crate) async fn run(self) -> Option<Result<Acquired, AcquireError>> {
        let seat = Seat { world: Arc::clone(&self.world), host: self.host, owner: self.owner };
        seat.held().await;
        let begun = self.world.at();
        let _asking = self.begin(begun);
        let actor = actor();
        let asked = self.broker.acquire(self.name.as_str(), &self.ask, &actor);
        let outcome = match self.leaves {
            None => asked.await,
            Some(leaves) => tokio::time::timeout(leaves, asked).await.ok()?,
        };
        // Who waits at a host that is paused hears nothing; and from one that is dead, never.
        seat.held().await;
        self.judge(&outcome, begun);
        Some(outcome)
    }

    /// Until this is dropped it is looked at every step whether it waits too long.
    fn begin(&self, begun: Duration) -> Waits {
        let (name, host, owner) = (self.name.clone(), self.host, self.owner);
        let due = begun + self.ask.wait + SLACK;
        let mut state = self.world.lock();
        state.questions += 1;
        let id = state.questions;
        state.asking.insert(id, Asking { name, host, owner, begun, due });
        Waits { world: Arc::clone(&self.world), id }
    }

    fn judge(&self, outcome: &Result<Acquired, AcquireError>, begun: Duration) {
        let at = self.world.at();
        let chain = self.world.chain_of(&self.name);
        let text = match outcome {
            Ok(Acquired::Token(token)) => {
                format!("gets {} of generation {}", token.expose(), token.generation())
            }
            Ok(Acquired::Refused(refusal)) => format!("is refused: {refusal:?}"),
            Err(error) => format!("fails: {error}"),
        };
        let wanted = self.wanted();
        self.world.tell(Some(self.host), chain, format!("a caller of {}{wanted} {text}", self.name));
        let problem = match outcome {
            _ if at > begun + self.ask.wait + SLACK && !self.was_paused(begun) => {
                Some(("everyone is answered in time", format!("{} waited too long", self.name)))
            }
            Ok(Acquired::Token(token)) => {
                self.world.lock().served += 1;
                self.wrong(token.expose(), begun).map(|what| ("no wrong or foreign token", what))
            }
            Err(AcquireError::Lost(lost)) => Some(("nothing panics", lost.to_string())),
            _ => {
                self.world.lock().refused += 1;
                None
            }
        };
        let mut state = self.world.lock();
        if let Some((rule, what)) = problem {
            state.ledger.blame(at, rule, chain, what);
        }
        if let Ok(Acquired::Token(token)) = outcome {
            state.last_served.insert(self.name.clone(), token.expose().to_owned());
        }
    }

    fn was_paused(&self, since: Duration) -> bool {
        self.world.lock().hosts[self.host].paused_until > since
    }

    fn wanted(&self) -> String {
        let mut text = String::new();
        if let Some(window) = self.ask.min_valid {
            text.push_str(&format!(" (valid for {}s)", window.as_secs()));
        }
        if let Some(rejected) = &self.ask.rejected {
            text.push_str(&format!(" (rejected {})", rejected.expose()));
        }
        if self.ask.forced {
            text.push_str(" (forced)");
        }
        text
    }

    /// What is wrong with a token that was served.
    fn wrong(&self, token: &str, begun: Duration) -> Option<String> {
        let state = self.world.lock();
        let Some((account, until)) = state.accounts.owner_of(token) else {
            return Some(format!("{} got {token}, which nobody issued", self.name));
        };
        let lives = state.names.get(&self.name)?;
        let informed = state.able_since(self.host) + INFORMED_MAX;
        let is_own = |life: &Life| {
            let is_known_gone =
                life.until.is_some_and(|until| until + INFORMED_MAX < begun) && informed < begun;
            let is_its = life.account == account || life.also.iter().any(|also| also == account);
            is_its && !is_known_gone
        };
        if !lives.iter().any(is_own) {
            return Some(format!("{} got {token}, which is {account}'s", self.name));
        }
        if self.ask.rejected.as_ref().is_some_and(|rejected| rejected.expose() == token) {
            return Some(format!("{} got {token} back, which it had said is rejected", self.name));
        }
        let is_off = state.hosts[self.host].skew_ms != 0 || state.has_skewed;
        let has_ended = until + TRAVEL_MAX.min(TOKEN_LIFE) < begun;
        (has_ended && !is_off).then(|| format!("{} got {token}, which had ended", self.name))
    }
}
