//! The server's clock, read here: every host of a fleet judges expiry on the same one, whatever its own says.
//!
//! Owns how far the server's clock is from this machine's time since boot, which goes on while the machine sleeps and is
//! never set. The machine's wall clock is not read for it: it may be wrong by hours, and it may be set at any moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use keyherd_core::ports::Clock;
use keyherd_core::time::{Timestamp, millis};
use tokio::task::AbortHandle;

use super::{Wire, WireError};

/// How a server's clock is followed.
#[derive(Debug, Clone)]
pub struct ClockOptions {
    /// How often it is asked.
    pub every: Duration,
    /// How far two clocks drift apart, in millionths: the worst of usual quartz.
    pub drift_ppm: u32,
}

impl Default for ClockOptions {
    fn default() -> Self {
        Self { every: Duration::from_secs(30), drift_ppm: 200 }
    }
}

/// Who knows what time it is.
#[async_trait]
pub trait ClockSource: Send + Sync + 'static {
    /// The time there, at some moment during the call.
    ///
    /// # Errors
    /// Why it is not known.
    async fn server_now(&self) -> Result<Timestamp, WireError>;
}

#[async_trait]
impl ClockSource for Wire {
    async fn server_now(&self) -> Result<Timestamp, WireError> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";
        let rows = self.read(sql, &[]).await?;
        let row = rows.first().ok_or_else(|| WireError::Unavailable("it told no time".into()))?;
        Ok(Timestamp::from_millis(row.try_get(0)?))
    }
}

/// The server's time since 1970 less this machine's time since boot, as of one answer.
#[derive(Debug, Clone, Copy)]
struct Offset {
    millis: i64,
    /// The truth is within this much: half of the round trip, and what the clocks drift since.
    error: Duration,
    /// On the time since boot.
    taken: Duration,
}

/// A [`Clock`] that shows the server's time.
pub struct ServerClock {
    local: Arc<dyn Clock>,
    offset: Arc<Mutex<Offset>>,
    follower: AbortHandle,
}

impl ServerClock {
    /// Asks the server once, then now and then. `local` counts the time between.
    ///
    /// # Errors
    /// Why the server does not say what time it is.
    pub async fn follow(
        source: Arc<dyn ClockSource>,
        local: Arc<dyn Clock>,
        options: ClockOptions,
    ) -> Result<Self, WireError> {
        // Connecting takes several round trips, which are not the clock's: the second answer is the one to use.
        source.server_now().await?;
        let offset = Arc::new(Mutex::new(measure(&*source, &*local).await?));
        let follower = Follower { source, local: Arc::clone(&local), offset: Arc::clone(&offset), options };
        let follower = tokio::spawn(follower.run()).abort_handle();
        Ok(Self { local, offset, follower })
    }

    /// How wrong [`Clock::now`] may have been when the server was last asked.
    pub fn error(&self) -> Duration {
        self.offset().error
    }

    /// How far the server's clock is ahead of this machine's wall clock, in milliseconds: for people.
    pub fn lead_millis(&self) -> i64 {
        self.now().as_millis().saturating_sub(self.local.now().as_millis())
    }

    fn offset(&self) -> Offset {
        *self.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ServerClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(millis(self.local.uptime()).saturating_add(self.offset().millis))
    }

    fn uptime(&self) -> Duration {
        self.local.uptime()
    }
}

impl Drop for ServerClock {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

struct Follower {
    source: Arc<dyn ClockSource>,
    local: Arc<dyn Clock>,
    offset: Arc<Mutex<Offset>>,
    options: ClockOptions,
}

impl Follower {
    async fn run(self) {
        loop {
            tokio::time::sleep(self.options.every).await;
            if let Ok(new) = measure(&*self.source, &*self.local).await {
                let mut offset = self.offset.lock().unwrap_or_else(PoisonError::into_inner);
                *offset = better(*offset, new, self.options.drift_ppm);
            }
        }
    }
}

async fn measure(source: &dyn ClockSource, local: &dyn Clock) -> Result<Offset, WireError> {
    let asked = local.uptime();
    let server = source.server_now().await?;
    let taken = local.uptime();
    let error = taken.saturating_sub(asked) / 2;
    Ok(Offset { millis: server.as_millis().saturating_sub(millis(asked + error)), error, taken })
}

/// The new answer, unless the old one is sharper and the new one does not contradict it: a slow round trip must not blur
/// what a fast one showed. A contradiction means that the server's clock was set, or is another one: it decides.
fn better(old: Offset, new: Offset, drift_ppm: u32) -> Offset {
    let age = new.taken.saturating_sub(old.taken);
    let aged = old.error + age / 1_000_000 * drift_ppm;
    let apart = Duration::from_millis(old.millis.abs_diff(new.millis));
    // A millisecond for each answer's rounding.
    let agrees = apart <= aged + new.error + Duration::from_millis(2);
    if agrees && aged < new.error { Offset { error: aged, taken: new.taken, ..old } } else { new }
}

#[cfg(test)]
mod tests;
