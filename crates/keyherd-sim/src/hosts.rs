//! Machines that come up, pause, die, lose their disks, and come back.

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::broker::{Broker, Ports};
use keyherd_core::fakes::{MemoryJournal, RecordingCourier, SeededEntropy};
use keyherd_core::ids::OwnerId;

use crate::callers::Caller;
use crate::mutants::BentJournal;
use crate::plan::{CLAIM_LIFE, options};
use crate::ports::{Seat, SimClock, SimCoordinator, SimJournal, SimProvider, SimStore};
use crate::tally::Event;
use crate::world::World;

/// How long a command that has its answer goes on with what it began, at most: it may be told to end at once.
const PATIENCE_MAX_MS: u64 = 3_000;

/// Starts the process on that host that stays: a server, or a program that asks now and then.
pub(crate) fn boot(world: &Arc<World>, host: usize) {
    let at = world.at();
    let (owner, seed, has_background) = {
        let mut state = world.lock();
        if state.hosts[host].running.is_some() {
            return;
        }
        state.incarnations += 1;
        let seed = state.dice.next();
        (OwnerId::from_i64(state.incarnations), seed, state.hosts[host].has_background)
    };
    let seat = Seat { world: Arc::clone(world), host, owner };
    let broker = Broker::new(ports(world, &seat, seed), options());
    {
        let mut state = world.lock();
        let host = &mut state.hosts[host];
        host.running = Some((owner, broker.clone()));
        host.booted_at = at;
        host.paused_until = Duration::ZERO;
    }
    world.tell(Some(host), None, format!("up, as process {}", owner.as_i64()));
    if has_background {
        broker.run_background();
    } else {
        // Someone who listens to events, as a server's door does.
        drop(broker.events());
        let seat_broker = broker;
        tokio::spawn(async move { drop(seat_broker.recover().await) });
    }
}

fn ports(world: &Arc<World>, seat: &Seat, seed: u64) -> Ports {
    Ports {
        store: Arc::new(SimStore::new(seat)),
        coordinator: Arc::new(SimCoordinator(seat.clone())),
        provider: Arc::new(SimProvider(seat.clone())),
        courier: Arc::new(RecordingCourier::default()),
        profiles: Arc::clone(&world.profiles) as _,
        journal: Arc::new(BentJournal::new(world.mutant, SimJournal(seat.clone()))),
        clock: Arc::new(SimClock(seat.clone())),
        entropy: Arc::new(SeededEntropy::new(seed)),
        hasher: world.hasher.clone(),
    }
}

/// Runs a command on a host that is up: a process of its own over the host's journal. It asks one question, goes on for a
/// while with what it began, and ends; what the store did not take by then is in the journal, and nowhere else.
pub(crate) async fn command(world: Arc<World>) {
    let (host, owner, seed) = {
        let mut state = world.lock();
        let Some(host) = state.some_host_up() else { return };
        state.incarnations += 1;
        let owner = OwnerId::from_i64(state.incarnations);
        state.hosts[host].commands.insert(owner);
        state.tally.count(Event::Command);
        (host, owner, state.dice.next())
    };
    let seat = Seat { world: Arc::clone(&world), host, owner };
    let broker = Broker::new(ports(&world, &seat, seed), options());
    world.tell(Some(host), None, format!("a command begins, as process {}", owner.as_i64()));
    if let Some(caller) = Caller::at(&world, host, owner, broker.clone()) {
        caller.run().await;
    }
    let patience = world.lock().dice.millis(0, PATIENCE_MAX_MS);
    broker.shutdown(patience).await;
    seat.held().await;
    end(&world, host, owner, "ends");
}

fn end(world: &World, host: usize, owner: OwnerId, how: &str) {
    world.check();
    let mut state = world.lock();
    state.hosts[host].commands.remove(&owner);
    state.ledger.died(owner);
    if state.ledger.is_left_by(owner) {
        state.tally.count(Event::CommandLeft);
    }
    drop(state);
    world.tell(Some(host), None, format!("the command of process {} {how}", owner.as_i64()));
}

/// A command with an answer that its journal has, and the store has not: one in a few ends there, as where the store is down.
pub(crate) fn may_leave(seat: &Seat) {
    let leaves = {
        let mut state = seat.world.lock();
        let is_command = state.hosts[seat.host].commands.contains(&seat.owner);
        is_command && !state.is_calm && state.plan.commands > 60 && state.dice.chance(400)
    };
    if leaves {
        end(&seat.world, seat.host, seat.owner, "DIES with its answer in the journal");
    }
}

/// Kills that process: the one that stays, and everything else on that host with it; or a command alone.
pub(crate) fn kill(seat: &Seat, why: &str) {
    let is_command = seat.world.lock().hosts[seat.host].commands.contains(&seat.owner);
    if is_command {
        end(&seat.world, seat.host, seat.owner, &format!("DIES {why}"));
    } else {
        crash(&seat.world, seat.host, why);
    }
}

/// Kills the process on that host. It comes back after a while; rarely on a new disk.
fn crash(world: &Arc<World>, host: usize, why: &str) {
    let (down, disk_lost) = {
        let mut state = world.lock();
        let Some((owner, _broker)) = state.hosts[host].running.take() else { return };
        let commands = std::mem::take(&mut state.hosts[host].commands);
        for process in commands.into_iter().chain([owner]) {
            state.ledger.died(process);
        }
        state.tally.count(Event::Crash);
        if world.holds_claim(owner) {
            state.tally.count(Event::CrashInClaim);
        }
        let rate = state.plan.disk_lost;
        let disk_lost = state.dice.chance(rate);
        if disk_lost {
            state.tally.count(Event::DiskLost);
            state.hosts[host].journal = MemoryJournal::default();
            state.ledger.disk_lost(host);
        }
        let long = if state.dice.chance(150) { 240_000 } else { 20_000 };
        (state.dice.millis(100, long), disk_lost)
    };
    let disk = if disk_lost { ", its disk is destroyed" } else { "" };
    world.tell(Some(host), None, format!("DIES {why}{disk}, for {} ms", down.as_millis()));
    let world = Arc::clone(world);
    tokio::spawn(async move {
        tokio::time::sleep(down).await;
        boot(&world, host);
    });
}

/// Stops that host for a while: none of its steps goes on.
pub(crate) fn pause(world: &Arc<World>, host: usize, time: Duration) {
    let at = world.at();
    {
        let mut state = world.lock();
        state.hosts[host].paused_until = at + time;
        state.tally.count(Event::Pause);
        let owner = state.hosts[host].running.as_ref().map(|(owner, _)| *owner);
        if time > CLAIM_LIFE && owner.is_some_and(|owner| world.holds_claim(owner)) {
            state.tally.count(Event::PausePastExpiry);
        }
    }
    world.tell(Some(host), None, format!("PAUSED for {} ms", time.as_millis()));
}
