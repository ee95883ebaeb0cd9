//! PostgreSQL or Redis is killed with signal 9 under load, and started again: nobody is told anything wrong meanwhile, no
//! token is spent twice, and everybody is served afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use keyherd_adapters::testing::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use serde_json::json;

use super::report::publish_load;
use super::stage::{since, verify_audit};
use crate::http::{Answer, Request};
use crate::provider::{Mood, Provider, access_token};
use crate::running::{now, until_past};
use crate::sandbox::{Sandbox, in_seconds, until};
use crate::serving::Serving;

const SERVERS: usize = 4;
const CALLERS: usize = 160;
const ACCOUNTS: usize = 32;
/// Each caller asks that often: together more often than accounts change.
const PACE: Duration = Duration::from_millis(200);
/// Access tokens live so short that several generations pass in each part of the play.
const LIFETIME_SECONDS: i64 = 3;
const BEFORE: Duration = Duration::from_secs(2);
const OUTAGE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(3);
/// Answers that the provider holds back until the server is dead.
const UNDER_WAY_MIN: usize = 8;
/// What may be told while a server is away.
const EXCUSES: [&str; 2] = ["store_unavailable", "timeout"];
/// And when claims ended meanwhile, until their owners, who are alive, have committed what they had received.
const DOUBT: &str = "uncertain";

/// Notices, sweeps and connections come back quickly. An owner has longer to bring an answer than it rests between two
/// tries to commit it, which is 5 s at most.
const CONFIG: &str = "[background]\ninterval_seconds = 0.2\n\
     [refresh]\nmin_valid_seconds = 1\nrefresh_ahead_seconds = 1\nforced_apart_seconds = 0.01\n\
     provider_timeout_seconds = 2\nconnect_timeout_seconds = 2\nowner_recovery_seconds = 8\n\
     [listen]\nreconnect_max_seconds = 0.5\n\
     [postgres]\nconnect_timeout_seconds = 2\nqueue_timeout_seconds = 2\nstatement_timeout_seconds = 2\n\
     answer_margin_seconds = 0.5\n";
/// Longer than the outage, and shorter.
const LONG_LIFE: &str = "claim_life_seconds = 20\n";
const SHORT_LIFE: &str = "claim_life_seconds = 4\n";

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Postgres,
    Redis,
    Both,
}

struct Case {
    victim: Victim,
    life: &'static str,
    words: &'static str,
}

#[test]
fn servers_are_killed_under_load() {
    let case = |victim, life, words| Case { victim, life, words };
    let cases = [
        case(Victim::Redis, LONG_LIFE, "Redis"),
        case(Victim::Postgres, LONG_LIFE, "PostgreSQL"),
        case(Victim::Both, LONG_LIFE, "PostgreSQL and Redis"),
        case(Victim::Both, SHORT_LIFE, "PostgreSQL and Redis, for longer than claims live"),
    ];
    let rows: Vec<_> = cases.iter().map(|case| (case.words, play(case))).collect();
    publish_load("13-load.md", &rows);
}

/// What was seen with one victim.
pub(super) struct Seen {
    /// Requests whose answers were held back when it was killed.
    pub(super) under_way: usize,
    pub(super) load: Load,
    /// From the restart until every server served every account.
    pub(super) healed_in: Duration,
    pub(super) calls: usize,
    pub(super) generations: usize,
    pub(super) reuses: usize,
}

/// What the callers were told: how many got a token, and how many got which code instead.
#[derive(Debug, Clone, Default)]
pub(super) struct Load {
    pub(super) served: usize,
    pub(super) refused: BTreeMap<String, usize>,
}

fn play(case: &Case) -> Seen {
    let victim = case.victim;
    let (mut stores, provider) = (Stores::start(), Provider::living(LIFETIME_SECONDS));
    let hosts = stores.hosts(case.life, &provider);
    let servers: Vec<_> = hosts.iter().map(Serving::start).collect();
    let callers = Callers::start(&servers);
    until_past(now() + BEFORE);
    let called = provider.calls();
    provider.feels(Mood::Holds);
    provider.wait_for_calls(called + UNDER_WAY_MIN);
    stores.kill(victim);
    let under_way = provider.calls() - called;
    provider.lets_go();
    until_past(now() + OUTAGE);
    stores.restart(victim);
    let restarted_at = now();
    servers.iter().for_each(until_it_serves);
    let healed_in = since(restarted_at);
    until_past(restarted_at + AFTER);
    let load = callers.stop();
    for server in servers {
        assert_eq!(server.end().code, 0);
    }
    assert!(victim != Victim::Redis || load.refused.is_empty(), "Redis is not needed: {load:?}");
    assert!(case.life == SHORT_LIFE || !load.refused.contains_key(DOUBT), "nothing is in doubt: {load:?}");
    let generations = generations(&hosts[0]);
    let (calls, reuses) = (provider.calls(), provider.reuse());
    assert_eq!((calls, reuses), (generations, 0), "one call for each generation, and none is lost");
    verify_audit(&hosts[0]);
    Seen { under_way, load, healed_in, calls, generations, reuses }
}

/// The servers that are killed.
struct Stores {
    postgres: PrivatePostgres,
    redis: PrivateRedis,
}

impl Stores {
    /// What PostgreSQL has committed it has on its disk.
    fn start() -> Self {
        let settings = vec!["max_connections = 200".into()];
        let options = PostgresOptions { fsync: true, settings, ..PostgresOptions::default() };
        let postgres = PrivatePostgres::start(options).unwrap();
        Self { postgres, redis: PrivateRedis::start(RedisOptions::default()).unwrap() }
    }

    /// Hosts on one store, in which the access tokens of all accounts have ended.
    fn hosts(&self, life: &str, provider: &Provider) -> Vec<Sandbox> {
        let first = Sandbox::new();
        first.set("KEYHERD_DATABASE_URL", &self.postgres.database().unwrap());
        first.set("KEYHERD_REDIS_URL", &self.redis.url());
        (0..ACCOUNTS).for_each(|account| first.import(&name(account), provider, &in_seconds(0)));
        let peers: Vec<_> = (1..SERVERS).map(|_| first.peer()).collect();
        let hosts: Vec<_> = std::iter::once(first).chain(peers).collect();
        hosts.iter().for_each(|host| host.configure(&format!("{CONFIG}{life}")));
        hosts
    }

    fn kill(&mut self, victim: Victim) {
        if victim != Victim::Redis {
            self.postgres.kill();
        }
        if victim != Victim::Postgres {
            self.redis.kill();
        }
    }

    fn restart(&mut self, victim: Victim) {
        if victim != Victim::Redis {
            self.postgres.restart().unwrap();
        }
        if victim != Victim::Postgres {
            self.redis.restart().unwrap();
        }
    }
}

fn until_it_serves(server: &Serving) {
    for account in 0..ACCOUNTS {
        let request = server.ask(&json!({"name": name(account)}));
        until("it serves again", || request.send().unwrap().status == 200);
    }
}

fn name(account: usize) -> String {
    format!("a{account}")
}

/// The sum of all generations in the store.
fn generations(host: &Sandbox) -> usize {
    let generation = |account| {
        let shown = host.run(&["--json", "cred", "show", &name(account)]).ok().json();
        usize::try_from(shown["generation"].as_u64().unwrap()).unwrap()
    };
    (0..ACCOUNTS).map(generation).sum()
}

/// Callers on one thread, each of which asks one server for one account after the other.
struct Callers {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Load>,
}

impl Callers {
    fn start(servers: &[Serving]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let request = |server: &Serving, account| server.ask(&json!({"name": name(account)}));
        let requests = |server| (0..ACCOUNTS).map(|account| (account, request(server, account))).collect();
        let requests: Vec<Vec<(usize, Request)>> = servers.iter().map(requests).collect();
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let callers: Vec<_> = (0..CALLERS)
                    .map(|caller| {
                        let requests = requests[caller % SERVERS].clone();
                        tokio::spawn(call(caller, requests, Arc::clone(&told)))
                    })
                    .collect();
                let mut all = Load::default();
                for caller in callers {
                    all.add(caller.await.unwrap());
                }
                all
            })
        });
        Self { stop, thread }
    }

    fn stop(self) -> Load {
        self.stop.store(true, Ordering::Release);
        self.thread.join().unwrap()
    }
}

/// Until it is told to stop.
async fn call(caller: usize, requests: Vec<(usize, Request)>, stop: Arc<AtomicBool>) -> Load {
    let (mut load, mut pace) = (Load::default(), tokio::time::interval(PACE));
    let from = caller * 7 % ACCOUNTS;
    for (account, request) in requests.iter().cycle().skip(from) {
        pace.tick().await;
        if stop.load(Ordering::Acquire) {
            break;
        }
        let asked_at = now();
        load.count(*account, asked_at, &request.clone().send_async().await.unwrap());
    }
    load
}

impl Load {
    /// A token must be this account's, and must not have ended when it was asked for.
    fn count(&mut self, account: usize, asked_at: jiff::Timestamp, answer: &Answer) {
        let body = answer.json();
        if answer.status != 200 {
            let code = body["code"].as_str().unwrap_or("no code").to_owned();
            assert!(EXCUSES.contains(&code.as_str()) || code == DOUBT, "{answer:?}");
            *self.refused.entry(code).or_default() += 1;
            return;
        }
        let token = body["access_token"].as_str().unwrap();
        let mine = access_token(&name(account), 0);
        let mine = mine.strip_suffix('0').unwrap();
        assert!(token.starts_with(mine), "{token} is not of account {account}");
        let ends_at: jiff::Timestamp = body["expires_at"].as_str().unwrap().parse().unwrap();
        assert!(ends_at > asked_at, "{token} had ended");
        self.served += 1;
    }

    fn add(&mut self, other: Self) {
        self.served += other.served;
        for (code, count) in other.refused {
            *self.refused.entry(code).or_default() += count;
        }
    }
}
