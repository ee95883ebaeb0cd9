//! The clock with a server whose answers are made up, and with a real one.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use super::*;
use crate::postgres::{Target, WireOptions};
use crate::system::SystemClock;
use crate::testing::PrivatePostgres;

const EVERY: Duration = Duration::from_secs(30);
const HOUR_MS: i64 = 3_600_000;

/// A machine up since a while whose wall clock says what it likes, and a server, on one time line of milliseconds.
#[derive(Default)]
struct Line {
    passed: AtomicU64,
    server_ahead: AtomicI64,
    round_trip: AtomicU64,
    asked: AtomicU64,
    silent: std::sync::atomic::AtomicBool,
}

impl Line {
    fn pass(&self, millis: u64) {
        self.passed.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for Line {
    fn now(&self) -> Timestamp {
        panic!("the wall clock is not read")
    }

    fn uptime(&self) -> Duration {
        Duration::from_millis(self.passed.load(Ordering::SeqCst))
    }
}

#[async_trait]
impl ClockSource for Line {
    async fn server_now(&self) -> Result<Timestamp, WireError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let round_trip = self.round_trip.load(Ordering::SeqCst);
        self.pass(round_trip / 4);
        let ahead = self.server_ahead.load(Ordering::SeqCst);
        let now = ahead + i64::try_from(self.passed.load(Ordering::SeqCst)).unwrap();
        self.pass(round_trip - round_trip / 4);
        if self.silent.load(Ordering::SeqCst) {
            return Err(WireError::TimedOut("silent"));
        }
        Ok(Timestamp::from_millis(now))
    }
}

async fn following(line: &Arc<Line>) -> Result<ServerClock, WireError> {
    let options = ClockOptions { every: EVERY, ..ClockOptions::default() };
    ServerClock::follow(line.clone(), line.clone(), options).await
}

/// Waits for the next answer, on tokio's paused time.
async fn asked_again(line: &Line) {
    let before = line.asked.load(Ordering::SeqCst);
    while line.asked.load(Ordering::SeqCst) == before {
        tokio::time::advance(EVERY).await;
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn it_goes_with_the_time_since_boot_and_follows_what_the_server_says() {
    let line = Arc::new(Line::default());
    line.server_ahead.store(1_000_000, Ordering::SeqCst);
    let clock = following(&line).await.unwrap();
    line.pass(5_000);
    assert_eq!(clock.now().as_millis(), 1_005_000);
    line.server_ahead.store(1_000_000 + HOUR_MS, Ordering::SeqCst);
    assert_eq!(clock.now().as_millis(), 1_005_000);
    asked_again(&line).await;
    assert_eq!(clock.now().as_millis(), 1_005_000 + HOUR_MS);
    line.silent.store(true, Ordering::SeqCst);
    asked_again(&line).await;
    line.pass(1_000);
    assert_eq!(clock.now().as_millis(), 1_006_000 + HOUR_MS);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_blur_a_fast_one() {
    let line = Arc::new(Line::default());
    line.server_ahead.store(500, Ordering::SeqCst);
    let clock = following(&line).await.unwrap();
    assert_eq!(clock.error(), Duration::ZERO);
    line.round_trip.store(4_000, Ordering::SeqCst);
    asked_again(&line).await;
    assert_eq!(clock.now().as_millis(), 500 + 4_000);
}

#[tokio::test(start_paused = true)]
async fn the_error_is_half_a_round_trip_and_no_answer_is_no_clock() {
    let line = Arc::new(Line::default());
    line.round_trip.store(400, Ordering::SeqCst);
    let clock = following(&line).await.unwrap();
    assert_eq!(clock.error(), Duration::from_millis(200));
    let truth = i64::try_from(line.passed.load(Ordering::SeqCst)).unwrap();
    assert!(clock.now().as_millis().abs_diff(truth) <= 200);
    line.silent.store(true, Ordering::SeqCst);
    assert_eq!(following(&line).await.err(), Some(WireError::TimedOut("silent")));
}

/// This machine, with a wall clock that is an hour fast.
struct Fast;

impl Clock for Fast {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Duration::from_secs(3_600)
    }

    fn uptime(&self) -> Duration {
        SystemClock.uptime()
    }
}

#[tokio::test]
async fn a_real_server_s_time_is_shown_where_the_machine_s_is_wrong_by_an_hour() {
    let url = PrivatePostgres::shared().unwrap().url("postgres");
    let wire = Wire::new(Target::parse(&url, None).unwrap(), WireOptions::default());
    let clock = ServerClock::follow(Arc::new(wire), Arc::new(Fast), ClockOptions::default()).await.unwrap();
    // A busy machine may stand still between two looks.
    let allowed = i64::try_from(clock.error().as_millis()).unwrap() + 2_000;
    let wrong = (clock.now().as_millis() - SystemClock.now().as_millis()).abs();
    assert!(wrong <= allowed, "{wrong} ms, {:?}", clock.error());
    assert!((clock.lead_millis() + HOUR_MS).abs() <= allowed);
}
