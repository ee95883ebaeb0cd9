//! One herd: all callers of all processes want the same token, which has ended, at the same moment.

use std::time::Duration;

use keyherd_core::audit::Actor;
use keyherd_core::broker::{Acquired, Broker};
use keyherd_core::refresh::Ask;
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use super::{Fleet, Host, Place};
use crate::worker::{shared_now, until};
use crate::{Counts, LoopbackProvider, Outcome};

/// The word that makes a program one of the herd's processes.
pub const WORKER: &str = "herd-worker";
const WAIT: Duration = Duration::from_secs(30);
/// From the word to the moment: all processes have heard it by then, and their callers are made.
const AHEAD: Duration = Duration::from_millis(100);
/// What a process does for a herd after its last caller was served is counted with it.
const AFTER: Duration = Duration::from_millis(50);

/// What each process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Go {
    name: String,
    callers: usize,
    at: Duration,
}

/// What each process answers.
#[derive(Debug, Serialize, Deserialize)]
struct Done {
    failed: usize,
    returned: Vec<Duration>,
    counts: Counts,
}

/// A herd's end.
#[derive(Debug, Clone, Default)]
pub struct Herd {
    /// What the provider was asked.
    pub calls: u64,
    /// Callers that got nothing, or another account's token.
    pub failed: usize,
    /// From the provider's answer to each caller's return.
    pub after_answer: Vec<Duration>,
    /// Each process's calls to the store; the one that refreshed first.
    pub counts: Vec<Counts>,
}

/// Runs a worker, until its input ends.
///
/// # Errors
/// Whatever stands in the way.
pub fn work(runtime: &Runtime, words: &[String]) -> Outcome {
    let (number, place) = Place::of_words(words)?;
    let host = runtime.block_on(Host::open(&place, number))?;
    runtime.block_on(host.broker.watched());
    println!("ready");
    for line in std::io::stdin().lines() {
        let go: Go = serde_json::from_str(&line?)?;
        println!("{}", serde_json::to_string(&runtime.block_on(herd(&host, go)))?);
    }
    runtime.block_on(host.close());
    Ok(())
}

async fn herd(host: &Host, go: Go) -> Done {
    let before = host.counting.counts();
    let mut callers = JoinSet::new();
    for _ in 0..go.callers {
        callers.spawn(call(host.broker.clone(), go.name.clone(), go.at));
    }
    let ends = callers.join_all().await;
    tokio::time::sleep(AFTER).await;
    Done {
        failed: ends.iter().filter(|(is_served, _)| !is_served).count(),
        returned: ends.into_iter().map(|(_, returned)| returned).collect(),
        counts: host.counting.counts().since(before),
    }
}

async fn call(broker: Broker, name: String, at: Duration) -> (bool, Duration) {
    until(at).await;
    let outcome = broker.acquire(&name, &Ask::foreground(WAIT), &Actor::new("bench")).await;
    let returned = shared_now();
    (outcome.is_ok_and(|acquired| is_token_of(&acquired, &name)), returned)
}

/// Whether it is that account's own token. Account `acme-N` is the provider's family N.
pub fn is_token_of(acquired: &Acquired, name: &str) -> bool {
    let wanted = name.replace("acme", "access") + "-";
    matches!(acquired, Acquired::Token(token) if token.expose().starts_with(&wanted))
}

impl Fleet {
    /// One caller in each process, each on an account of its own: every process has led then, which it tidies up after
    /// once in its life.
    ///
    /// # Errors
    /// A process has ended, or one of them was not served.
    pub async fn each_alone(&mut self, first_account: usize) -> Outcome {
        let at = shared_now() + AHEAD;
        self.tell(|number| Go { name: format!("acme-{}", first_account + number), callers: 1, at }).await?;
        let done: Vec<Done> = self.answers().await?;
        match done.iter().map(|done| done.failed).sum::<usize>() {
            0 => Ok(()),
            failed => Err(format!("{failed} processes were not served alone").into()),
        }
    }

    /// One herd on an account. `meanwhile` is run as soon as the herd was told.
    ///
    /// # Errors
    /// A process has ended, or the provider was not asked.
    pub async fn herd(
        &mut self,
        provider: &LoopbackProvider,
        account: usize,
        callers: usize,
        meanwhile: impl Future<Output = Outcome>,
    ) -> Outcome<Herd> {
        let before = provider.accounts().tally();
        let go = Go { name: format!("acme-{account}"), callers, at: shared_now() + AHEAD };
        self.tell(|_| &go).await?;
        until(go.at).await;
        meanwhile.await?;
        let done: Vec<Done> = self.answers().await?;
        let answered = provider.answered().ok_or("the provider was not asked")?;
        let mut herd = Herd { calls: provider.accounts().tally().since(before).calls, ..Herd::default() };
        for process in done {
            herd.failed += process.failed;
            herd.after_answer.extend(process.returned.iter().map(|moment| moment.saturating_sub(answered)));
            herd.counts.push(process.counts);
        }
        herd.counts.sort_by_key(|counts| std::cmp::Reverse(counts.writes));
        Ok(herd)
    }
}
