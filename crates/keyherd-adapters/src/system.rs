//! This machine's clocks and its randomness: the one place where they are read.
//!
//! Owns the choice of clocks. Never waits: that is tokio's. Everything else takes time and entropy as a parameter;
//! nonces and names of temporary files alone come from here directly, because a nonce that a simulation could replay
//! would be no nonce.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use keyherd_core::ports::{Clock, Entropy};
use keyherd_core::time::Timestamp;
use rustix::time::{ClockId, Timespec, clock_gettime};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The machine's clocks.
///
/// `now` is the kernel's coarse wall clock where there is one: a few milliseconds behind at most, and read without a
/// system call. `uptime` counts the time the machine was suspended.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        #[cfg(target_os = "linux")]
        let id = ClockId::RealtimeCoarse;
        #[cfg(not(target_os = "linux"))]
        let id = ClockId::Realtime;
        let Timespec { tv_sec, tv_nsec } = clock_gettime(id);
        Timestamp::from_millis(tv_sec.saturating_mul(1_000).saturating_add(tv_nsec / 1_000_000))
    }

    fn uptime(&self) -> Duration {
        #[cfg(target_os = "linux")]
        let id = ClockId::Boottime;
        // Darwin's monotonic clock goes on while the machine sleeps.
        #[cfg(not(target_os = "linux"))]
        let id = ClockId::Monotonic;
        // These clocks start at zero: they are never negative.
        clock_gettime(id).try_into().unwrap_or_default()
    }
}

/// The operating system gives no random bytes: too early at boot, or a sandbox that forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoEntropy;

/// The operating system's randomness.
///
/// Filling cannot fail: should the system refuse later what it gave at the start, bytes are derived from the seed that
/// was drawn then (HMAC-SHA-256 in counter mode, NIST SP 800-108), which are as hard to guess. So nothing panics, and no
/// id or key is ever made of a constant.
pub struct OsEntropy {
    seed: Zeroizing<[u8; 32]>,
    blocks: AtomicU64,
}

impl OsEntropy {
    /// Draws the seed.
    ///
    /// # Errors
    /// [`NoEntropy`]: the process should not start.
    pub fn new() -> Result<Self, NoEntropy> {
        let mut seed = Zeroizing::new([0; 32]);
        random(&mut *seed)?;
        Ok(Self { seed, blocks: AtomicU64::new(0) })
    }

    fn derive(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.seed) else {
                unreachable!("HMAC takes keys of any length (RFC 2104, section 2)")
            };
            mac.update(&self.blocks.fetch_add(1, Ordering::Relaxed).to_be_bytes());
            chunk.copy_from_slice(&mac.finalize().into_bytes()[..chunk.len()]);
        }
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        if random(buffer).is_err() {
            self.derive(buffer);
        }
    }
}

impl std::fmt::Debug for OsEntropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OsEntropy(…)")
    }
}

/// Random bytes, fit for keys and nonces.
#[expect(clippy::disallowed_methods, reason = "the one place where the system is asked")]
pub(crate) fn random(buffer: &mut [u8]) -> Result<(), NoEntropy> {
    getrandom::fill(buffer).map_err(|_| NoEntropy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the clock under test is held against the standard library's"
    )]
    fn now_is_the_wall_clock() {
        let millis = || {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            i64::try_from(since.as_millis()).unwrap()
        };
        let before = millis();
        let now = SystemClock.now().as_millis();
        // Some ticks may lie between the coarse clock and the fine one, on a machine that others share.
        assert!((before - 1_000..=millis()).contains(&now), "{now} is not near {before}");
    }

    #[test]
    fn uptime_never_steps_back() {
        let readings: Vec<_> = (0..1_000).map(|_| SystemClock.uptime()).collect();
        assert!(readings.is_sorted());
        assert!(readings[0] > Duration::ZERO);
    }

    #[test]
    fn entropy_differs_every_time_with_and_without_the_system() {
        let entropy = OsEntropy::new().unwrap();
        let (mut one, mut two) = ([0; 40], [0; 40]);
        entropy.fill(&mut one);
        entropy.fill(&mut two);
        assert_ne!(one, two);
        let (mut three, mut four) = ([0; 40], [0; 40]);
        entropy.derive(&mut three);
        entropy.derive(&mut four);
        assert_ne!(three, four);
        assert_ne!(three[..8], three[32..]);
        let other = OsEntropy::new().unwrap();
        let mut five = [0; 40];
        other.derive(&mut five);
        assert_ne!(three, five);
    }
}
