//! Two hosts on one store, one strict provider, and what every host has to see in the end.
//!
//! Where the store is a file, both are processes on the same folder.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use jiff::Timestamp;
use keyherd_adapters::testing::PrivatePostgres;
use serde_json::Value;

use super::super::relay::Relay;
use super::super::report::Row;
use super::super::stage::{Step, new_token, verify_audit};
use super::super::tally::{Told, all, word, words};
use crate::place::{Place, redis};
use crate::provider::{Provider, access_token};
use crate::running::{Running, now, until_some};
use crate::sandbox::{Sandbox, in_seconds, until};

/// Every kind of store.
pub(super) const PLACES: [Place; 3] = [Place::Sqlite, Place::Postgres, Place::PostgresAndRedis];

/// An owner's time to come back with its answer, so short that a case takes seconds. The last section has more.
const CONFIG: &str = "[background]\nenabled = false\n\
     [refresh]\nforced_apart_seconds = 0.01\nprovider_timeout_seconds = 1\nconnect_timeout_seconds = 1\n\
     owner_recovery_seconds = 2\n\
     [postgres]\n";
/// Where others wait for a claim's end: as short as an answer's time allows, which is 7/8 of it at most. Redis has all the
/// time that a busy machine needs.
const SHORT_LIFE: &str = "claim_life_seconds = 2.5\n\
     [redis]\nanswer_timeout_milliseconds = 2000\ncopy_timeout_milliseconds = 2000\n";
/// Where a host has lost a server: it does not wait for that long, and its claim stands meanwhile.
const IMPATIENT: &str = "claim_life_seconds = 10\nconnect_timeout_seconds = 1\nqueue_timeout_seconds = 1\n\
     statement_timeout_seconds = 0.5\nanswer_margin_seconds = 0.2\n";
/// Cases at once: most of the time they wait for a claim's end.
pub(super) const LANES: usize = 6;
/// Who asks while a host is struck, and who asks afterwards.
pub(super) const WAITERS: usize = 3;
pub(super) const NEWCOMERS: usize = 3;
/// How long a claim's owner has to come back, once others know that the claim has ended.
pub(super) const RECOVERY: Duration = Duration::from_secs(2);
/// By how much the clocks of store, program and test may differ.
const SKEW: Duration = Duration::from_millis(50);

/// The hosts.
pub(super) struct Hosts {
    /// Which case this is, where it fails.
    name: String,
    pub(super) place: Place,
    pub(super) provider: Provider,
    database: Option<String>,
    /// The one that is struck.
    pub(super) here: Sandbox,
    /// The other one. `None`: the store is a file.
    there: Option<Sandbox>,
}

impl Hosts {
    /// `acme` is imported, and its access token has ended.
    pub(super) fn new(place: Place, step: &Step, what: &str) -> Self {
        let name = format!("{} on {place:?}, {what}", step.point);
        let config = format!("{CONFIG}{SHORT_LIFE}");
        let (here, provider) = (Sandbox::new(), Provider::new());
        let is_fleet = place != Place::Sqlite;
        let database = is_fleet.then(|| PrivatePostgres::shared().unwrap().database().unwrap());
        if let Some(database) = &database {
            here.set("KEYHERD_DATABASE_URL", database);
        }
        if place == Place::PostgresAndRedis {
            here.set("KEYHERD_REDIS_URL", &redis().url());
        }
        here.configure(&config);
        here.import("acme", &provider, &in_seconds(0));
        let there = is_fleet.then(|| {
            let there = here.peer();
            there.configure(&config);
            there
        });
        Self { name, place, provider, database, here, there }
    }

    /// From now on this host's way to the store leads through a relay.
    pub(super) fn store_through_relay(&self) -> Relay {
        let relay = Relay::before(PrivatePostgres::shared().unwrap().port());
        self.here.set("KEYHERD_DATABASE_URL", &relay.through(self.database.as_ref().unwrap()));
        self.here.configure(&format!("{CONFIG}{IMPATIENT}"));
        relay
    }

    /// From now on this host's way to Redis leads through a relay.
    pub(super) fn redis_through_relay(&self) -> Relay {
        let relay = Relay::before(redis().port());
        self.here.set("KEYHERD_REDIS_URL", &relay.through(&redis().url()));
        self.here.configure(&format!("{CONFIG}{IMPATIENT}"));
        relay
    }

    /// The host that is not struck.
    pub(super) fn there(&self) -> &Sandbox {
        self.there.as_ref().unwrap_or(&self.here)
    }

    /// Starts a command here that is held at the step until [`Self::release`].
    pub(super) fn held(&self, step: &Step) -> Running {
        let crash_at = format!("{}:until:{}", step.point, self.gate().display());
        let mut owner = Running::start(&self.here, &["token", "acme"], "", Some(&crash_at));
        owner.reaches(step.point);
        owner
    }

    /// Lets the held command go on, once it runs.
    pub(super) fn release(&self) {
        File::create(self.gate()).unwrap();
    }

    fn gate(&self) -> PathBuf {
        self.here.path("go")
    }

    /// When the claim that stands ends. `None`: none stands, or the store is a file, where claims do not end.
    pub(super) fn claim_until(&self) -> Option<Timestamp> {
        let statement = "SELECT claim_until FROM chains WHERE claim_id IS NOT NULL";
        let psql = ["-X", "-At", "-d", self.database.as_ref()?, "-c", statement];
        let told = Command::new("psql").args(psql).output().unwrap();
        assert!(told.status.success(), "{told:?}");
        let millis = String::from_utf8(told.stdout).unwrap().trim().parse().ok()?;
        Some(Timestamp::from_millisecond(millis).unwrap())
    }

    /// Asks over there, in that many processes at once, and says what they were told and when the first one was.
    pub(super) fn ask(&self, count: usize) -> (Vec<Told>, Timestamp) {
        let mut asking: Vec<_> = (0..count).map(|_| Running::token(self.there())).collect();
        let first = until_some("somebody is told", || asking.iter_mut().any(Running::is_over).then(now));
        let ended: Vec<_> = asking.into_iter().map(Running::end).collect();
        (all(&ended), first)
    }

    /// Asks over there after somebody was told that the outcome is unknown: as long as that is said, the provider is not
    /// asked; and unless the owner comes back, it is said for the owner's time, which begins no sooner than the claim ended.
    pub(super) fn ask_when_settled(&self, count: usize, calls: usize, stood_until: Timestamp) -> Vec<Told> {
        let told = self.ask_when_known(count);
        let is_probed = self.provider.calls() > calls;
        assert!(
            !is_probed || now() + SKEW >= stood_until + RECOVERY,
            "{}: the owner has its time",
            self.name
        );
        told
    }

    /// Asks over there when nobody is told any more that the outcome is unknown.
    pub(super) fn ask_when_known(&self, count: usize) -> Vec<Told> {
        until("the outcome is known", || Told::from(&self.there().token(&["acme"])) != Told::Uncertain);
        self.ask(count).0
    }

    /// Waits for the end of a command that was held here, and gives what it was told.
    pub(super) fn told(&self, owner: Running) -> Told {
        let mut ran = owner.end();
        // Beside what it says to its caller there are the crash point and the log.
        let lines: Vec<_> = ran.err.lines().filter(|line| line.starts_with("keyherd: ")).collect();
        ran.err = lines.join("\n");
        Told::from(&ran)
    }

    pub(super) fn show(&self) -> Value {
        self.there().run(&["--json", "cred", "show", "acme"]).ok().json()
    }

    /// Nobody was told anything before the claim had ended. (What a dead host had left in Redis is found before.)
    pub(super) fn no_sooner(&self, first: Timestamp, until: Option<Timestamp>) {
        if let Some(until) = until {
            assert!(
                first + SKEW >= until,
                "{}: told at {first}, and the claim stood until {until}",
                self.name
            );
        }
    }

    /// All of them were told that.
    #[track_caller]
    pub(super) fn all_were_told(&self, told: &[Told], what: &Told) {
        let is_so = !told.is_empty() && told.iter().all(|told| told == what);
        assert!(is_so, "{}: {told:?}, not {what:?}", self.name);
    }

    /// What the provider saw.
    #[track_caller]
    fn check_counts(&self, calls: usize, reuses: usize) {
        assert_eq!((self.provider.calls(), self.provider.reuse()), (calls, reuses), "{}", self.name);
    }

    /// What every host is told now.
    #[track_caller]
    fn everywhere(&self, what: &Told) {
        for host in [&self.here, self.there()] {
            self.all_were_told(&[Told::from(&host.token(&["acme"]))], what);
        }
    }

    /// What the provider saw, and what every host has now: that generation, and a chain that goes on.
    pub(super) fn check_healthy(&self, calls: usize) {
        self.check_counts(calls, 0);
        self.everywhere(&new_token());
        verify_audit(self.there());
        let shown = self.show();
        assert_eq!(shown["generation"], 1, "{shown}");
        self.there().run(&["cred", "refresh", "acme"]).ok();
        self.check_counts(calls + 1, 0);
        self.everywhere(&Told::Token(access_token("acme", 2)));
    }

    /// The provider was asked once more, refused, and every host says so.
    pub(super) fn check_lost(&self) {
        self.check_counts(2, 1);
        self.everywhere(&Told::Lost);
        self.check_counts(2, 1);
        verify_audit(self.there());
    }

    /// The same, where the host that died may have the answer in its journal and was not asked yet.
    pub(super) fn check_lost_there(&self) {
        self.check_counts(2, 1);
        self.all_were_told(&[Told::from(&self.there().token(&["acme"]))], &Told::Lost);
        verify_audit(self.there());
    }

    /// The one token was spent twice. What was received is served, until the provider is asked again.
    pub(super) fn check_reused(&self) {
        self.check_counts(2, 1);
        self.everywhere(&new_token());
        verify_audit(self.there());
        let ran = self.there().run(&["cred", "refresh", "acme"]);
        assert_eq!(
            (ran.code, self.provider.calls()),
            (3, 3),
            "the provider has revoked the account: {ran:?}"
        );
    }

    /// A row of a table; taken before a check goes on with the chain.
    pub(super) fn row(
        &self,
        point: &'static str,
        death: &str,
        own: Option<&Told>,
        told: &[Vec<Told>],
        took_over: Option<Duration>,
    ) -> Row {
        let old = access_token("acme", 0);
        let told: Vec<_> = told.iter().map(|told| words(told, &old)).collect();
        let own = own.map_or(String::new(), |own| format!("; itself {}", word(own, &old)));
        Row {
            place: self.place,
            point,
            death: death.into(),
            callers: told.join(", then ") + &own,
            took_over,
            calls: self.provider.calls(),
            reuses: self.provider.reuse(),
        }
    }
}
