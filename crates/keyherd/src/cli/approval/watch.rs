//! `keyherd approval watch`: approvals as they open and end, answered with keys.
//!
//! Asks for the open ones once a second. With a terminal, a line of one letter answers the oldest that is open, or the one
//! whose id follows; without one, it only shows.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use keyherd_api::documents::{AnswerDocument, ApprovalView};
use tokio::sync::mpsc::{self, Receiver};
use tokio::time::{MissedTickBehavior, interval};

use super::{Context, Failure, answered, ends, question};
use crate::peer::Peer;

const EVERY: Duration = Duration::from_secs(1);
const KEYS: &str = "a allow once · t allow for 10 minutes · A always allow · d deny · D always deny · each may be \
     followed by an id · q quit";
/// Lines that may be typed ahead.
const LINES_AHEAD: usize = 16;
/// What `t` allows for.
const TIME: Duration = Duration::from_secs(600);

pub(super) async fn run(context: &Context) -> Result<(), Failure> {
    let watch = Watch { context, open: BTreeMap::new(), sight: Sight::NotYet };
    context.peer(async |peer: &dyn Peer| watch.watch(peer).await).await
}

struct Watch<'a> {
    context: &'a Context,
    /// What is open and was shown, in order of opening: time and id.
    open: BTreeMap<(String, String), ApprovalView>,
    sight: Sight,
}

/// Whether the approvals can be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    NotYet,
    Clear,
    Lost,
}

/// What a person typed.
enum Typed {
    Answer(AnswerDocument, Option<String>),
    Quit,
    Nothing,
    Unknown,
}

impl Watch<'_> {
    async fn watch(mut self, peer: &dyn Peer) -> Result<(), Failure> {
        let is_answering = io::stdin().is_terminal() && !self.context.out.is_json();
        if is_answering {
            self.context.out.line(KEYS)?;
        }
        let mut lines = lines(is_answering);
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look_on(peer).await?,
                typed = typed(&mut lines), if is_answering => match typed {
                    Typed::Quit => return Ok(()),
                    Typed::Nothing => {}
                    Typed::Unknown => self.context.out.line(KEYS)?,
                    Typed::Answer(answer, id) => self.give(peer, answer, id).await?,
                },
            }
        }
    }

    /// A watch that has begun goes on where a server or a store is away for a while: that is said once.
    async fn look_on(&mut self, peer: &dyn Peer) -> Result<(), Failure> {
        match self.look(peer).await {
            Ok(()) => {
                if self.sight == Sight::Lost {
                    aside("approvals are seen again");
                }
                self.sight = Sight::Clear;
                Ok(())
            }
            Err(failure) if self.sight != Sight::NotYet && failure.is_for_now() => {
                if self.sight == Sight::Clear {
                    aside(&format!("{}; looking again", failure.line().unwrap_or_default()));
                }
                self.sight = Sight::Lost;
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Shows what is new, and what has ended.
    async fn look(&mut self, peer: &dyn Peer) -> Result<(), Failure> {
        let page = peer.approvals(Some("open"), None).await?;
        let now: BTreeMap<_, _> = page
            .items
            .into_iter()
            .map(|view| ((view.opened_at.to_string(), view.id.clone()), view))
            .collect();
        let gone: Vec<_> = self.open.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        for key in gone {
            self.open.remove(&key);
            let ended = peer.approval(&key.1, Duration::ZERO).await?;
            self.say(&ended, &answered(&ended))?;
        }
        for (key, view) in now {
            let known = self.open.insert(key, view.clone());
            let seen = known.as_ref().map(|known| known.waiters);
            if seen != Some(view.waiters) {
                let how = if seen.is_some() { "waits on" } else { "asks" };
                let ends = ends(&view, peer.now());
                let what = question(&view);
                let line = format!(
                    "{} {how}: {} wants {what} ({} waiting, ends {ends})",
                    view.id, view.agent, view.waiters
                );
                self.say(&view, &line)?;
            }
        }
        Ok(())
    }

    async fn give(
        &mut self,
        peer: &dyn Peer,
        answer: AnswerDocument,
        id: Option<String>,
    ) -> Result<(), Failure> {
        let oldest = self.open.keys().next().map(|(_, id)| id.clone());
        let Some(id) = id.or(oldest) else { return self.context.out.line("nothing waits for an answer") };
        match peer.answer(&id, answer).await {
            Ok(view) => {
                self.open.retain(|(_, open), _| *open != id);
                self.context.out.line(answered(&view))
            }
            // One answer that does not do is no reason to stop watching.
            Err(failure) => self.context.out.line(failure.line().unwrap_or_default()),
        }
    }

    fn say(&self, view: &ApprovalView, line: &str) -> Result<(), Failure> {
        if self.context.out.is_json() { self.context.out.json(view) } else { self.context.out.line(line) }
    }
}

/// To whoever watches: standard output is for approvals.
fn aside(line: &str) {
    use std::io::Write;
    // There is nobody left to tell that standard error is closed.
    let _ = writeln!(io::stderr(), "keyherd: {line}");
}

/// What is typed, line by line. The thread that reads ends with the process, or with its input.
fn lines(is_answering: bool) -> Receiver<String> {
    let (send, lines) = mpsc::channel(LINES_AHEAD);
    if is_answering {
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if send.blocking_send(line).is_err() {
                    return;
                }
            }
        });
    }
    lines
}

async fn typed(lines: &mut Receiver<String>) -> Typed {
    let Some(line) = lines.recv().await else { return Typed::Quit };
    let mut words = line.split_whitespace();
    let (key, id) = (words.next(), words.next().map(str::to_owned));
    let answer = |decision: &str, time: Option<Duration>| {
        let for_seconds = time.map(|time| time.as_secs());
        Typed::Answer(AnswerDocument { decision: decision.into(), for_seconds }, id)
    };
    match key {
        None => Typed::Nothing,
        Some("q") => Typed::Quit,
        Some("a") => answer("allow_once", None),
        Some("t") => answer("allow_for", Some(TIME)),
        Some("A") => answer("always_allow", None),
        Some("d") => answer("deny", None),
        Some("D") => answer("always_deny", None),
        Some(_) => Typed::Unknown,
    }
}
