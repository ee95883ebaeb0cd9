//! Rests in memory: effective before the store has them, and how they end.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{Known, Snapshots};
use crate::broker::probe::{Entry, Probe};
use crate::credential::{Cooldown, Credential};
use crate::ids::{CredentialId, Name};
use crate::time::Timestamp;
use crate::upstream::CooldownBounds;

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

fn is_wait(entry: &Entry) -> bool {
    matches!(entry, Entry::Wait(_))
}

impl Snapshots {
    /// From now on it rests in this process. What is being read of it meanwhile is not kept.
    pub(in crate::broker) fn cooled(&self, name: &Name, id: CredentialId, cooldown: &Cooldown) {
        self.changes.of_name(name.as_str());
        let pinned = self.names.pin();
        pinned.update(name.clone(), |known| {
            if known.credential.id != id {
                return Arc::clone(known);
            }
            let mut credential = known.credential.clone();
            credential.take_rest(cooldown);
            let probes = self.probes_at_ends(&credential);
            let reread_at = AtomicI64::new(known.reread_at.load(Ordering::Relaxed));
            Arc::new(Known { credential, probes, reread_at, cell: Arc::clone(&known.cell), ..**known })
        });
    }

    /// A request in that scope went well: whoever waits for that need not wait any more.
    pub(in crate::broker) fn proven(&self, name: &Name, id: CredentialId, scope: Option<&str>) {
        self.with_old(name.as_str(), |known| {
            if known.credential.id == id {
                known.probes_of(scope).for_each(|probe| probe.prove());
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
