//! What a process hears, from wherever it comes: words of other processes, each counted once.
//!
//! Owns the one place where whoever waits is woken. A word is a process, how often it has announced so far, and the chains
//! that it named lately: one that comes by two ways wakes once.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use keyherd_core::ids::ChainId;
use tokio::sync::watch;

use crate::system::random;

/// Of so many processes the last word is remembered. Forgetting them costs a needless wake each.
const PEERS_MAX: usize = 1_000;

/// A word names so many chains at most, the latest. Who waits for another reads of it in the outbox, a little later.
const NAMED_MAX: usize = 32;

/// Of so many chains that others named it is remembered that they were, until somebody asks.
const HEARD_MAX: usize = 1_000;

/// One process's ears, and its own word.
#[derive(Debug)]
pub(super) struct Ears {
    me: String,
    announced: AtomicU64,
    rung: watch::Sender<u64>,
    told: AtomicU64,
    heard: Mutex<HashMap<String, u64>>,
    /// What this process named lately, and with which announcement.
    names: Mutex<VecDeque<(u64, ChainId)>>,
    heard_names: Mutex<Vec<ChainId>>,
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
            names: Mutex::default(),
            heard_names: Mutex::default(),
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

    /// The same of one chain.
    pub(super) fn announce_chain(&self, chain: ChainId) {
        let mut names = lock(&self.names);
        let count = self.announced.fetch_add(1, Ordering::AcqRel) + 1;
        if names.len() == NAMED_MAX {
            names.pop_front();
        }
        names.push_back((count, chain));
        drop(names);
        self.ring();
    }

    /// How often it had.
    pub(super) fn announced(&self) -> u64 {
        self.announced.load(Ordering::Acquire)
    }

    /// What to tell others, as of now; chains are named that were not when `since` had been announced.
    pub(super) fn word(&self, since: u64) -> String {
        let names = lock(&self.names);
        let news = names.iter().filter(|(count, _)| *count > since);
        let named: String = news.map(|(_, chain)| format!(" {}", chain.as_i64())).collect();
        format!("{}:{}{named}", self.me, self.announced())
    }

    /// Chains that others named since the last call.
    pub(super) fn named(&self) -> Vec<ChainId> {
        std::mem::take(&mut lock(&self.heard_names))
    }

    /// Somebody's word came. Its own ones, and ones that came before, wake nobody.
    pub(super) fn hear(&self, word: &str) {
        let Some((peer, said)) = word.rsplit_once(':') else { return };
        let mut said = said.split(' ');
        let Some(count) = said.next().and_then(|count| count.parse::<u64>().ok()) else { return };
        if peer == self.me {
            return;
        }
        let mut heard = lock(&self.heard);
        if heard.get(peer).is_some_and(|last| count <= *last) {
            return;
        }
        if heard.len() >= PEERS_MAX {
            heard.clear();
        }
        heard.insert(peer.to_owned(), count);
        drop(heard);
        let mut names = lock(&self.heard_names);
        let room = HEARD_MAX - names.len();
        names.extend(
            said.filter_map(|name| name.parse().ok()).map(ChainId::from_i64).take(room.min(NAMED_MAX)),
        );
        drop(names);
        self.ring();
    }

    /// Whether a word came, or a later one of the same process.
    #[cfg(test)]
    pub(super) fn has_heard(&self, word: &str) -> bool {
        let heard = lock(&self.heard);
        let (peer, said) = word.rsplit_once(':').unwrap_or_default();
        let count = said.split(' ').next().unwrap_or_default();
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        let (first, own) = (peer.word(0), ears.word(0));
        assert!(woken(&first) && !woken(&first));
        peer.announce();
        assert!(woken(&peer.word(0)) && !woken(&first));
        assert!(!woken(&own) && !woken("nonsense") && !woken("a:b"));
        ears.rang().await;
    }

    #[test]
    fn a_word_names_what_is_new_and_names_are_told_once() {
        let (ears, peer) = (Ears::new(), Ears::new());
        let chain = ChainId::from_i64;
        peer.announce_chain(chain(7));
        peer.announce();
        let since = peer.announced();
        ears.hear(&peer.word(0));
        assert_eq!(ears.named(), [chain(7)]);
        assert_eq!(ears.named(), []);
        peer.announce_chain(chain(-8));
        peer.announce_chain(chain(9));
        let word = peer.word(since);
        ears.hear(&word);
        ears.hear(&word);
        assert_eq!(ears.named(), [chain(-8), chain(9)]);
        for id in 0..100 {
            peer.announce_chain(chain(id));
        }
        ears.hear(&peer.word(0));
        let latest: Vec<_> = (100 - NAMED_MAX as i64..100).map(chain).collect();
        assert_eq!(ears.named(), latest);
        for count in 1_000..1_100_u64 {
            ears.hear(&format!("other:{count}{}", " 5".repeat(NAMED_MAX)));
        }
        ears.hear("other:2000 nonsense 99999999999999999999999");
        assert_eq!(ears.named().len(), HEARD_MAX);
    }
}
