//! What people and machines do to each other while hosts work: logins, switches, outages, failovers, wrong clocks.

use std::sync::Arc;
use std::time::Duration;

use keyherd_core::broker::{Broker, ConnectMode, ManageError, NewTokens};
use keyherd_core::credential::{Amendment, Draft, DraftFields};
use keyherd_core::ids::{ChainId, Name};
use keyherd_core::ports::Clock;
use keyherd_core::ports::store::NamedClient;
use keyherd_core::secret::Secret;

use crate::accounts::Habit;
use crate::callers::{Caller, actor};
use crate::hosts;
use crate::plan::TOKEN_LIFE;
use crate::tally::Event;
use crate::world::{Life, World};

/// A failover loses the commits of this long at most.
const LOST_MAX: Duration = Duration::from_secs(6);
/// Tries of a person whose command failed.
const TRIES: usize = 200;

/// The credentials of every run: name, chain, and how their provider behaves.
pub(crate) const CREDENTIALS: [(&str, Option<&str>, Habit); 6] = [
    ("graceful", None, Habit::Graceful),
    ("never", None, Habit::Never),
    ("strict-a", None, Habit::Strict),
    ("strict-b", None, Habit::Strict),
    ("team-1", Some("team"), Habit::Strict),
    ("team-2", Some("team"), Habit::Strict),
];

/// One throw of the dice: who asks, and what happens beside it.
pub(crate) fn happen(world: &Arc<World>) {
    if world.lock().dice.chance(600) {
        let crowd = 1 + world.lock().dice.below(6);
        for _ in 0..crowd {
            if let Some(caller) = Caller::random(world) {
                tokio::spawn(caller.run());
            }
        }
    }
    let plan = world.lock().plan.clone();
    if world.lock().dice.chance(plan.commands) {
        tokio::spawn(hosts::command(Arc::clone(world)));
    }
    let throw = |rate: u32| world.lock().dice.chance(rate);
    if throw(plan.people) {
        meddle(world);
    }
    if throw(plan.revoked) {
        revoke(world);
    }
    if throw(plan.bad_client) {
        change_client(world);
    }
    if throw(plan.store_down) {
        let (at, mut state) = (world.at(), world.lock());
        let longest = if state.dice.chance(200) { 90_000 } else { 10_000 };
        let time = state.dice.millis(300, longest);
        state.store_down_until = at + time;
        state.tally.count(Event::StoreDown);
        drop(state);
        world.tell(None, None, format!("THE STORE IS DOWN for {} ms", time.as_millis()));
    }
    if throw(plan.cut_off) {
        let (at, mut state) = (world.at(), world.lock());
        let host = state.dice.below(plan.hosts);
        let longest = if state.dice.chance(200) { 120_000 } else { 20_000 };
        let time = state.dice.millis(300, longest);
        state.hosts[host].cut_until = at + time;
        state.tally.count(Event::CutOff);
        drop(state);
        world.tell(Some(host), None, format!("CUT OFF from the store for {} ms", time.as_millis()));
    }
    if throw(plan.clock_step) {
        let mut state = world.lock();
        let host = state.dice.below(plan.hosts);
        let most = if state.dice.chance(300) { 240_000 } else { 4_000 };
        let skew = i64::try_from(state.dice.below(most)).unwrap_or(0) - i64::try_from(most / 2).unwrap_or(0);
        state.hosts[host].skew_ms = skew;
        state.has_skewed |= plan.own_clocks;
        state.tally.count(Event::ClockWrong);
        if skew.abs() > 60_000 {
            state.tally.count(Event::ClockWrongByMinutes);
        }
        drop(state);
        world.tell(Some(host), None, format!("ITS CLOCK is {skew} ms off"));
    }
    if throw(plan.coordinator_flushed) {
        let mut state = world.lock();
        (state.turns, state.copies) = Default::default();
        state.tally.count(Event::CoordinatorFlushed);
        drop(state);
        world.tell(None, None, "THE COORDINATOR forgets everything".into());
    }
    if plan.failover > 0 {
        fail_over(world, throw(plan.failover));
    }
}

/// Keeps a standby that lags behind; at times it takes over.
fn fail_over(world: &World, is_time: bool) {
    let at = world.at();
    let backup = world.lock().backup.take();
    let is_old = backup.as_ref().is_none_or(|(then, _)| *then + LOST_MAX < at);
    match backup {
        Some((then, backup)) if is_time && !is_old => {
            let before = revisions(world);
            world.installation.restore(backup);
            let lost = at.saturating_sub(then);
            let has_lost = before != revisions(world);
            let mut state = world.lock();
            state.tally.count(Event::Failover);
            if has_lost {
                state.tally.count(Event::CommitLost);
            }
            let generation = |chain| world.installation.chain(chain).map(|(row, _)| row.generation);
            state.ledger.failed_over((then, at), generation);
            // Who was removed since then is there again.
            for life in state.names.values_mut().flatten() {
                life.until = life.until.filter(|until| *until < then);
            }
            drop(state);
            world.tell(
                None,
                None,
                format!("THE STORE FAILS OVER: the last {} ms are lost", lost.as_millis()),
            );
        }
        kept => {
            let kept = kept.filter(|_| !is_old);
            world.lock().backup = kept.or_else(|| Some((at, world.installation.backup())));
        }
    }
}

fn revisions(world: &World) -> Vec<(ChainId, u64)> {
    world.installation.chains().iter().map(|(row, _)| (row.id, row.revision)).collect()
}

fn some_host(world: &World) -> Option<Broker> {
    let mut state = world.lock();
    let up: Vec<Broker> = state
        .hosts
        .iter()
        .filter_map(|host| host.running.as_ref().map(|(_, broker)| broker.clone()))
        .collect();
    state.dice.pick(&up).cloned()
}

fn some_credential(world: &World) -> (Name, Option<&'static str>, Habit) {
    let mut state = world.lock();
    let (name, chain, habit) = CREDENTIALS[state.dice.below(CREDENTIALS.len())];
    let Ok(name) = Name::parse(name) else { unreachable!("the names above are names") };
    (name, chain, habit)
}

fn meddle(world: &Arc<World>) {
    let Some(broker) = some_host(world) else { return };
    let (name, chain, habit) = some_credential(world);
    let what = world.lock().dice.below(6);
    let world = Arc::clone(world);
    tokio::spawn(async move {
        match what {
            0..=2 => log_in_again(&world, &broker, &name).await,
            3 | 4 => switch(&world, &broker, &name).await,
            _ if chain.is_none() => replace(&world, &broker, &name, habit).await,
            _ => {}
        }
    });
}

fn count(world: &World, name: &Name, event: Event, in_flight: Event) {
    world.count(event);
    if world.is_under_way(name) {
        world.count(in_flight);
    }
}

/// A login at the provider, whose tokens are handed in.
async fn log_in_again(world: &World, broker: &Broker, name: &Name) {
    let at = world.at();
    let tokens = {
        let mut state = world.lock();
        let Some(life) = state.names.get(name).and_then(|lives| lives.last()).cloned() else { return };
        let (access, refresh) = state.accounts.log_in(&life.account, life.habit, at);
        let hash = world.hash(&refresh);
        state.ledger.names.insert(hash, refresh.clone());
        NewTokens {
            secret: None,
            access_token: Some(Secret::from(access)),
            refresh_token: Some(Secret::from(refresh)),
            expires_at: Some(world.clock.now() + TOKEN_LIFE),
        }
    };
    world.tell(None, world.chain_of(name), format!("somebody logs in to {name} again"));
    count(world, name, Event::Reconnect, Event::ReconnectInFlight);
    for _ in 0..3 {
        if broker.reconnect(name, tokens.clone(), &actor()).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn switch(world: &World, broker: &Broker, name: &Name) {
    world.tell(None, world.chain_of(name), format!("somebody switches {name} off, and on again"));
    count(world, name, Event::Disable, Event::DisableInFlight);
    let rest = world.lock().dice.millis(10, 40_000);
    let off = Amendment { disabled: Some(true), ..Amendment::default() };
    let _ = broker.amend(name, off, &actor()).await;
    tokio::time::sleep(rest).await;
    switch_on(world, name).await;
}

/// Switches a credential on, from whatever host can.
pub(crate) async fn switch_on(world: &World, name: &Name) {
    for _ in 0..TRIES {
        let on = Amendment { disabled: Some(false), ..Amendment::default() };
        if let Some(broker) = some_host(world)
            && matches!(
                tokio::time::timeout(Duration::from_secs(5), broker.amend(name, on, &actor())).await,
                Ok(Ok(_))
            )
        {
            return;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

/// Removes a credential, and makes another one of the same name, for another account.
async fn replace(world: &World, broker: &Broker, name: &Name, habit: Habit) {
    world.tell(None, world.chain_of(name), format!("somebody removes {name}, and makes it anew"));
    if broker.remove(name, &actor()).await.is_err() {
        return;
    }
    world.count(Event::Replaced);
    make_sure(world, (name.clone(), None, habit)).await;
}

/// Makes a credential from whatever host can, if it is not there.
pub(crate) async fn make_sure(world: &World, (name, chain, habit): (Name, Option<&str>, Habit)) {
    for _ in 0..TRIES {
        if let Some(broker) = some_host(world) {
            let is_there = async {
                match broker.show(&name).await {
                    Ok(_) => true,
                    Err(ManageError::NotFound { .. }) => {
                        create(world, &broker, (name.clone(), chain, habit)).await
                    }
                    Err(_) => false,
                }
            };
            if let Ok(true) = tokio::time::timeout(Duration::from_secs(5), is_there).await {
                return;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Makes a credential for a new account. `true`: it is there.
pub(crate) async fn create(
    world: &World,
    broker: &Broker,
    (name, chain, habit): (Name, Option<&str>, Habit),
) -> bool {
    let at = world.at();
    let fields = {
        let mut state = world.lock();
        let account = match chain {
            Some(chain) => chain.to_owned(),
            None => format!("{name}#{}", state.names.get(&name).map_or(0, Vec::len)),
        };
        let (access, refresh) = state.accounts.log_in(&account, habit, at);
        let hash = world.hash(&refresh);
        state.ledger.names.insert(hash, refresh.clone());
        let lives = state.names.entry(name.clone()).or_default();
        if let Some(life) = lives.last_mut() {
            life.until.get_or_insert(at);
        }
        lives.push(Life { account, also: Vec::new(), habit, chain: None, until: None });
        DraftFields {
            name: name.to_string(),
            provider: habit.profile().into(),
            access_token: Some(access.into()),
            refresh_token: Some(refresh.into()),
            expires_at: Some(world.clock.now() + TOKEN_LIFE),
            client: Some(app(habit).into()),
            chain: chain.map(str::to_owned),
            ..DraftFields::default()
        }
    };
    let Ok(draft) = Draft::parse(fields) else { return false };
    broker.connect(draft, ConnectMode::Create, &actor()).await.is_ok()
}

pub(crate) fn app(habit: Habit) -> &'static str {
    match habit {
        Habit::Strict => "app-strict",
        Habit::Graceful => "app-graceful",
        Habit::Never => "app-never",
    }
}

/// The account's owner takes the consent back, over there.
fn revoke(world: &World) {
    let (name, _, _) = some_credential(world);
    let Some(chain) = world.chain_of(&name) else { return };
    let Some((row, _)) = world.installation.chain(chain) else { return };
    let Some(token) = row.tokens.refresh_token else { return };
    let mut state = world.lock();
    if let Some(family) = state.accounts.family(token.expose()) {
        family.revoked.get_or_insert("by its owner");
    }
    state.tally.count(Event::Revoked);
    drop(state);
    world.tell(None, Some(chain), format!("the owner of {name} takes the consent back"));
}

/// The client's secret changes over there, and some time later here.
fn change_client(world: &Arc<World>) {
    let (_, _, habit) = some_credential(world);
    let rest = {
        let mut state = world.lock();
        *state.accounts.secrets.entry(app(habit)).or_insert(0) += 1;
        state.tally.count(Event::ClientChanged);
        state.dice.millis(500, 60_000)
    };
    world.tell(None, None, format!("the secret of {} is another one over there", app(habit)));
    let world = Arc::clone(world);
    tokio::spawn(async move {
        tokio::time::sleep(rest).await;
        configure_client(&world, habit).await;
    });
}

/// Says what the client's secret is now, from whatever host can.
pub(crate) async fn configure_client(world: &World, habit: Habit) {
    let Ok(name) = Name::parse(app(habit)) else { return };
    for _ in 0..TRIES {
        let secret = *world.lock().accounts.secrets.entry(app(habit)).or_insert(0);
        let client = NamedClient {
            name: name.clone(),
            provider: habit.profile().into(),
            id: app(habit).into(),
            secret: Some(format!("secret-{secret}").into()),
            block: None,
        };
        if let Some(broker) = some_host(world) {
            let actor = actor();
            let put = broker.put_client(client, &actor);
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(5), put).await {
                return;
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}
