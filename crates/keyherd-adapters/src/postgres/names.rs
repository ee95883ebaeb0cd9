//! Statements that a session knows by name: parsed once, and soon planned once, not anew for each transaction.
//!
//! That is more than half of what a short transaction costs the server. Owns when it is safe: only where notices are proven
//! to arrive, so that sessions are ours; and a transaction or read that counts on names asks first whether its session is
//! the one that learnt them. Behind a pooler the same name may be another program's statement: the question fails there, and with
//! it all that was sent after it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::Param;
use crate::system::random;

/// A statement gets a name when it was used so often in a session: a process that ends soon gives none.
const USES_MIN: u32 = 3;

/// A session learns so many names at most.
const NAMES_MAX: usize = 64;

/// The session's setting that says who taught it.
const SETTING: &str = "keyherd.session";

/// What one session knows.
pub(super) struct Names {
    /// Random: what the session's setting holds.
    mark: String,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    known: HashMap<String, Statement>,
    uses: HashMap<String, u32>,
    /// To be taught when the lane is free.
    wanted: Vec<(String, Vec<Type>)>,
    is_marked: bool,
    /// It could not be taught: that is not tried again.
    is_given_up: bool,
}

impl Names {
    pub(super) fn new() -> Self {
        let mut bytes = [0; 16];
        // Without randomness nothing is ever named: see `is_known`.
        let is_random = random(&mut bytes).is_ok();
        let mark = if is_random { format!("{:032x}", u128::from_be_bytes(bytes)) } else { String::new() };
        Self { mark, entries: Mutex::default() }
    }

    /// The question that a transaction begins with if it is to count on names; `None`: there are none yet. In a session
    /// that was not marked so it fails, as a division by zero.
    pub(super) fn question(&self) -> Option<String> {
        let is_known = !self.lock().known.is_empty();
        is_known.then(|| {
            format!("; SELECT 1 / (coalesce(current_setting('{SETTING}', true), '') = '{}')::int", self.mark)
        })
    }

    /// The statement by its name, if it has one; counts the use if it has none.
    pub(super) fn find(&self, sql: &str, params: &[Param<'_>]) -> Option<Statement> {
        let mut entries = self.lock();
        if let Some(statement) = entries.known.get(sql) {
            return Some(statement.clone());
        }
        let is_full = entries.known.len() + entries.wanted.len() >= NAMES_MAX;
        if is_full || entries.is_given_up || self.mark.is_empty() {
            return None;
        }
        let Some(uses) = entries.uses.get_mut(sql) else {
            if entries.uses.len() < NAMES_MAX {
                entries.uses.insert(sql.to_owned(), 1);
            }
            return None;
        };
        *uses += 1;
        if *uses == USES_MIN {
            let types = params.iter().map(|(_, of_type)| of_type.clone());
            entries.wanted.push((sql.to_owned(), types.collect()));
        }
        None
    }

    /// The same with the question that comes before it.
    pub(super) fn known(&self, sql: &str, params: &[Param<'_>]) -> Option<(String, Statement)> {
        let statement = self.find(sql, params)?;
        Some((self.question()?, statement))
    }

    /// Whether there is something to teach.
    pub(super) fn has_wishes(&self) -> bool {
        !self.lock().wanted.is_empty()
    }

    /// Teaches the session, which nobody else uses meanwhile. `false`: the connection is of no use any more.
    pub(super) async fn teach(&self, client: &Client, timeout: Duration) -> bool {
        let (wanted, is_marked) = {
            let mut entries = self.lock();
            (std::mem::take(&mut entries.wanted), entries.is_marked)
        };
        let taught = tokio::time::timeout(timeout, async {
            if !is_marked {
                client.batch_execute(&format!("SET {SETTING} = '{}'", self.mark)).await?;
                self.lock().is_marked = true;
            }
            for (sql, types) in wanted {
                let statement = client.prepare_typed(&sql, &types).await?;
                let mut entries = self.lock();
                entries.uses.remove(&sql);
                entries.known.insert(sql, statement);
            }
            Ok::<_, tokio_postgres::Error>(())
        });
        match taught.await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(code = error.code().map(|code| code.code()), "a statement gets no name");
                self.lock().is_given_up = true;
                !client.is_closed()
            }
            Err(_elapsed) => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
