//! What a process hears, from wherever it comes: words of other processes, each counted once.
//!
//! Owns the one place where whoever waits is woken. A word is a process and how often it has announced so far: one that
//! comes by two ways wakes once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

use crate::system::random;

/// Of so many processes the last word is remembered. Forgetting them costs a needless wake each.
const PEERS_MAX: usize = 1_000;

/// One process's ears, and its own word.
#[derive(Debug)]
pub(super) struct Ears {
    me: String,
    announced: AtomicU64,
    rung: watch::Sender<u64>,
    told: AtomicU64,
    heard: Mutex<HashMap<String, u64>>,
}

impl Ears {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 8];
        // Without randomness the process id has to do: a hint may be lost, never more.
        let _ = random(&mut bytes);
        Self {
            me: format!("{:016x}-{}", u64::from_be_bytes(bytes), std::process::id()),
            announced: AtomicU64::new(0),
            rung: watch::Sender::new(0),
            told: AtomicU64::new(0),
            heard: Mutex::default(),
        }
    }

    /// This process's name, which no other one has.
    pub(super) fn me(&self) -> &str {
        &self.me
    }

    /// This process has something to say: counts it, and wakes who waits here.
    pub(super) fn announce(&self) {
        self.announced.fetch_add(1, Ordering::AcqRel);
        self.ring();
    }

    /// How often it had.
    pub(super) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// What to tell others, as of now.
    pub(super) fn word(&self) -> String {
        format!("{}:{}", self.me, self.announced())
    }

    /// Somebody's word came. Its own ones, and ones that came before, wake nobody.
    pub(super) fn hear(&self, word: &str) {
        let Some((peer, count)) = word.rsplit_once(':') else { return };
        let Ok(count) = count.parse::<u64>() else { return };
        if peer == self.me {
            return;
        }
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.get(peer).is_some_and(|last| count <= *last) {
            return;
        }
        if heard.len() >= PEERS_MAX {
            heard.clear();
        }
        heard.insert(peer.to_owned(), count);
        drop(heard);
        self.ring();
    }

    /// Whether a word came, or a later one of the same process.
    #[cfg(test)]
    pub(super) fn has_heard(&self, word: &str) -> bool {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let (peer, count) = word.rsplit_once(':').unwrap_or_default();
        heard.get(peer).is_some_and(|last| count.parse().is_ok_and(|count: u64| count <= *last))
    }

    /// Wakes who waits: something may have been missed.
    pub(super) fn ring(&self) {
        self.rung.send_modify(|count| *count += 1);
    }

    /// Returns when something was heard that was not told yet.
    pub(super) async fn rang(&self) {
        let mut rung = self.rung.subscribe();
        let told = self.told.load(Ordering::Acquire);
        // The sender lives in this very struct: waiting cannot end otherwise.
        if let Ok(count) = rung.wait_for(|count| *count > told).await {
            self.told.fetch_max(*count, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_word_that_comes_twice_wakes_once() {
        let (ears, peer) = (Ears::new(), Ears::new());
        peer.announce();
        let woken = |word: &str| {
            let before = *ears.rung.borrow();
            ears.hear(word);
            *ears.rung.borrow() > before
        };
        let (first, own) = (peer.word(), ears.word());
        assert!(woken(&first) && !woken(&first));
        peer.announce();
        assert!(woken(&peer.word()) && !woken(&first));
        assert!(!woken(&own) && !woken("nonsense") && !woken("a:b"));
        ears.rang().await;
    }
}
