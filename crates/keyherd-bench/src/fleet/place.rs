//! Where a fleet meets, and how its processes hear of each other.

use std::path::PathBuf;
use std::time::Duration;

use crate::Outcome;

/// How the processes hear of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notices {
    /// As keyherd does it.
    Sent,
    /// Not at all: each looks at the store every so often.
    Polled(Duration),
}

/// The master key's file in a fleet's folder.
pub const MASTER_KEY: &str = "master.key";

/// Where a fleet meets.
#[derive(Debug, Clone)]
pub struct Place {
    /// Holds the master key and each process's journal.
    pub folder: PathBuf,
    /// The store's URL.
    pub database: String,
    /// Redis' URL, if there is one.
    pub redis: Option<String>,
    /// How commits are heard of.
    pub notices: Notices,
}

/// Says that there is no Redis.
const NONE: &str = "-";

impl Place {
    /// For a worker's command line.
    pub fn words(&self) -> [String; 4] {
        let poll = match self.notices {
            Notices::Sent => 0,
            Notices::Polled(every) => every.as_millis(),
        };
        let redis = self.redis.clone().unwrap_or_else(|| NONE.into());
        [self.folder.display().to_string(), self.database.clone(), redis, poll.to_string()]
    }

    /// From a worker's command line: its number, and where it is.
    ///
    /// # Errors
    /// They are not the words that [`Place::words`] makes behind a number.
    pub fn of_words(words: &[String]) -> Outcome<(usize, Self)> {
        let [number, folder, database, redis, poll] = words else {
            return Err("five words are wanted".into());
        };
        let notices = match poll.parse()? {
            0 => Notices::Sent,
            millis => Notices::Polled(Duration::from_millis(millis)),
        };
        let redis = (redis != NONE).then(|| redis.clone());
        let place = Self { folder: folder.into(), database: database.clone(), redis, notices };
        Ok((number.parse()?, place))
    }
}
