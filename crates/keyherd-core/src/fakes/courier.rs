//! A courier that writes down what it is given, and answers as it was told to.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::channel::{Channel, Pressed, Said, outcome};
use crate::ids::Name;
use crate::ports::{Carried, Courier, Heard, Message, Undelivered, Words};

/// How long whoever answers at once thinks about it.
const ANSWER_TIME: Duration = Duration::from_millis(200);
/// How long a reply is under way after it was read.
const REPLY_TIME: Duration = Duration::from_millis(10);

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// On which channel.
    pub channel: Name,
    /// [`Message::id`].
    pub id: String,
    /// [`Message::attempt`].
    pub attempt: u32,
    /// `asked`, `test`, or the outcome as people read it.
    pub words: String,
    /// By which an answer may come later; of a question alone.
    pub ticket: Option<String>,
}

/// Every channel is delivered to, unless it was told otherwise.
#[derive(Default)]
pub struct RecordingCourier {
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    sent: Vec<Sent>,
    replies: Vec<(Pressed, String)>,
    failures: HashMap<Name, Undelivered>,
    silent: Vec<Name>,
    answers: HashMap<Name, Said>,
    presses: VecDeque<(i64, Pressed)>,
    pressed: i64,
    ears: usize,
    ears_max: usize,
    looks: usize,
    holds_nothing: bool,
}

impl RecordingCourier {
    /// What was sent so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.lock().sent.clone()
    }

    /// What people were told who pressed.
    pub fn replies(&self) -> Vec<(Pressed, String)> {
        self.lock().replies.clone()
    }

    /// From now on that channel fails so, or is well again.
    pub fn fails(&self, channel: &Name, failure: Option<Undelivered>) {
        let mut inner = self.lock();
        match failure {
            Some(failure) => drop(inner.failures.insert(channel.clone(), failure)),
            None => drop(inner.failures.remove(channel)),
        }
    }

    /// From now on that channel never answers.
    pub fn hangs(&self, channel: &Name) {
        self.lock().silent.push(channel.clone());
    }

    /// From now on that channel answers questions at once.
    pub fn answers(&self, channel: &Name, said: Said) {
        self.lock().answers.insert(channel.clone(), said);
    }

    /// Somebody presses a button.
    pub fn press(&self, pressed: Pressed) {
        let mut inner = self.lock();
        inner.pressed += 1;
        let number = inner.pressed;
        inner.presses.push_back((number, pressed));
        drop(inner);
        self.changed.notify_waiters();
    }

    /// How many listened at once, at most.
    pub fn ears_max(&self) -> usize {
        self.lock().ears_max
    }

    /// How often somebody began to listen.
    pub fn looks(&self) -> usize {
        self.lock().looks
    }

    /// From now on who listens is told at once that there is nothing.
    pub fn holds_nothing(&self) {
        self.lock().holds_nothing = true;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who listens, however that ends.
struct Ear<'a>(&'a RecordingCourier);

impl Drop for Ear<'_> {
    fn drop(&mut self) {
        self.0.lock().ears -= 1;
    }
}

#[async_trait]
impl Courier for RecordingCourier {
    async fn carry(&self, channel: &Channel, message: Message<'_>) -> Carried {
        let (is_silent, carried) = {
            let mut inner = self.lock();
            let (words, ticket) = match &message.words {
                Words::Asked { ticket, .. } => ("asked".to_owned(), Some(ticket.expose().to_owned())),
                Words::Ended { approval, .. } => (outcome(approval), None),
                Words::Test => ("test".to_owned(), None),
            };
            let is_question = ticket.is_some();
            let (id, attempt) = (message.id.to_owned(), message.attempt);
            inner.sent.push(Sent { channel: channel.name.clone(), id, attempt, words, ticket });
            let carried = match inner.failures.get(&channel.name) {
                Some(failure) => Carried::Failed(failure.clone()),
                None => Carried::Delivered {
                    known_as: Some(inner.sent.len().to_string()),
                    said: inner.answers.get(&channel.name).copied().filter(|_| is_question),
                },
            };
            (inner.silent.contains(&channel.name), carried)
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
        if matches!(carried, Carried::Delivered { said: Some(_), .. }) {
            tokio::time::sleep(ANSWER_TIME).await;
        }
        carried
    }

    async fn listen(&self, _: &Channel, position: i64, wait: Duration) -> Result<Heard, Undelivered> {
        let _ear = {
            let mut inner = self.lock();
            inner.ears += 1;
            inner.ears_max = inner.ears_max.max(inner.ears);
            inner.looks += 1;
            Ear(self)
        };
        let wait = if self.lock().holds_nothing { Duration::ZERO } else { wait };
        let until = tokio::time::timeout(wait, async {
            loop {
                let changed = self.changed.notified();
                let heard: Vec<_> = {
                    let inner = self.lock();
                    inner.presses.iter().filter(|(number, _)| *number > position).cloned().collect()
                };
                if let Some((last, _)) = heard.last() {
                    let position = *last;
                    return Heard { position, pressed: heard.into_iter().map(|(_, one)| one).collect() };
                }
                changed.await;
            }
        });
        Ok(until.await.unwrap_or(Heard { position, pressed: Vec::new() }))
    }

    async fn reply(&self, channel: &Channel, pressed: &Pressed, text: &str) {
        let is_silent = {
            let mut inner = self.lock();
            inner.replies.push((pressed.clone(), text.to_owned()));
            inner.silent.contains(&channel.name)
        };
        if is_silent {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(REPLY_TIME).await;
    }
}
