//! Machines that come up, pause, die, lose their disks, and come back.

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::broker::{Broker, Ports};
use keyherd_core::fakes::{MemoryJournal, SeededEntropy};
use keyherd_core::ids::OwnerId;

use crate::mutants::{self, Mutant};
use crate::plan::{CLAIM_LIFE, options};
use crate::ports::{Seat, SimClock, SimCoordinator, SimJournal, SimProvider, SimStore};
use crate::tally::Event;
use crate::world::World;

/// Starts a process on that host.
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
    let journal = SimJournal(seat.clone());
    Ports {
        store: Arc::new(SimStore::new(seat)),
        coordinator: Arc::new(SimCoordinator(seat.clone())),
        provider: Arc::new(SimProvider(seat.clone())),
        profiles: Arc::clone(&world.profiles) as _,
        journal: match world.mutant {
            Some(Mutant::NoJournal) => Arc::new(mutants::ForgetfulJournal(journal)),
            _ => Arc::new(journal),
        },
        clock: Arc::new(SimClock(seat.clone())),
        entropy: Arc::new(SeededEntropy::new(seed)),
        hasher: world.hasher.clone(),
    }
}

/// Kills the process on that host. It comes back after a while; rarely on a new disk.
pub(crate) fn crash(world: &Arc<World>, host: usize, why: &str) {
    let (down, disk_lost) = {
        let mut state = world.lock();
        let Some((owner, _broker)) = state.hosts[host].running.take() else { return };
        state.ledger.died(owner);
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
