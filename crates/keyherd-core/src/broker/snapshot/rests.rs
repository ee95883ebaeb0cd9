//! Rests in memory: effective before the store has them, and how they end.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Known, Snapshots, UNWATCHED_MAX};
use crate::broker::probe::{Entry, Probe};
use crate::credential::{Cooldown, Credential, Loaded};
use crate::ids::{CredentialId, Name};
use crate::ports::store::SCOPES_RESTING_MAX;
use crate::time::Timestamp;
use crate::upstream::CooldownBounds;

/// A reading that began before a rest's commit has ended by then: what comes later has the rest in it, or its end.
const SET_HERE_MAX: Duration = Duration::from_secs(30);

/// A rest that this process set, and when.
#[derive(Clone)]
pub(super) struct SetHere {
    id: CredentialId,
    cooldown: Cooldown,
    at: Timestamp,
    /// The store could not be told: no reading has it.
    is_owed: bool,
}

impl Known {
    /// Whether a request in that scope may go now, the first one after a rest's end included.
    pub(in crate::broker) fn enter(
        &self,
        scope: Option<&str>,
        now: Timestamp,
        bounds: &CooldownBounds,
    ) -> Entry {
        self.probes_of(scope).map(|probe| probe.enter(now, bounds)).find(is_wait).unwrap_or(Entry::Go)
    }

    /// Whether another one is trying just now. Takes nothing.
    pub(in crate::broker) fn is_probed(
        &self,
        scope: Option<&str>,
        now: Timestamp,
        bounds: &CooldownBounds,
    ) -> bool {
        self.probes_of(scope).map(|probe| probe.look(now, bounds)).any(|entry| is_wait(&entry))
    }

    /// The try that a request in that scope has to wait for, where it does not go itself.
    pub(in crate::broker) fn waits_for(
        &self,
        scope: Option<&str>,
        now: Timestamp,
        bounds: &CooldownBounds,
    ) -> Option<Arc<Probe>> {
        self.probes_of(scope).find(|probe| is_wait(&probe.enter(now, bounds))).cloned()
    }

    fn probes_of(&self, scope: Option<&str>) -> impl Iterator<Item = &Arc<Probe>> {
        self.probes.iter().filter(move |probe| probe.concerns(scope))
    }
}

impl SetHere {
    fn is(&self, id: CredentialId, cooldown: &Cooldown) -> bool {
        self.id == id && self.cooldown == *cooldown
    }

    fn is_for(&self, id: CredentialId, scope: Option<&str>) -> bool {
        self.id == id && self.cooldown.scope.as_deref() == scope
    }

    /// Whether it is still looked at by then.
    fn counts_at(&self, now: Timestamp) -> bool {
        now < self.cooldown.until && (self.is_owed || now < self.at + SET_HERE_MAX)
    }
}

/// Those that count yet, and this one; of scopes no more than the store takes.
fn with(known: &[SetHere], rest: &SetHere) -> Vec<SetHere> {
    let scope = rest.cooldown.scope.as_deref();
    let is_longer =
        |other: &SetHere| !other.is_for(rest.id, scope) || rest.cooldown.until < other.cooldown.until;
    let counts = |other: &&SetHere| other.counts_at(rest.at) && is_longer(other);
    let mut rests: Vec<SetHere> = known.iter().filter(counts).cloned().collect();
    if scope.is_none() || rests.len() < SCOPES_RESTING_MAX {
        rests.push(rest.clone());
    }
    rests
}

/// Takes a rest in as the store does: of scopes that rest at once no more than so many.
fn take_bounded(credential: &mut Credential, cooldown: &Cooldown, now: Timestamp) {
    if credential.scoped.len() >= SCOPES_RESTING_MAX {
        credential.scoped.retain(|rest| now < rest.until);
    }
    let is_known = credential.rest_of(cooldown.scope.as_deref()).is_some();
    if cooldown.scope.is_none() || is_known || credential.scoped.len() < SCOPES_RESTING_MAX {
        credential.take_rest(cooldown);
    }
}

fn is_wait(entry: &Entry) -> bool {
    matches!(entry, Entry::Wait(_))
}

impl Snapshots {
    /// From now on it rests in this process, whatever is being read of it meanwhile.
    pub(in crate::broker) fn cooled(
        &self,
        name: &Name,
        id: CredentialId,
        cooldown: &Cooldown,
        now: Timestamp,
    ) {
        self.set_here(name, &SetHere { id, cooldown: cooldown.clone(), at: now, is_owed: false });
        self.changes.of_name(name.as_str());
        let pinned = self.names.pin();
        pinned.update(name.clone(), |known| {
            if known.credential.id != id {
                return Arc::clone(known);
            }
            let mut known = known.again();
            take_bounded(&mut known.credential, cooldown, now);
            known.probes = self.probes_at_ends(&known.credential);
            Arc::new(known)
        });
    }

    /// Puts the rests that were set here into what was read: it may be from before their commit.
    pub(in crate::broker) fn resting(&self, loaded: &mut Loaded, now: Timestamp) {
        let Some(rests) = self.rests.pin().get(&loaded.credential.name).map(Arc::clone) else { return };
        // Where nobody watches, nobody is told either that somebody has ended one.
        let is_watched = self.watched.load(Ordering::Relaxed);
        let trust = if is_watched { SET_HERE_MAX } else { UNWATCHED_MAX };
        let is_trusted = |rest: &&SetHere| rest.is_owed || (rest.at <= now && now < rest.at + trust);
        let holds = |rest: &&SetHere| rest.id == loaded.credential.id && now < rest.cooldown.until;
        let rests: Vec<_> = rests.iter().filter(is_trusted).filter(holds).collect();
        rests.into_iter().for_each(|rest| take_bounded(&mut loaded.credential, &rest.cooldown, now));
    }

    /// The store could not be told of that rest. `true`: nobody has noted that yet.
    pub(in crate::broker) fn owe(&self, name: &Name, id: CredentialId, cooldown: &Cooldown) -> bool {
        let is_news = Cell::new(false);
        self.rests.pin().update(name.clone(), |known| {
            is_news.set(false);
            let noted = |rest: &SetHere| {
                if rest.is(id, cooldown) && !rest.is_owed {
                    is_news.set(true);
                    return SetHere { is_owed: true, ..rest.clone() };
                }
                rest.clone()
            };
            Arc::new(known.iter().map(noted).collect())
        });
        is_news.get()
    }

    /// Whether the store is yet to be told of that rest: it holds, and nobody has ended it.
    pub(in crate::broker) fn owes(
        &self,
        name: &Name,
        id: CredentialId,
        cooldown: &Cooldown,
        now: Timestamp,
    ) -> bool {
        let is_it = |rest: &SetHere| rest.is_owed && rest.is(id, cooldown) && rest.counts_at(now);
        self.rests.pin().get(name).is_some_and(|rests| rests.iter().any(is_it))
    }

    /// The store did not take that rest: it has a longer one, or no room for another.
    pub(in crate::broker) fn not_taken(&self, name: &Name, id: CredentialId, cooldown: &Cooldown) {
        self.rests.pin().update(name.clone(), |known| {
            Arc::new(known.iter().filter(|rest| !rest.is(id, cooldown)).cloned().collect())
        });
    }

    /// The rest of that scope for that reason was ended, and no other one: what the store is yet to be told is known here
    /// alone. `true`: such a one was ended.
    pub(in crate::broker) fn warmed(&self, name: &Name, scope: Option<&str>, reason: &str) -> bool {
        let was_owed = Cell::new(false);
        let is_left =
            |rest: &&SetHere| rest.cooldown.scope.as_deref() != scope || rest.cooldown.reason != reason;
        self.rests.pin().update(name.clone(), |known| {
            was_owed.set(known.iter().any(|rest| rest.is_owed && !is_left(&rest)));
            Arc::new(known.iter().filter(is_left).cloned().collect())
        });
        was_owed.get()
    }

    /// What was set here may have been undone, without a word; but not what the store was never told.
    pub(in crate::broker) fn all_warmed(&self) {
        let rests = self.rests.pin();
        for (name, known) in &rests {
            if known.iter().all(|rest| !rest.is_owed) {
                rests.remove(name);
            } else {
                let is_owed = |known: &Arc<Vec<SetHere>>| {
                    Arc::new(known.iter().filter(|rest| rest.is_owed).cloned().collect())
                };
                rests.update(name.clone(), is_owed);
            }
        }
    }

    fn set_here(&self, name: &Name, rest: &SetHere) {
        let rests = self.rests.pin();
        if rests.len() >= self.max {
            rests.clear();
        }
        let first = || Arc::new(vec![rest.clone()]);
        rests.update_or_insert_with(name.clone(), |known| Arc::new(with(known, rest)), first);
    }

    /// A request in that scope went well: whoever waits for that need not wait any more.
    pub(in crate::broker) fn proven(
        &self,
        name: &str,
        id: CredentialId,
        scope: Option<&str>,
        now: Timestamp,
    ) {
        self.with_old(name, |known| {
            if known.credential.id == id {
                known.probes_of(scope).for_each(|probe| probe.prove(now));
            }
        });
    }

    /// What is known of its rests' ends in this process, also where the credential was read anew meanwhile.
    pub(super) fn probes_at_ends(&self, credential: &Credential) -> Vec<Arc<Probe>> {
        let ends = credential.cooldown.iter().chain(&credential.scoped).filter(|rest| rest.is_evidence());
        ends.map(|rest| self.probe_of(credential.id, rest)).collect()
    }

    fn probe_of(&self, id: CredentialId, rest: &Cooldown) -> Arc<Probe> {
        let probes = self.probes.pin();
        let key = (id, rest.scope.clone());
        match probes.get(&key) {
            Some(probe) if probe.is_of(rest) => return Arc::clone(probe),
            Some(other) => other.end(),
            None if probes.len() >= self.max => probes.clear(),
            None => {}
        }
        let probe = Arc::new(Probe::new(rest));
        probes.insert(key, Arc::clone(&probe));
        probe
    }
}
