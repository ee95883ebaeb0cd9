//! Claims, grants and reads of many chains that come at once: one transaction, or one statement, for all of them.
//!
//! A single one travels once to the database and back. Of two hundred each would have a beginning, locks, an audit entry, a
//! commit and a notice of its own; a crowd has one of each. Its rows are locked first, and nobody is waited for: a chain
//! that another transaction holds is left to a transaction of its own. From then on each says of itself what it would say
//! alone.
//!
//! Owns how a crowd becomes one transaction, and what each of it is told. A crowd that cannot be committed is nobody's
//! fault in particular: each tries by itself.

use std::collections::{HashMap, HashSet};
use std::sync::Weak;

use futures_util::FutureExt;
use keyherd_core::ids::{ChainId, Name};
use keyherd_core::ports::StoreError;
use keyherd_core::ports::store::Record;

use super::SqlStore;
use super::gather::{CrowdBounds, Gathering, Turn};
use super::write::{Ending, Write};
use crate::store::engine::Kind;
use crate::store::fault::Fault;
use crate::store::sql as one;
use crate::store::sql::crowd::{self as sql, Crowd};
use crate::store::statement::{Column, Row, query, query_all};

/// Where the crowds of a store meet.
pub(in crate::store) struct Crowds {
    claims: Gathering<Job, Answer<Finished>>,
    grants: Gathering<Job, Answer<Finished>>,
    names: Gathering<Name, Answer<Option<Row>>>,
}

type Answer<T> = Result<T, StoreError>;

/// Whether the chain was changed, and its row.
pub(super) type Finished = (bool, Option<Row>);

/// What is gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Alike {
    Claims,
    Grants,
}

/// One chain's part.
struct Job {
    chain: ChainId,
    ending: Ending,
}

impl Crowds {
    /// Of the store that is being made.
    pub(in crate::store) fn new(store: &Weak<SqlStore>, bounds: Option<CrowdBounds>) -> Self {
        let of = |crowd: &'static Crowd| {
            let store = store.clone();
            Gathering::new(bounds, move |jobs| {
                let store = store.upgrade();
                async move {
                    match store {
                        Some(store) => store.finish_crowd(crowd, jobs).await,
                        None => Vec::new(),
                    }
                }
                .boxed()
            })
        };
        let reader = store.clone();
        let names = Gathering::new(bounds, move |names| {
            let store = reader.upgrade();
            async move {
                match store {
                    Some(store) => store.read_crowd(names).await,
                    None => Vec::new(),
                }
            }
            .boxed()
        });
        Self { claims: of(&sql::CLAIMS), grants: of(&sql::GRANTS), names }
    }
}

impl SqlStore {
    /// Ends a transaction that is known before any of it is done, alone or with others.
    pub(super) async fn finish_among(
        &self,
        alike: Alike,
        chain: ChainId,
        ending: Ending,
    ) -> Result<Finished, Fault> {
        let gathering = match alike {
            Alike::Claims => &self.crowds.claims,
            Alike::Grants => &self.crowds.grants,
        };
        match gathering.join(|| Job { chain, ending: ending.clone() }).await {
            Turn::Alone(room) => room.during(self.finish_alone(chain, ending)).await,
            Turn::Done(done) => done.map_err(Fault::Told),
            Turn::Lost => Err(lost()),
        }
    }

    /// The row of a credential.
    pub(super) async fn read_among(&self, name: &Name) -> Result<Option<Row>, Fault> {
        match self.crowds.names.join(|| name.clone()).await {
            Turn::Alone(room) => room.during(self.read_first(query(one::LOADED).bind(name.as_str()))).await,
            Turn::Done(done) => done.map_err(Fault::Told),
            Turn::Lost => Err(lost()),
        }
    }

    async fn finish_crowd(&self, crowd: &Crowd, mut jobs: Vec<Job>) -> Vec<Option<Answer<Finished>>> {
        let chains: Vec<ChainId> = jobs.iter().map(|job| job.chain).collect();
        if chains.len() == 1
            && let Some(Job { chain, ending }) = jobs.pop()
        {
            return vec![match self.finish_alone(chain, ending).await {
                Ok(finished) => Some(Ok(finished)),
                Err(fault) => self.said_to_all(fault).map(Err),
            }];
        }
        match self.finish_together(crowd, jobs).await {
            Ok(mut finished) => chains.iter().map(|chain| finished.remove(chain).map(Ok)).collect(),
            Err(fault) => {
                tracing::debug!(?fault, chains = chains.len(), "a crowd was not committed");
                let said = self.said_to_all(fault);
                chains.iter().map(|_| said.clone().map(Err)).collect()
            }
        }
    }

    async fn finish_alone(&self, chain: ChainId, ending: Ending) -> Result<Finished, Fault> {
        self.begin(Kind::Sealing).await?.finish(chain, ending).await
    }

    /// Those whose row was free, and what became of each.
    async fn finish_together(
        &self,
        crowd: &Crowd,
        mut jobs: Vec<Job>,
    ) -> Result<HashMap<ChainId, Finished>, Fault> {
        let (mut write, rows) = match self.hold(&jobs).await {
            // A connection that was lost is one connection, and nothing was done.
            Err(Fault::Told(StoreError::Unavailable(_))) => self.hold(&jobs).await?,
            held => held?,
        };
        let held = revisions(&rows, "id")?;
        let mut once = HashSet::with_capacity(jobs.len());
        jobs.retain(|job| held.contains_key(&job.chain) && once.insert(job.chain));
        if jobs.is_empty() {
            write.commit_silently().await?;
            return Ok(HashMap::new());
        }
        let mut changes: Vec<_> =
            jobs.iter_mut().map(|job| std::mem::take(&mut job.ending.changes).into_iter()).collect();
        let changes = crowd.changes.iter().map(|text| {
            let values = changes.iter_mut().filter_map(|changes| changes.next().map(|change| change.values));
            query_all(*text, values.collect())
        });
        let changes = changes.collect::<Result<_, _>>()?;
        let rows = write.run_then_fetch(changes, query(crowd.look).bind(ids(&jobs))).await?;
        let after = revisions(&rows, "chain_id")?;
        jobs.retain(|job| after.get(&job.chain) > held.get(&job.chain));
        let done: HashSet<ChainId> = jobs.iter().map(|job| job.chain).collect();
        if done.is_empty() {
            // Nothing was changed; and the lane's end stays known.
            write.commit_silently().await?;
        } else {
            let (records, tidying): (Vec<Record>, Vec<_>) =
                jobs.into_iter().map(|job| (job.ending.record, job.ending.tidying)).unzip();
            write.record_all(records).await?;
            if let Some(text) = crowd.tidying {
                let values = tidying.into_iter().flatten().map(|tidying| tidying.values).collect();
                write.lastly(query_all(text, values)?);
            }
            write.commit_silently().await?;
        }
        let finished = rows.into_iter().map(|row| {
            let chain = ChainId::from_i64(row.try_get("chain_id")?);
            Ok((chain, (done.contains(&chain), Some(row))))
        });
        finished.collect()
    }

    /// A transaction that has locked what was free. A host that stops in the middle of it holds the rows of many: not for
    /// long.
    async fn hold(&self, jobs: &[Job]) -> Result<(Write<'_>, Vec<Row>), Fault> {
        let mut write = self.begin(Kind::Sealing).await?;
        let hold = query(sql::HOLD).bind(ids(jobs));
        let rows = write.run_then_fetch(vec![query(sql::HOLD_BRIEFLY)], hold).await?;
        Ok((write, rows))
    }

    async fn read_crowd(&self, names: Vec<Name>) -> Vec<Option<Answer<Option<Row>>>> {
        match self.read_together(&names).await {
            Ok(mut rows) => {
                let mut once = HashSet::with_capacity(names.len());
                names.iter().map(|name| once.insert(name).then(|| Ok(rows.remove(name.as_str())))).collect()
            }
            Err(fault) => {
                let said = self.said_to_all(fault);
                names.iter().map(|_| said.clone().map(Err)).collect()
            }
        }
    }

    async fn read_together(&self, names: &[Name]) -> Result<HashMap<String, Row>, Fault> {
        let statement = match names {
            [name] => query(one::LOADED).bind(name.as_str()),
            names => {
                let names = names.iter().map(|name| Some(name.as_str().to_owned())).collect();
                query(sql::LOADED).bind(Column::Texts(names))
            }
        };
        let rows = self.engine.read(statement).await?;
        rows.into_iter().map(|row| Ok((row.try_get("credential_name")?, row))).collect()
    }

    /// What stopped all of them; `None`: what may have been one's alone.
    fn said_to_all(&self, fault: Fault) -> Option<StoreError> {
        match fault {
            Fault::Contended(_) | Fault::Sealed(_) | Fault::Damaged(_) => None,
            fault => Some(self.engine.explain(fault))
                .filter(|error| !matches!(error, StoreError::Sealed(_) | StoreError::Corrupt(_))),
        }
    }
}

fn lost() -> Fault {
    let problem = "what was done together with others was broken off: try again";
    Fault::Told(StoreError::Unanswered(problem.into()))
}

fn ids(jobs: &[Job]) -> Column {
    Column::Ints(jobs.iter().map(|job| Some(job.chain.as_i64())).collect())
}

fn revisions(rows: &[Row], id: &'static str) -> Result<HashMap<ChainId, i64>, Fault> {
    let revision = |row: &Row| Ok((ChainId::from_i64(row.try_get(id)?), row.try_get("revision")?));
    rows.iter().map(revision).collect()
}
