//! One run: hosts come up, faults for a while, calm for a while, and then all must be well.

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::broker::{Acquired, set_window_in_key};
use keyherd_core::credential::Chain;
use keyherd_core::ids::{ChainId, Name};
use keyherd_core::ports::{Clock, Journal};
use keyherd_core::refresh::{Ask, Refusal};
use keyherd_core::secret::TokenHash;

use crate::accounts::Habit;
use crate::callers::Caller;
use crate::dice::Dice;
use crate::hosts;
use crate::ledger::Violation;
use crate::mutants::Mutant;
use crate::people::{self, CREDENTIALS};
use crate::plan::{CALM, CHAOS, CLAIM_LIFE, PAUSE_MAX, Plan};
use crate::tally::Tally;
use crate::trace::Line;
use crate::world::World;

/// Journal entries looked at.
const PENDING_MAX: usize = 1_000;

/// What kind of run.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// So many hosts; `None`: as the seed says.
    pub hosts: Option<usize>,
    /// No faults at all.
    pub fault_free: bool,
    /// A broken engine.
    pub mutant: Option<Mutant>,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Steps taken by all hosts together.
    pub steps: u64,
    /// Requests that reached the provider.
    pub calls: u64,
    /// Callers that got a token.
    pub served: u64,
    /// Callers that did not, for a reason.
    pub refused: u64,
    /// What happened, and how often.
    pub tally: Tally,
    /// The first broken promise.
    pub violation: Option<Violation>,
    /// Everything that happened.
    pub lines: Vec<Line>,
}

impl Report {
    /// A number that differs where anything that happened differs (FNV-1a).
    pub fn digest(&self) -> u64 {
        let mut digest = 0xCBF2_9CE4_8422_2325_u64 ^ self.seed;
        let mut take = |bytes: &[u8]| {
            for byte in bytes {
                digest = (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3);
            }
        };
        for line in &self.lines {
            take(&line.at.as_nanos().to_be_bytes());
            take(&[u8::try_from(line.host.unwrap_or(255)).unwrap_or(255)]);
            take(line.text.as_bytes());
        }
        digest
    }
}

/// Runs one seed. The same seed on the same code gives the same report.
#[expect(clippy::expect_used, reason = "a runtime without sockets and threads can always be made")]
pub fn run(seed: u64, settings: &Settings) -> Report {
    set_window_in_key(settings.mutant == Some(Mutant::WindowInKey));
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let mut dice = Dice::new(seed);
        let plan = Plan::of(&mut dice, settings.hosts, settings.fault_free);
        let world = World::new(plan.calm(), dice, settings.mutant);
        play(&world, plan).await;
        let mut state = world.lock();
        state.hosts.clear();
        Report {
            seed,
            steps: state.steps,
            calls: state.accounts.calls,
            served: state.served,
            refused: state.refused,
            tally: state.tally.clone(),
            violation: state.ledger.violations.first().cloned(),
            lines: std::mem::take(&mut state.lines),
        }
    })
}

async fn play(world: &Arc<World>, plan: Plan) {
    begin(world, plan.hosts).await;
    world.tell(None, None, format!("{plan:?}"));
    world.lock().plan = plan;
    while world.at() < CHAOS && !world.has_failed() {
        let rest = world.lock().dice.millis(20, 3_000);
        tokio::time::sleep(rest).await;
        people::happen(world);
        world.check();
    }
    if world.has_failed() {
        return;
    }
    calm_down(world).await;
    while world.at() < CHAOS + CALM && !world.has_failed() {
        tokio::time::sleep(Duration::from_secs(7)).await;
        world.check();
        if let Some(caller) = Caller::random(world) {
            tokio::spawn(caller.run());
        }
    }
    if !world.has_failed() {
        look_at_the_end(world).await;
    }
}

async fn begin(world: &Arc<World>, count: usize) {
    for host in 0..count {
        hosts::boot(world, host);
    }
    for habit in Habit::ALL {
        people::configure_client(world, habit).await;
    }
    let Some((_, broker)) = world.lock().hosts[0].running.clone() else { return };
    for (name, chain, habit) in CREDENTIALS {
        if let Ok(name) = Name::parse(name) {
            let _ = people::create(world, &broker, (name, chain, habit)).await;
        }
    }
}

/// From now on nothing goes wrong any more, and people mend what only they can.
async fn calm_down(world: &Arc<World>) {
    let at = world.at();
    let count = {
        let mut state = world.lock();
        state.plan = state.plan.calm();
        state.is_calm = true;
        state.store_down_until = state.store_down_until.min(at);
        // Who is paused comes to in its own time.
        for host in &mut state.hosts {
            (host.cut_until, host.skew_ms) = (host.cut_until.min(at), 0);
        }
        state.hosts.len()
    };
    world.tell(None, None, "NO FAULTS from now on".into());
    for host in 0..count {
        hosts::boot(world, host);
    }
    tokio::time::sleep(PAUSE_MAX).await;
    for habit in Habit::ALL {
        people::configure_client(world, habit).await;
    }
    for (name, chain, habit) in CREDENTIALS {
        let Ok(name) = Name::parse(name) else { continue };
        people::make_sure(world, (name.clone(), chain, habit)).await;
        people::switch_on(world, &name).await;
    }
}

async fn look_at_the_end(world: &Arc<World>) {
    let hosts = world.lock().hosts.len();
    for host in 0..hosts {
        for (name, _, _) in CREDENTIALS {
            if let Ok(name) = Name::parse(name) {
                look_at(world, host, name).await;
            }
        }
    }
    // What is under way is finished.
    tokio::time::sleep(CLAIM_LIFE).await;
    let now = world.clock.now();
    for (row, _) in world.installation.chains() {
        let is_old = row.claim.as_ref().is_some_and(|claim| claim.at + CLAIM_LIFE * 2 < now);
        if is_old {
            blame(world, "no claim stays unresolved", Some(row.id), format!("{:?}", row.claim));
        }
    }
    for host in 0..hosts {
        if let Some(name) = left_in_journal(world, host).await {
            let what = format!("{name} in the journal of host{host}");
            blame(world, "no journal entry stays pending", None, what);
        }
    }
}

/// A token whose answer a host's journal still holds for the store. What was received a moment ago is about to be marked.
async fn left_in_journal(world: &World, host: usize) -> Option<String> {
    let journal = {
        let state = world.lock();
        state.hosts[host].has_background.then(|| state.hosts[host].journal.clone())?
    };
    let pending = journal.pending(PENDING_MAX).await.unwrap_or_default();
    let at = world.at();
    let ledger = &world.lock().ledger;
    let is_old =
        |hash: &&TokenHash| ledger.receipts.get(*hash).is_none_or(|receipt| receipt.at + CLAIM_LIFE < at);
    pending.iter().find(is_old).map(|hash| ledger.name(hash))
}

fn blame(world: &World, rule: &'static str, chain: Option<ChainId>, what: String) {
    let at = world.at();
    world.lock().ledger.blame(at, rule, chain, what);
}

/// One host and one credential: a token, or a true reason why only a login helps.
async fn look_at(world: &Arc<World>, host: usize, name: Name) {
    let Some((owner, broker)) = world.lock().hosts[host].running.clone() else { return };
    let ask = Ask::foreground(Duration::from_secs(60));
    let caller =
        Caller { world: Arc::clone(world), host, owner, broker, name: name.clone(), ask, leaves: None };
    let outcome = caller.run().await;
    let chain = world.chain_of(&name);
    match outcome {
        Some(Ok(Acquired::Token(_))) => {}
        Some(Ok(Acquired::Refused(Refusal::ReauthRequired { code }))) => {
            let row = chain.and_then(|chain| world.installation.chain(chain)).map(|(row, _)| row);
            let problem = row.as_ref().and_then(|row| untrue(world, row));
            if let Some(problem) = problem {
                let what = format!("{name} at host{host} needs a login ({code}), but {problem}");
                blame(world, "reauth_required is true, and has a cause", chain, what);
            }
        }
        other => {
            let what = format!("{name} at host{host}: {other:?}");
            blame(world, "once the faults stop all is well", chain, what);
        }
    }
}

/// Why a verdict is not true, or should not have come to be.
fn untrue(world: &World, row: &Chain) -> Option<String> {
    let token = row.tokens.refresh_token.as_ref()?.expose().to_owned();
    let hash = world.hash(&token);
    let mut state = world.lock();
    if !state.accounts.is_dead(&token) {
        return Some(format!("{token} would be taken"));
    }
    let revoked = state.accounts.family(&token).and_then(|family| family.revoked);
    let ledger = &state.ledger;
    let is_excused = revoked == Some("by its owner")
        || ledger.cut_short.contains(&hash)
        || ledger.died_with.contains(&hash)
        || !ledger.rotated.contains_key(&hash);
    if is_excused {
        return None;
    }
    if let Some(receipt) = ledger.receipts.get(&hash) {
        let is_to_blame = receipt.excuse.is_none();
        return is_to_blame.then(|| format!("the journal of host{} had the answer", receipt.host));
    }
    let was_delivered = ledger
        .sent
        .get(&hash)
        .is_some_and(|sent| sent.iter().any(|sent| sent.answer == Some(crate::ledger::Answer::Granted)));
    was_delivered.then(|| "the answer had arrived".to_owned())
}
