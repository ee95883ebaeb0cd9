//! The verbs `cool` and `clear`: a rest is set once for all who found out, and is in force here before anyone returns.

use serde_json::{Value, json};

use super::connect::told;
use super::snapshot::Known;
use super::{AcquireError, Broker, ManageError};
use crate::audit::{Actor, Note};
use crate::credential::{Cooldown, Loaded};
use crate::ids::{CredentialId, Name};
use crate::ports::StoreError;
use crate::ports::store::{Event, Record};
use crate::time::Timestamp;

/// What makes two wishes the same one: credential, scope, end and reason.
pub(super) type CoolKey = (CredentialId, Option<String>, Timestamp, String);

impl Broker {
    /// Lets a credential rest, or a scope of it; only ever extends. However many ask for the same, it is written once.
    /// `false`: it rests longer already.
    pub async fn cool(&self, name: &Name, cooldown: &Cooldown, actor: &Actor) -> Result<bool, ManageError> {
        let standing = self.standing(name).await.map_err(managed)?;
        if self.known_rest(&standing, cooldown).is_some_and(|known| cooldown.until <= known.until) {
            return Ok(false);
        }
        Ok(self.cool_once(&standing, cooldown, || json!({}), actor).await?)
    }

    /// Ends the rest of that reason, of the whole account or of just that scope; one that the store is yet to be told of
    /// too. `false`: there was none.
    pub async fn clear(
        &self,
        name: &Name,
        scope: Option<&str>,
        reason: &str,
        actor: &Actor,
    ) -> Result<bool, ManageError> {
        let current = self.show(name).await?;
        let detail = json!({"reason": reason, "scope": scope});
        let record = told(actor, "cooldown.clear", "cooldown_cleared", name, current.chain.id, detail);
        let cleared = self.0.ports.store.warm(current.credential.id, scope, reason, record).await?;
        let was_owed = self.0.snapshots.warmed(name, scope, reason);
        self.changed(name);
        Ok(cleared || was_owed)
    }

    /// A rest that upstream's answer asks for. It holds here before it is written, and one that ends about when another
    /// one does is that one: a wave of refusals is written once, and `seen` is asked of the one that writes. The second value:
    /// whether it was news.
    pub(super) async fn cool_by_evidence(
        &self,
        standing: &Loaded,
        cooldown: Cooldown,
        seen: impl Fn() -> Value,
        actor: &Actor,
    ) -> Result<(Cooldown, bool), StoreError> {
        let grain = self.0.options.cooldown.grain;
        let known = self.known_rest(standing, &cooldown).filter(|known| self.now() < known.until);
        if let Some(known) = known.filter(|known| cooldown.until <= known.until + grain) {
            return Ok((known, false));
        }
        let (id, name) = (standing.credential.id, &standing.credential.name);
        self.0.snapshots.cooled(name, id, &cooldown, self.now());
        match self.cool_once(standing, &cooldown, &seen, actor).await {
            Ok(is_news) => Ok((cooldown, is_news)),
            Err(error) => {
                if self.0.snapshots.owe(name, id, &cooldown) {
                    self.cool_later(id, name, &cooldown, cool_record(standing, &cooldown, seen(), actor));
                }
                Err(error)
            }
        }
    }

    /// It rests here, and the store is told as soon as it can be: nobody may ask for that credential again meanwhile.
    fn cool_later(&self, id: CredentialId, name: &Name, cooldown: &Cooldown, record: Record) {
        let (broker, name, cooldown) = (self.clone(), name.clone(), cooldown.clone());
        self.0.tasks.spawn(async move {
            let is_owed = || broker.0.snapshots.owes(&name, id, &cooldown, broker.now());
            let tell = || async { broker.write_cool(id, &name, &cooldown, record.clone()).await.is_ok() };
            broker.until_told(is_owed, tell).await;
        });
    }

    /// Whether the credential rests here for requests in that scope, as far as memory knows: also where the store could
    /// not be told yet.
    pub fn rests_here(&self, name: &str, id: CredentialId, scope: Option<&str>) -> bool {
        let now = self.now();
        let rests =
            |known: &Known| known.credential.id == id && known.credential.resting(scope, now).is_some();
        self.0.snapshots.with_old(name, rests).unwrap_or_default()
    }

    /// The rest of the same scope as it is known here, or as it stood when it was read.
    fn known_rest(&self, standing: &Loaded, wish: &Cooldown) -> Option<Cooldown> {
        let (id, name) = (standing.credential.id, standing.credential.name.as_str());
        let scope = wish.scope.as_deref();
        let known = self.0.snapshots.with(name, self.now(), |known| {
            (known.credential.id == id).then(|| known.credential.rest_of(scope).cloned())
        });
        known.flatten().unwrap_or_else(|| standing.credential.rest_of(scope).cloned())
    }

    async fn cool_once(
        &self,
        standing: &Loaded,
        cooldown: &Cooldown,
        seen: impl Fn() -> Value,
        actor: &Actor,
    ) -> Result<bool, StoreError> {
        let key = (standing.credential.id, cooldown.scope.clone(), cooldown.until, cooldown.reason.clone());
        let (answer, _) = self.0.cools.board(key, || {
            let record = cool_record(standing, cooldown, seen(), actor);
            let (broker, id, name) = (self.clone(), standing.credential.id, standing.credential.name.clone());
            let cooldown = cooldown.clone();
            async move { broker.write_cool(id, &name, &cooldown, record).await }
        });
        answer.await.unwrap_or_else(|lost| Err(StoreError::Unavailable(lost.to_string())))
    }

    async fn write_cool(
        &self,
        id: CredentialId,
        name: &Name,
        cooldown: &Cooldown,
        record: Record,
    ) -> Result<bool, StoreError> {
        let changed = self.0.ports.store.cool(id, cooldown, record).await?;
        if changed {
            self.0.snapshots.cooled(name, id, cooldown, self.now());
            metrics::counter!("keyherd_cooldowns_total", "reason" => reason_label(&cooldown.reason))
                .increment(1);
            self.0.ports.coordinator.announce();
        } else {
            // Somebody has a longer one, or the credential is gone.
            self.0.snapshots.not_taken(name, id, cooldown);
            self.0.snapshots.forget(name.as_str());
        }
        Ok(changed)
    }
}

fn cool_record(standing: &Loaded, cooldown: &Cooldown, seen: Value, actor: &Actor) -> Record {
    let subject = standing.credential.name.to_string();
    let mut detail = json!({"reason": cooldown.reason, "until_ms": cooldown.until.as_millis()});
    if let (Some(scope), Some(fields)) = (&cooldown.scope, detail.as_object_mut()) {
        fields.insert("scope".into(), scope.as_str().into());
    }
    let event = Event {
        kind: "cooldown",
        chain: Some(standing.chain.id),
        subject: subject.clone(),
        detail: detail.clone(),
    };
    if let (Value::Object(seen), Some(fields)) = (seen, detail.as_object_mut()) {
        fields.extend(seen);
    }
    Record {
        note: Note { action: "cooldown.set", actor: actor.clone(), subject, detail },
        event: Some(event),
    }
}

fn managed(error: AcquireError) -> ManageError {
    match error {
        AcquireError::NotFound(name) => super::manage::no_credential(&name),
        AcquireError::Store(error) => error.into(),
        other => ManageError::Unfit(other.to_string()),
    }
}

/// Metrics have a bounded set of labels: a caller's own word counts as `other`.
fn reason_label(reason: &str) -> &'static str {
    match reason {
        "rate_limit" => "rate_limit",
        "authentication" => "authentication",
        "manual" => "manual",
        _ => "other",
    }
}
