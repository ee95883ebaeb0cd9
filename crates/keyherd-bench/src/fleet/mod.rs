//! A fleet on one machine: processes that share a PostgreSQL, and a Redis where there is one; and what they are put to.
//!
//! Owns what a worker does and how its answers are read. Never starts a server: benches do, and hand over where it is.

pub mod distinct;
pub mod herd;
mod host;
mod place;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::host::Host;
pub use self::place::{MASTER_KEY, Notices, Place};
use crate::{Outcome, Worker};

/// The worker processes of one fleet.
#[derive(Debug)]
pub struct Fleet(Vec<Worker>);

impl Fleet {
    /// Starts so many, each a host of its own with its own journal, and waits until all of them are there.
    ///
    /// # Errors
    /// One of them does not get there.
    pub async fn start(kind: &str, place: &Place, processes: usize) -> Outcome<Self> {
        let mut workers = Vec::with_capacity(processes);
        for number in 0..processes {
            let mut words = vec![kind.to_owned(), number.to_string()];
            words.extend(place.words());
            workers.push(Worker::start(&words)?);
        }
        for worker in &mut workers {
            worker.answer().await?;
        }
        Ok(Self(workers))
    }

    /// Tells each process its line, made of its number.
    ///
    /// # Errors
    /// One of them has ended.
    pub async fn tell<L: Serialize>(&mut self, line: impl Fn(usize) -> L) -> Outcome {
        for (number, worker) in self.0.iter_mut().enumerate() {
            worker.tell(&serde_json::to_string(&line(number))?).await?;
        }
        Ok(())
    }

    /// What each process answers.
    ///
    /// # Errors
    /// One of them has ended.
    pub async fn answers<A: DeserializeOwned>(&mut self) -> Outcome<Vec<A>> {
        let mut answers = Vec::with_capacity(self.0.len());
        for worker in &mut self.0 {
            answers.push(serde_json::from_str(&worker.answer().await?)?);
        }
        Ok(answers)
    }

    /// Ends them in order.
    ///
    /// # Errors
    /// One of them does not end.
    pub async fn stop(self) -> Outcome {
        for worker in self.0 {
            worker.stop().await?;
        }
        Ok(())
    }
}
