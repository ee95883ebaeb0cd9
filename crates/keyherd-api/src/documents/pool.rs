//! Pools: the documents that make and change one, and how one stands.

use keyherd_core::broker::PoolStatus;
use keyherd_core::credential::Loaded;
use keyherd_core::ids::Name;
use keyherd_core::pool::{Edit, Strategy};
use keyherd_core::ports::store::PoolChange;
use keyherd_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::parse::shown;
use super::{BadDocument, CoolingView, Moment, TroubleView};

/// Makes a pool, for `POST /v1/pools`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolDocument {
    /// What callers will ask for; no credential has the same name.
    #[schema(example = "acme")]
    pub name: String,
    /// Credentials by name, in order; the first one is the active one. A credential is in one pool at most.
    #[schema(example = json!(["acme-1", "acme-2"]))]
    pub members: Vec<String>,
    /// `failover` (the default), `round_robin` or `least_recently_used`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "failover")]
    pub strategy: Option<String>,
}

/// A pool as it was wished for, its fields read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolWish {
    /// What callers will ask for.
    pub name: Name,
    /// Credentials, in order.
    pub members: Vec<Name>,
    /// How its turns go.
    pub strategy: Strategy,
}

impl PoolDocument {
    /// What it stands for. Whether its members are there, and free, the broker says.
    pub fn into_wish(self) -> Result<PoolWish, BadDocument> {
        Ok(PoolWish {
            name: name("name", &self.name)?,
            members: founders(&self.members)?,
            strategy: strategy(self.strategy.as_deref())?.unwrap_or_default(),
        })
    }
}

/// Those of a new pool: there is nothing that could be removed instead.
fn founders(members: &[String]) -> Result<Vec<Name>, BadDocument> {
    if members.is_empty() {
        return Err(BadDocument::field("members", "is empty: a pool needs one credential or more"));
    }
    names(members)
}

/// Changes a pool, for `PATCH /v1/pools/{name}`. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PoolPatchDocument {
    /// These members instead, in this order. This, `add` or `drop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<String>>,
    /// One more member, at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// One member fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drop: Option<String>,
    /// Another strategy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
}

impl PoolPatchDocument {
    /// The change it stands for.
    pub fn into_change(self) -> Result<PoolChange, BadDocument> {
        let edit = match (self.members, self.add, self.drop) {
            (None, None, None) => None,
            (Some(members), None, None) => Some(Edit::Replace(names(&members)?)),
            (None, Some(added), None) => Some(Edit::Add(name("add", &added)?)),
            (None, None, Some(dropped)) => Some(Edit::Drop(name("drop", &dropped)?)),
            _ => return Err(BadDocument::whole("'members', 'add' and 'drop' exclude each other: give one")),
        };
        let strategy = strategy(self.strategy.as_deref())?;
        if edit.is_none() && strategy.is_none() {
            return Err(BadDocument::whole("nothing is to be changed: give members, add, drop or strategy"));
        }
        Ok(PoolChange { strategy, edit })
    }
}

/// Moves a pool's pointer, for `POST /v1/pools/{name}/rotate`. The body may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateDocument {
    /// The member to go to; without it the next one in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

impl RotateDocument {
    /// The member that was named.
    pub fn into_member(self) -> Result<Option<Name>, BadDocument> {
        self.to.map(|to| name("to", &to)).transpose()
    }
}

/// How a pool stands. Absent fields have no value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolView {
    /// What callers ask for.
    pub name: String,
    /// `failover`, `round_robin` or `least_recently_used`.
    pub strategy: String,
    /// The active member: with `failover` it serves until it rests. The same on every host.
    pub active: String,
    /// Whether a person chose the active member.
    pub rotated: bool,
    /// +1 at every move and every edit.
    pub epoch: u64,
    /// All members rest: the first recovers then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cooling_until: Option<Moment>,
    /// In order.
    pub members: Vec<MemberView>,
    /// When it was made.
    pub created_at: Moment,
}

/// How a member stands: in which state, why, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberView {
    /// The credential's name.
    pub name: String,
    /// As of a credential: `active`, `cooling`, `disabled`, `reauth_required`, …
    pub state: String,
    /// Until when it is in that state, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Why: a cooldown's reason, or the provider's code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Parts of the account that rest while others do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cooling_scopes: Vec<CoolingView>,
    /// What stands in the way of its next refresh, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<TroubleView>,
}

impl PoolView {
    /// How a pool stands at `now`.
    pub fn new(status: &PoolStatus, now: Timestamp) -> Self {
        let pool = &status.pool;
        let rests: Option<Vec<Timestamp>> =
            status.members.iter().map(|member| Some(member.cooling(now)?.until)).collect();
        let first = rests.and_then(|rests| rests.into_iter().min());
        Self {
            name: pool.name.to_string(),
            strategy: pool.strategy.as_str().into(),
            active: pool.active_member().map(|member| member.name.to_string()).unwrap_or_default(),
            rotated: pool.is_rotated,
            epoch: pool.epoch,
            cooling_until: first.map(Moment::from),
            members: status.members.iter().map(|member| MemberView::new(member, now)).collect(),
            created_at: pool.created_at.into(),
        }
    }
}

impl MemberView {
    fn new(loaded: &Loaded, now: Timestamp) -> Self {
        let (cooling, trouble) = (loaded.cooling(now), TroubleView::new(loaded));
        let (until, why) = match (cooling, &trouble) {
            (_, _) if loaded.credential.disabled => (None, None),
            (Some(rest), _) => (Some(rest.until.into()), Some(rest.reason.clone())),
            (None, Some(trouble)) => (trouble.retry_at.or(trouble.next_probe_at), Some(trouble.code.clone())),
            (None, None) => (None, None),
        };
        Self {
            name: loaded.credential.name.to_string(),
            state: loaded.state(now).as_str().into(),
            until,
            why,
            cooling_scopes: CoolingView::of_scopes(loaded, now),
            trouble,
        }
    }
}

fn names(texts: &[String]) -> Result<Vec<Name>, BadDocument> {
    texts.iter().map(|text| name("members", text)).collect()
}

fn name(field: &str, text: &str) -> Result<Name, BadDocument> {
    Name::parse(text).map_err(|error| BadDocument::field(field, error.to_string()))
}

fn strategy(word: Option<&str>) -> Result<Option<Strategy>, BadDocument> {
    let parsed = |word| {
        Strategy::parse(word).ok_or_else(|| {
            let problem =
                format!("is '{}', and must be failover, round_robin or least_recently_used", shown(word));
            BadDocument::field("strategy", problem)
        })
    };
    word.map(parsed).transpose()
}
