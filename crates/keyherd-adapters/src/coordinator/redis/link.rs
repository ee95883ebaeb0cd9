//! The connection to Redis: one, kept by one task, with a short bound on every answer.
//!
//! Owns its state, up or down. After a failure nobody waits for it again until the keeper has found it well: a Redis that
//! hangs costs one caller one short wait. The driver's own connection manager is not used: it keeps a connection whose
//! other end is gone for as long as TCP does, and lets callers wait for its reconnects.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, PushInfo, PushKind, RedisError, Value, cmd};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::super::ears::Ears;
use super::RedisPlace;
use super::millis;
use super::words::{described, slow};

/// Bounds of the connection.
#[derive(Debug, Clone)]
pub struct RedisLinkOptions {
    /// How long an answer is waited for.
    pub answer_timeout: Duration,
    /// How long connecting may take, with TLS and password.
    pub connect_timeout: Duration,
    /// How often a connection that is up is tried, and one that is down opened again.
    pub probe_every: Duration,
}

impl Default for RedisLinkOptions {
    fn default() -> Self {
        Self {
            answer_timeout: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(1),
            probe_every: Duration::from_secs(1),
        }
    }
}

/// Whether Redis can be asked.
#[derive(Clone)]
enum State {
    /// Not tried yet.
    Unknown,
    /// It can, on the connection with this number.
    Up(MultiplexedConnection, u64),
    /// It cannot: why.
    Down(String),
}

/// This process's way to one Redis.
pub struct RedisLink {
    place: RedisPlace,
    prefix: String,
    options: RedisLinkOptions,
    state: watch::Sender<State>,
    connections: AtomicU64,
    keeper: Mutex<Option<AbortHandle>>,
}

impl RedisLink {
    /// Begins to connect. Keys and the channel begin with the installation's id: several may share one Redis.
    pub(in super::super) fn start(
        place: RedisPlace,
        installation: &[u8; 16],
        options: RedisLinkOptions,
        ears: Arc<Ears>,
    ) -> Arc<Self> {
        let prefix = format!("keyherd:{:032x}", u128::from_be_bytes(*installation));
        let state = watch::Sender::new(State::Unknown);
        let link = Arc::new(Self {
            place,
            prefix,
            options,
            state,
            connections: AtomicU64::new(0),
            keeper: Mutex::default(),
        });
        let weak = Arc::downgrade(&link);
        super::start(&link.keeper, || async move {
            // Ends with the link: between two rounds nobody here keeps it alive.
            while let Some(link) = weak.upgrade() {
                link.keep(&ears).await;
                let rest = link.options.probe_every;
                drop(link);
                tokio::time::sleep(rest).await;
            }
        });
        link
    }

    /// Whether it answered when it was last asked.
    pub fn is_up(&self) -> bool {
        matches!(*self.state.borrow(), State::Up(..))
    }

    /// Returns when it is known whether it answers.
    pub(crate) async fn tried(&self) {
        let bound = self.options.connect_timeout * 2 + self.options.answer_timeout;
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| !matches!(state, State::Unknown));
        let _ = tokio::time::timeout(bound, known).await;
    }

    /// What is wrong with it.
    pub fn trouble(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Down(problem) => Some(format!(
                "Redis at {} is not used ({problem}): everything goes through the store, and it is tried every {} ms",
                self.place,
                self.options.probe_every.as_millis()
            )),
            State::Unknown | State::Up(..) => None,
        }
    }

    /// A key of this installation.
    pub(crate) fn key(&self, kind: &str, name: &str) -> String {
        format!("{}:{kind}:{name}", self.prefix)
    }

    pub(crate) fn channel(&self) -> String {
        format!("{}:changed", self.prefix)
    }

    /// What Redis answers, in time. `None`: it does not, or says no; what it was asked for may be done or not.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Option<T> {
        self.ask_within(command, self.options.answer_timeout).await
    }

    /// The same within another time.
    pub(crate) async fn ask_within<T: FromRedisValue>(&self, command: &Cmd, timeout: Duration) -> Option<T> {
        let State::Up(connection, number) = self.state.borrow().clone() else { return None };
        match answered(command, connection, timeout, self.place.is_tls).await {
            Ok(answer) => Some(answer),
            Err(problem) => {
                give_up(&self.state, number, problem);
                None
            }
        }
    }

    /// Finds out whether it is up, and connects where it is not.
    async fn keep(&self, ears: &Arc<Ears>) {
        let known = self.state.borrow().clone();
        let found = match known {
            State::Up(connection, number) => self.probe(connection, number).await,
            State::Unknown | State::Down(_) => self.connect(ears).await,
        };
        let found = found.unwrap_or_else(State::Down);
        let was_up = self.is_up();
        let is_up = matches!(found, State::Up(..));
        self.state.send_replace(found);
        if was_up != is_up {
            // Words may have been missed.
            ears.ring();
        }
    }

    async fn connect(&self, ears: &Arc<Ears>) -> Result<State, String> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let (words, state) = (Arc::downgrade(ears), self.state.clone());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.connect_timeout))
            // Each caller has a bound of its own.
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                match push.kind {
                    PushKind::Disconnection => {
                        give_up(&state, number, "the connection was lost".into());
                    }
                    PushKind::Message => {
                        if let (Some(ears), Some(word)) = (words.upgrade(), word_of(&push.data)) {
                            ears.hear(word);
                        }
                    }
                    _ => {}
                }
                Ok::<_, redis::aio::SendError>(())
            });
        let connecting = async {
            let mut connection =
                self.place.client.get_multiplexed_async_connection_with_config(&config).await?;
            connection.subscribe(self.channel()).await?;
            Ok(connection)
        };
        let connected = tokio::time::timeout(self.options.connect_timeout, Box::pin(connecting)).await;
        let connected = connected.map_err(|_elapsed| slow(self.place.is_tls).to_owned())?;
        self.probe(connected.map_err(|error: RedisError| described(&error, self.place.is_tls))?, number).await
    }

    /// By a write: a replica, or one that is full, answers a PING.
    async fn probe(&self, connection: MultiplexedConnection, number: u64) -> Result<State, String> {
        let mut write = cmd("SET");
        write.arg(self.key("probe", "")).arg(1).arg("PX").arg(millis(self.options.probe_every * 10));
        answered::<Value>(&write, connection.clone(), self.options.answer_timeout, self.place.is_tls).await?;
        Ok(State::Up(connection, number))
    }
}

#[cfg(test)]
impl RedisLink {
    /// Returns when it is up, or down after it was tried.
    pub(crate) async fn until(&self, up: bool) {
        let reached = |state: &State| match state {
            State::Unknown => false,
            State::Up(..) => up,
            State::Down(_) => !up,
        };
        let _ = self.state.subscribe().wait_for(reached).await;
    }
}

impl Drop for RedisLink {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner) {
            keeper.abort();
        }
    }
}

/// This connection is not used any more; another one that took its place meanwhile is.
fn give_up(state: &watch::Sender<State>, failed: u64, problem: String) {
    state.send_if_modified(|state| {
        let is_this = matches!(state, State::Up(_, number) if *number == failed);
        if is_this {
            *state = State::Down(problem);
        }
        is_this
    });
}

async fn answered<T: FromRedisValue>(
    command: &Cmd,
    mut connection: MultiplexedConnection,
    timeout: Duration,
    is_tls: bool,
) -> Result<T, String> {
    match tokio::time::timeout(timeout, command.query_async(&mut connection)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(described(&error, is_tls)),
        Err(_elapsed) => Err(format!("no answer within {} ms", timeout.as_millis())),
    }
}

/// The second part of a message is its text; the first is the channel.
fn word_of(data: &[Value]) -> Option<&str> {
    match data.get(1)? {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
