//! Hearing answers on channels that have to be listened to: by one process of the fleet at a time, from where the last
//! one was.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{AnswerError, Broker};
use crate::approval::Decision;
use crate::audit::Note;
use crate::channel::{Channel, Pressed, outcome};
use crate::ids::ApprovalId;
use crate::ports::{Heard, StoreError, Undelivered};
use crate::spell::Spell;

/// How often the right to listen is renewed while it lasts: one or two renewals may fail.
const RENEWALS: u32 = 3;
/// A look that brought nothing took at least so long, or is followed by a rest.
const NOTHING_MIN: Duration = Duration::from_secs(1);
/// How long what was heard may still be dealt with when this process ends: whoever listens next hears the rest once more.
const END_MAX: Duration = Duration::from_secs(2);
/// Presses of those who may not answer that one channel has written down within [`REFUSED_EVERY`], at most: whoever is in the
/// chat decides how many there are.
const REFUSED_MAX: usize = 100;
/// After so long they are counted anew.
const REFUSED_EVERY: Duration = Duration::from_secs(3_600);

/// What people are told who may not answer.
const NOT_YOU: &str = "You may not answer here.";
/// What people are told whose button is about nothing that is asked here.
const NOT_THIS: &str = "This question is not known here any more.";

/// How one look ended.
enum Looked {
    /// All that was heard is dealt with.
    Done { brought_news: bool },
    /// Another process listens, or will.
    Elsewhere,
}

/// Who pressed and may not answer, about which approval: each is written down once.
#[derive(Default)]
struct Refused {
    since: Duration,
    seen: HashSet<(i64, Option<ApprovalId>)>,
}

impl Refused {
    /// Whether that one is to be written down.
    fn is_news(&mut self, user: i64, about: Option<ApprovalId>, uptime: Duration) -> bool {
        if uptime >= self.since + REFUSED_EVERY {
            *self = Self { since: uptime, seen: HashSet::new() };
        }
        self.seen.len() < REFUSED_MAX && !self.seen.contains(&(user, about))
    }
}

/// Why one look ended early.
enum Trouble {
    Store(StoreError),
    Channel(Undelivered),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Broker {
    pub(super) async fn keep_listening(self, channel: Arc<Channel>, end: CancellationToken) {
        let ear = self.0.ports.entropy.id();
        let overdue = async {
            end.cancelled().await;
            sleep(END_MAX).await;
        };
        tokio::select! {
            () = self.listen_on(&channel, ear, &end) => {}
            () = overdue => {}
        }
        // Who listens next need not wait until our right has run out.
        if let Err(error) = self.0.ports.store.leave_ear(channel.id, ear).await {
            tracing::debug!(%error, channel = %channel.name, "the right to listen cannot be given back");
        }
    }

    /// Until the end. What was heard before is dealt with, and where it ended is kept.
    async fn listen_on(&self, channel: &Channel, ear: i64, end: &CancellationToken) {
        let bounds = &self.0.options.channels;
        let (mut failures, unheard) = (0_u32, Spell::default());
        let mut refused = Refused { since: self.0.ports.clock.uptime(), ..Refused::default() };
        while !end.is_cancelled() {
            let looked_at = self.0.ports.clock.uptime();
            let (problem, asked) = match self.listen_once(channel, ear, &mut refused, end).await {
                Ok(Looked::Done { brought_news }) => {
                    failures = 0;
                    if !brought_news && self.0.ports.clock.uptime() < looked_at + NOTHING_MIN {
                        // The other side does not hold a call that has nothing to say.
                        let _ = end.run_until_cancelled(sleep(bounds.look_every.max(NOTHING_MIN))).await;
                    }
                    if let Some(times) = unheard.over() {
                        tracing::info!(times, channel = %channel.name, "a channel is heard again");
                    }
                    continue;
                }
                Ok(Looked::Elsewhere) => {
                    let _ = end.run_until_cancelled(sleep(bounds.look_every)).await;
                    continue;
                }
                Err(Trouble::Store(error)) => (error.to_string(), None),
                Err(Trouble::Channel(failure)) => (failure.problem, failure.retry_after),
            };
            failures = failures.saturating_add(1);
            if unheard.failed() {
                tracing::warn!(channel = %channel.name, problem, "a channel cannot be heard");
            }
            let _ = end.run_until_cancelled(sleep(bounds.rest(failures, asked))).await;
        }
    }

    async fn listen_once(
        &self,
        channel: &Channel,
        ear: i64,
        refused: &mut Refused,
        end: &CancellationToken,
    ) -> Result<Looked, Trouble> {
        let (bounds, store) = (&self.0.options.channels, &self.0.ports.store);
        let look_max = bounds.listen_wait + bounds.call_max();
        let Some(position) = self.take_ear(channel, ear).await? else { return Ok(Looked::Elsewhere) };
        let listening = self.0.ports.courier.listen(channel, position, bounds.listen_wait);
        let heard = tokio::select! {
            heard = timeout(look_max, listening) => heard,
            () = self.until_deaf(channel, ear) => return Ok(Looked::Elsewhere),
            () = end.cancelled() => return Ok(Looked::Elsewhere),
        };
        let Heard { position: next, pressed } = match heard {
            Ok(heard) => heard.map_err(Trouble::Channel)?,
            Err(_elapsed) => {
                let problem = format!("no answer within {} ms", look_max.as_millis());
                let is_final = false;
                return Err(Trouble::Channel(Undelivered { problem, is_final, retry_after: None }));
            }
        };
        let dealing = async {
            for one in &pressed {
                // Where the store fails the position stays, and all is heard once more: an answer counts once.
                let text = self.heard(channel, one, refused).await?;
                let reply = self.0.ports.courier.reply(channel, one, &text);
                let _ = timeout(bounds.call_max(), reply).await;
            }
            Ok::<_, StoreError>(())
        };
        // What has begun is ended, also where another process may listen by then.
        let renewing = async {
            self.until_deaf(channel, ear).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            dealt = dealing => dealt?,
            () = renewing => {}
        }
        let brought_news = next != position;
        if brought_news {
            store.move_ear(channel.id, ear, next).await?;
        }
        Ok(Looked::Done { brought_news })
    }

    /// The right to listen, for a short time: who is killed is soon stood in for.
    async fn take_ear(&self, channel: &Channel, ear: i64) -> Result<Option<i64>, StoreError> {
        let until = self.now() + self.0.options.channels.listen_lease;
        self.0.ports.store.take_ear(channel.id, ear, until).await
    }

    /// Renews the right to listen; returns when another process has it, or may have it.
    async fn until_deaf(&self, channel: &Channel, ear: i64) {
        let (clock, lease) = (&self.0.ports.clock, self.0.options.channels.listen_lease);
        let mut lasts_until = clock.uptime() + lease;
        loop {
            sleep(lease / RENEWALS).await;
            let asked_at = clock.uptime();
            match self.take_ear(channel, ear).await {
                Ok(Some(_)) => lasts_until = asked_at + lease,
                Ok(None) => return,
                Err(_) if clock.uptime() >= lasts_until => return,
                Err(_) => {}
            }
        }
    }

    /// What the person who pressed is told.
    async fn heard(
        &self,
        channel: &Channel,
        pressed: &Pressed,
        refused: &mut Refused,
    ) -> Result<String, StoreError> {
        if !channel.route.may_answer(pressed) {
            tracing::info!(channel = %channel.name, user = pressed.user, "somebody pressed who may not answer");
            self.note_refused(channel, pressed, refused).await?;
            return Ok(NOT_YOU.into());
        }
        let Some((id, (decision, time))) = pressed.said else { return Ok(NOT_THIS.into()) };
        if !self.0.ports.store.has_notice(id, channel.id).await? {
            return Ok(NOT_THIS.into());
        }
        match self.answer(id, decision, time, &channel.actor_of(pressed.user)).await {
            Ok(approval) => Ok(outcome(&approval)),
            Err(AnswerError::Already(approval)) if approval.answer.is_some() => {
                Ok(format!("Too late. {}", outcome(&approval)))
            }
            Err(AnswerError::Already(_)) => Ok("Too late: its time is over.".into()),
            Err(AnswerError::NotFound(_)) => Ok(NOT_THIS.into()),
            Err(AnswerError::Store(error)) => Err(error),
            Err(refused @ (AnswerError::Unfit(_) | AnswerError::Time { .. })) => Ok(refused.to_string()),
        }
    }

    /// Writes down who pressed and may not answer: once for each person and question, and so many in all. What is asked
    /// about may be anything, and counts where it was announced there.
    async fn note_refused(
        &self,
        channel: &Channel,
        pressed: &Pressed,
        refused: &mut Refused,
    ) -> Result<(), StoreError> {
        let store = &self.0.ports.store;
        let about = match pressed.said {
            Some((id, said)) if store.has_notice(id, channel.id).await? => Some((id, said)),
            _ => None,
        };
        let key = (pressed.user, about.map(|(id, _)| id));
        if !refused.is_news(key.0, key.1, self.0.ports.clock.uptime()) {
            return Ok(());
        }
        let decision = about.map(|(_, (decision, _))| Decision::as_str(decision));
        let note = Note {
            action: "approval.refuse",
            actor: channel.actor_of(pressed.user),
            subject: key.1.map_or_else(|| channel.name.to_string(), |id| id.to_string()),
            detail: json!({"channel": channel.name.as_str(), "chat": pressed.chat, "decision": decision}),
        };
        store.append(note).await?;
        refused.seen.insert(key);
        Ok(())
    }
}
