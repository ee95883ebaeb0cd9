//! A bounded number of lanes to one PostgreSQL: each a place for one connection at a time, with a number that stays.
//!
//! Owns opening, lending and replacing connections, and when a session is taught. Never sends a statement itself.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_postgres::Client;

use super::names::{Names, Often};
use super::tls::MakeTls;
use super::{Target, WireError, WireOptions};

/// A session is taught so long after a use that gave it something to learn: what follows a commit or a look is not held up
/// by it.
pub(super) const LESSON_AFTER: Duration = Duration::from_millis(100);

/// All lanes of a process.
pub(super) struct Lanes {
    pub(super) target: Target,
    pub(super) options: WireOptions,
    idle: Mutex<Vec<Lane>>,
    permits: Arc<Semaphore>,
    names: AtomicBool,
    /// What sessions learn.
    often: Arc<Often>,
    /// Names were used and were not known: something shares the sessions after all.
    names_failed: AtomicBool,
}

struct Lane {
    number: u32,
    session: u64,
    client: Option<Client>,
    /// What the client's session knows by name.
    names: Names,
    /// The client's connection has its age: it is not lent again.
    is_old: Arc<AtomicBool>,
    /// Whether the time has come to teach the client's session what it lacks. `None`: it lacks nothing, as far as is known.
    lesson: Option<Arc<AtomicBool>>,
}

impl Lanes {
    pub(super) fn new(target: Target, options: WireOptions) -> Arc<Self> {
        let max = options.lanes_max.max(1);
        // The lowest number lies on top: what is taken is what was used last, and few are used where few are needed.
        let often = Arc::<Often>::default();
        let unopened = |number| {
            let names = Self::names(&often, &options);
            Lane { number, session: 0, client: None, names, is_old: Arc::default(), lesson: None }
        };
        let idle = (0..max).rev().map(unopened).collect();
        let permits = Arc::new(Semaphore::new(max as usize));
        let (names, names_failed) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(Self { target, options, idle: Mutex::new(idle), permits, names, often, names_failed })
    }

    pub(super) fn sessions_are_ours(&self, are_ours: bool) {
        self.names.store(are_ours, Ordering::Release);
    }

    fn uses_names(&self) -> bool {
        self.options.prepared_statements
            && self.names.load(Ordering::Acquire)
            && !self.names_failed.load(Ordering::Acquire)
    }

    /// A lane with a connection that is open, as far as is known.
    pub(super) async fn take(self: &Arc<Self>) -> Result<Loan, WireError> {
        let wait =
            tokio::time::timeout(self.options.queue_timeout, Arc::clone(&self.permits).acquire_owned());
        let busy = WireError::TimedOut("this process has more to do there than it can do in time");
        let permit = wait.await.map_err(|_elapsed| busy)?;
        let permit = permit.map_err(|_closed| WireError::Unavailable("it was closed".into()))?;
        let Some(lane) = self.lock().pop() else {
            return Err(WireError::Unavailable("no lane is free".into()));
        };
        let mut loan = Loan { lanes: Arc::clone(self), lane: Some(lane), fresh: false, _permit: permit };
        loan.retire();
        if loan.client().is_none_or(Client::is_closed) {
            loan.renew().await?;
        }
        Ok(loan)
    }

    /// Settings for one transaction only: behind a pooler the session is the next client's in a moment. A session that is
    /// known to be ours has them already, but for another bound than the usual one: `question` is asked of it.
    pub(super) fn opening(&self, statement_timeout: Duration, question: Option<&str>) -> String {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
        match question {
            Some(question) if statement_timeout == self.options.statement_timeout => {
                [BEGIN, question].concat()
            }
            question => {
                let settings = settings("SET LOCAL", statement_timeout, &self.options);
                [BEGIN, "; ", &settings, question.unwrap_or_default()].concat()
            }
        }
    }

    fn names(often: &Arc<Often>, options: &WireOptions) -> Names {
        let settings = settings("SET", options.statement_timeout, options);
        Names::new(Arc::clone(often), options.plan_age_max, settings)
    }

    /// That lane, where nobody uses it.
    fn take_idle(self: &Arc<Self>, number: u32) -> Option<Loan> {
        let permit = Arc::clone(&self.permits).try_acquire_owned().ok()?;
        let mut idle = self.lock();
        let place = idle.iter().position(|lane| lane.number == number)?;
        let lane = Some(idle.remove(place));
        drop(idle);
        Some(Loan { lanes: Arc::clone(self), lane, fresh: false, _permit: permit })
    }

    /// Ends every connection that is not in use.
    pub(super) fn close(&self) {
        for lane in self.lock().iter_mut() {
            lane.client = None;
        }
    }

    async fn connect(&self) -> Result<(Client, Arc<AtomicBool>), WireError> {
        let opened = open(&self.target, self.options.connect_timeout).await?;
        let (client, mut connection) = opened;
        let (is_old, age_max) = (Arc::new(AtomicBool::new(false)), self.options.connection_age_max);
        let ages = Arc::clone(&is_old);
        // Ends with the connection, which ends when its client is dropped.
        tokio::spawn(async move {
            let ended = match tokio::time::timeout(age_max, &mut connection).await {
                Ok(ended) => ended,
                Err(_elapsed) => {
                    ages.store(true, Ordering::Release);
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(error = %WireError::from(error), "a connection to PostgreSQL ended");
            }
        });
        Ok((client, is_old))
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Lane>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The server's own bounds, by that word.
fn settings(set: &str, statement_timeout: Duration, options: &WireOptions) -> String {
    format!(
        "{set} statement_timeout = {}; {set} idle_in_transaction_session_timeout = {}",
        statement_timeout.as_millis(),
        options.idle_in_transaction_timeout.as_millis(),
    )
}

/// A connection as the driver makes it: a client, and what moves its bytes.
pub(crate) type Opened = (
    Client,
    tokio_postgres::Connection<tokio_postgres::Socket, super::tls::Encrypted<tokio_postgres::Socket>>,
);

/// Opens one connection within a time that includes the handshake and the password exchange.
pub(crate) async fn open(target: &Target, timeout: Duration) -> Result<Opened, WireError> {
    let connect = Box::pin(target.config.connect(MakeTls(Arc::clone(&target.tls))));
    let connected = tokio::time::timeout(timeout, connect).await;
    Ok(connected.map_err(|_elapsed| WireError::Unavailable("it does not let us in in time".into()))??)
}

/// A lane in use. It goes back when this is dropped.
pub(super) struct Loan {
    lanes: Arc<Lanes>,
    lane: Option<Lane>,
    /// Opened for this loan.
    pub(super) fresh: bool,
    _permit: OwnedSemaphorePermit,
}

impl Loan {
    pub(super) fn number(&self) -> u32 {
        self.lane.as_ref().map_or(0, |lane| lane.number)
    }

    pub(super) fn session(&self) -> u64 {
        self.lane.as_ref().map_or(0, |lane| lane.session)
    }

    pub(super) fn client(&self) -> Option<&Client> {
        self.lane.as_ref().and_then(|lane| lane.client.as_ref())
    }

    /// What the session knows by name, where names may be used.
    pub(super) fn names(&self) -> Option<&Names> {
        self.lane.as_ref().map(|lane| &lane.names).filter(|_| self.lanes.uses_names())
    }

    /// A name that was to be known was not.
    pub(super) fn names_failed(&self) {
        if !self.lanes.names_failed.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                "sessions of PostgreSQL are shared with others or forget: statements are not prepared any more"
            );
        }
    }

    /// Goes back. Its session is taught soon what it shall know by name: when nobody uses it then, or else before it goes
    /// back the next time.
    pub(super) fn teach(mut self, timeout: Duration) {
        let has_wishes = self.names().is_some_and(Names::has_wishes);
        let (Some(lane), Ok(runtime)) = (self.lane.as_mut(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        match &lane.lesson {
            _ if !has_wishes => {}
            None => {
                let (lanes, number, is_due) =
                    (Arc::clone(&self.lanes), lane.number, Arc::<AtomicBool>::default());
                lane.lesson = Some(Arc::clone(&is_due));
                runtime.spawn(async move {
                    tokio::time::sleep(LESSON_AFTER).await;
                    is_due.store(true, Ordering::Release);
                    if let Some(loan) = lanes.take_idle(number) {
                        loan.learn(timeout).await;
                    }
                });
            }
            Some(is_due) if is_due.load(Ordering::Acquire) => {
                runtime.spawn(self.learn(timeout));
            }
            Some(_soon) => {}
        }
    }

    async fn learn(mut self, timeout: Duration) {
        let is_well = match (self.names(), self.client()) {
            (Some(names), Some(client)) if names.has_wishes() => {
                let opening = self.lanes.opening(self.lanes.options.statement_timeout, None);
                names.teach(client, &opening, timeout).await
            }
            _ => true,
        };
        if !is_well {
            self.discard();
        }
        if let Some(lane) = &mut self.lane {
            lane.lesson = None;
        }
    }

    /// What was remembered of the lane holds no more.
    pub(super) fn unsettle(&mut self) {
        if let Some(lane) = &mut self.lane {
            lane.session += 1;
        }
    }

    /// A connection that is old is closed: a name may lead to another server by now, and balancers count on it.
    fn retire(&mut self) {
        if let Some(lane) = self.lane.as_mut().filter(|lane| lane.is_old.load(Ordering::Acquire))
            && lane.client.take().is_some()
        {
            lane.session += 1;
        }
    }

    /// The connection is not used again. A statement that still runs in it is asked to stop.
    pub(super) fn discard(&mut self) {
        self.unsettle();
        let client = self.lane.as_mut().and_then(|lane| lane.client.take());
        let Some(client) = client.filter(|client| !client.is_closed()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (token, tls) = (client.cancel_token(), MakeTls(Arc::clone(&self.lanes.target.tls)));
            let timeout = self.lanes.options.connect_timeout;
            runtime.spawn(async move {
                // Best effort: statement_timeout ends it too.
                let _ = tokio::time::timeout(timeout, token.cancel_query(tls)).await;
            });
        }
    }

    /// Another connection in this one's place.
    pub(super) async fn renew(&mut self) -> Result<(), WireError> {
        self.discard();
        let (client, is_old) = self.lanes.connect().await?;
        let names = Lanes::names(&self.lanes.often, &self.lanes.options);
        if let Some(lane) = &mut self.lane {
            (lane.client, lane.names, lane.is_old, lane.lesson) = (Some(client), names, is_old, None);
        }
        self.fresh = true;
        Ok(())
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // Before the permit is given back, which is dropped after this.
        if let Some(lane) = self.lane.take() {
            self.lanes.lock().push(lane);
        }
    }
}
