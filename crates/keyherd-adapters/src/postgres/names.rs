//! Statements that a session knows by name: parsed and planned once, not anew for each transaction.
//!
//! That is more than half of what a short transaction costs the server. What is asked often is known of the process; a
//! session learns it after its first use, when it has rest. Plans are generic: what has a name is found by an index,
//! whatever the values. And they are made anew now and then: what was best when a table was empty is not when it is full.
//!
//! Owns when it is safe: only where notices are proven to arrive, so that sessions are ours; and a transaction or read that
//! counts on names asks first whether its session is the one that learnt them. A lesson is one transaction, with its mark:
//! a session that has the one has the other, also if a pooler came in between meanwhile. Behind a pooler the same name may
//! be another program's statement: the question fails there, and with it all that was sent after it.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Statement};
use tokio_util::task::AbortOnDropHandle;

use super::Param;
use crate::system::random;

/// A statement gets a name when it was used so often in a process: one that ends soon gives none, and one that refreshes
/// seldom has the names that it needs all the same.
const USES_MIN: u32 = 2;

/// So many statements get names at most.
const NAMES_MAX: usize = 64;

/// So many are counted: more than there are.
const COUNTED_MAX: usize = 512;

/// The session's setting that says who taught it.
const SETTING: &str = "keyherd.session";

/// What a process asks often: all its sessions learn it.
#[derive(Default)]
pub(super) struct Often(Mutex<Asked>);

#[derive(Default)]
struct Asked {
    uses: HashMap<String, u32>,
    often: Vec<(String, Vec<Type>)>,
}

impl Often {
    fn count(&self, sql: &str, params: &[Param<'_>]) {
        let mut asked = lock(&self.0);
        if asked.often.len() == NAMES_MAX {
            return;
        }
        let Some(uses) = asked.uses.get_mut(sql) else {
            if asked.uses.len() < COUNTED_MAX {
                asked.uses.insert(sql.to_owned(), 1);
            }
            return;
        };
        *uses += 1;
        if *uses == USES_MIN {
            let types = params.iter().map(|(_, of_type)| of_type.clone()).collect();
            asked.often.push((sql.to_owned(), types));
        }
    }

    fn number(&self) -> usize {
        lock(&self.0).often.len()
    }

    fn after(&self, learnt: usize) -> Vec<(String, Vec<Type>)> {
        lock(&self.0).often.get(learnt..).unwrap_or_default().to_vec()
    }
}

/// What one session knows.
pub(super) struct Names {
    often: Arc<Often>,
    /// Plans that are older are made anew.
    plan_age_max: Duration,
    /// Settings that a session is given with its first lesson, as SQL.
    settings: String,
    /// Random: what the session's setting holds.
    mark: String,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    known: HashMap<String, Statement>,
    /// Says when the plans are old. `None`: there are none.
    plans: Option<Plans>,
    /// It could not be taught: that is not tried again.
    is_given_up: bool,
}

impl Names {
    pub(super) fn new(often: Arc<Often>, plan_age_max: Duration, settings: String) -> Self {
        let mut bytes = [0; 16];
        // Without randomness nothing is ever named.
        let is_random = random(&mut bytes).is_ok();
        let mark = if is_random { format!("{:032x}", u128::from_be_bytes(bytes)) } else { String::new() };
        Self { often, plan_age_max, settings, mark, entries: Mutex::default() }
    }

    /// The question that a transaction begins with if it is to count on names, and on the session's settings; `None`: there
    /// are none yet. In another session it fails: that one does not know it, or as a division by zero.
    pub(super) fn question(&self) -> Option<String> {
        let is_known = !self.lock().known.is_empty();
        is_known.then(|| self.is_marked())
    }

    fn is_marked(&self) -> String {
        format!("; EXECUTE keyherd_{}", self.mark)
    }

    /// What a session is from its first lesson on.
    fn mark(&self) -> String {
        let Self { mark, settings, .. } = self;
        format!(
            "; SET {SETTING} = '{mark}'; SET plan_cache_mode = force_generic_plan; {settings}; \
             PREPARE keyherd_{mark} AS SELECT 1 / (coalesce(current_setting('{SETTING}', true), '') = '{mark}')::int"
        )
    }

    /// The statement by its name, if it has one; counts the use if it has none.
    pub(super) fn find(&self, sql: &str, params: &[Param<'_>]) -> Option<Statement> {
        let has_types =
            |statement: &&Statement| statement.params().iter().eq(params.iter().map(|(_, of_type)| of_type));
        let known = self.lock().known.get(sql).filter(has_types).cloned();
        if known.is_none() {
            self.often.count(sql, params);
        }
        known
    }

    /// The same with the question that comes before it.
    pub(super) fn known(&self, sql: &str, params: &[Param<'_>]) -> Option<(String, Statement)> {
        let statement = self.find(sql, params)?;
        Some((self.question()?, statement))
    }

    /// Whether there is something to teach, or to be planned anew.
    pub(super) fn has_wishes(&self) -> bool {
        let entries = self.lock();
        let is_old = entries.plans.as_ref().is_some_and(Plans::are_old);
        !entries.is_given_up && !self.mark.is_empty() && (is_old || entries.known.len() < self.often.number())
    }

    /// Teaches the session, which nobody else uses meanwhile, in a transaction that begins with `opening`. `false`: the
    /// connection is of no use any more.
    pub(super) async fn teach(&self, client: &Client, opening: &str, timeout: Duration) -> bool {
        match tokio::time::timeout(timeout, self.teach_all(client, opening)).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::debug!(code = error.code().map(|code| code.code()), "a statement gets no name");
                self.lock().is_given_up = true;
                let undone = tokio::time::timeout(timeout, client.batch_execute("ROLLBACK")).await;
                matches!(undone, Ok(Ok(())))
            }
            Err(_elapsed) => false,
        }
    }

    async fn teach_all(&self, client: &Client, opening: &str) -> Result<(), Error> {
        let (learnt, is_old) = {
            let entries = self.lock();
            (entries.known.len(), entries.plans.as_ref().is_none_or(Plans::are_old))
        };
        let mark = if learnt == 0 { self.mark() } else { self.is_marked() };
        client.batch_execute(&[opening, &mark].concat()).await?;
        if is_old {
            client.batch_execute("DISCARD PLANS").await?;
        }
        let wanted = self.often.after(learnt);
        let prepared = wanted.iter().map(|(sql, types)| client.prepare_typed(sql, types));
        let prepared = try_join_all(prepared).await?;
        let texts: Vec<String> = wanted.into_iter().map(|(sql, _)| sql).collect();
        let mut planned = texts.clone();
        if is_old {
            planned.extend(self.lock().known.keys().cloned());
        }
        plan(client, &planned).await?;
        client.batch_execute("COMMIT").await?;
        let mut entries = self.lock();
        entries.known.extend(texts.into_iter().zip(prepared));
        if is_old {
            entries.plans = Some(Plans::made(self.plan_age_max));
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        lock(&self.entries)
    }
}

/// Plans that were made together.
struct Plans {
    are_old: Arc<AtomicBool>,
    _aging: AbortOnDropHandle<()>,
}

impl Plans {
    fn made(age_max: Duration) -> Self {
        let are_old = Arc::<AtomicBool>::default();
        let flag = Arc::clone(&are_old);
        let aging = tokio::spawn(async move {
            tokio::time::sleep(age_max).await;
            flag.store(true, Ordering::Release);
        });
        Self { are_old, _aging: AbortOnDropHandle::new(aging) }
    }

    fn are_old(&self) -> bool {
        self.are_old.load(Ordering::Acquire)
    }
}

/// Has the server make and keep the plans of statements that it has prepared, so that the first use need not wait for them.
async fn plan(client: &Client, texts: &[String]) -> Result<(), Error> {
    let sql =
        "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements WHERE statement = ANY ($1)";
    let named = client.query_typed(sql, &[(&texts, Type::TEXT_ARRAY)]).await?;
    let mut explaining = String::new();
    for row in named {
        let (name, params): (&str, i32) = (row.try_get(0)?, row.try_get(1)?);
        let nulls = vec!["NULL"; usize::try_from(params).unwrap_or_default()].join(", ");
        let nulls = if nulls.is_empty() { nulls } else { format!("({nulls})") };
        // Writing to a String cannot fail.
        let _ = write!(explaining, "EXPLAIN EXECUTE {name}{nulls};");
    }
    client.batch_execute(&explaining).await
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
