//! The verb `report`: what an upstream's answer means for the credential that was really used, and for no other.

use serde_json::{Value, json};

use super::acquire::{Rest, Source};
use super::{AcquireError, Acquired, Broker};
use crate::audit::Actor;
use crate::credential::{Chain, Cooldown, Loaded};
use crate::ids::{CredentialId, Name};
use crate::provider::unless_echo;
use crate::refresh::{Ask, Refusal};
use crate::upstream::{Answer, Evidence, Seen};

const NO_MEMBER: &str = "it is no member of that pool";

/// One exchange's end, with proof of what was used in it.
#[derive(Debug, Clone)]
pub struct Report {
    /// The credential or pool that was asked for.
    pub name: Name,
    /// The credential whose token was used.
    pub credential: Name,
    /// Its incarnation, where the reporter knows it: a name may be used again.
    pub incarnation: Option<CredentialId>,
    /// The generation of the token that was used.
    pub generation: u64,
    /// The pool's epoch at which it was chosen, for the audit.
    pub pool_epoch: Option<u64>,
    /// The part of the account that was used, such as a model.
    pub scope: Option<String>,
    /// What the answer proves.
    pub evidence: Evidence,
}

/// What followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// Nothing: the answer proves nothing, or that all is well.
    Nothing,
    /// Nothing: it is not proven that this credential was used. Says why.
    Unproven(&'static str),
    /// Nothing: that token is not the current one any more. Try again with the one that is.
    Stale {
        /// The current generation.
        generation: u64,
    },
    /// The token was replaced. Try again with the new one.
    Refreshed {
        /// Its generation.
        generation: u64,
    },
    /// The credential rests.
    Cooled {
        /// How long, and why.
        cooldown: Cooldown,
        /// Whether it was this report that made it so, or one of the same wave.
        is_news: bool,
    },
    /// The token could not be replaced.
    Refused(Refusal),
}

impl Broker {
    /// What an answer proves that came now, by the rules of the credential's provider.
    pub async fn evidence(&self, credential: &Name, answer: &Answer<'_>) -> Result<Evidence, AcquireError> {
        Ok(self.judge_of(credential).await?.judge(answer))
    }

    /// Takes a report. However many tell of the same, it happens once; it is in force here when this returns.
    pub async fn report(&self, report: &Report, actor: &Actor) -> Result<Followed, AcquireError> {
        let standing = match self.attributed(report).await? {
            Ok(standing) => standing,
            Err(why) => return Ok(Followed::Unproven(why)),
        };
        let (id, scope) = (standing.credential.id, report.scope.as_deref());
        match &report.evidence {
            Evidence::Nothing => Ok(Followed::Nothing),
            Evidence::Works => {
                self.0.snapshots.proven(report.credential.as_str(), id, scope, self.now());
                Ok(Followed::Nothing)
            }
            Evidence::RateLimit { until, seen } => {
                let scope = report.scope.clone();
                let cooldown = Cooldown { scope, until: *until, reason: Cooldown::RATE_LIMIT.into() };
                let seen = || seen_in(report, seen, &standing.chain);
                let (cooldown, is_news) = self.cool_by_evidence(&standing, cooldown, seen, actor).await?;
                Ok(Followed::Cooled { cooldown, is_news })
            }
            Evidence::Rejected { .. } if report.generation < standing.chain.generation => {
                Ok(Followed::Stale { generation: standing.chain.generation })
            }
            Evidence::Rejected { .. } => self.cure(&standing, actor).await,
        }
    }

    /// The credential that was used, or why nobody can be blamed.
    async fn attributed(
        &self,
        report: &Report,
    ) -> Result<Result<std::sync::Arc<Loaded>, &'static str>, AcquireError> {
        let standing = match self.standing(&report.credential).await {
            // As of any other that is none of the pool's: who reports on a pool is not told what else there is.
            Err(AcquireError::NotFound(_)) if report.name != report.credential => return Ok(Err(NO_MEMBER)),
            Err(AcquireError::NotFound(_)) => return Ok(Err("no such credential")),
            standing => standing?,
        };
        let id = standing.credential.id;
        if report.incarnation.is_some_and(|incarnation| incarnation != id) {
            return Ok(Err("another credential has that name now"));
        }
        if report.name != report.credential {
            let pool = self.pool_standing(&report.name).await?;
            let member = pool.as_ref().and_then(|pool| pool.member(&report.credential));
            if member.is_none_or(|member| member.id != id) {
                return Ok(Err(NO_MEMBER));
            }
        }
        if report.generation <= standing.chain.generation {
            return Ok(Ok(standing));
        }
        // Another host may have refreshed just now.
        let newer = self.read(&report.credential, Source::Store).await?;
        let is_possible = newer.credential.id == id && report.generation <= newer.chain.generation;
        Ok(if is_possible { Ok(newer) } else { Err("it has had no such generation") })
    }

    /// A refused token that is the current one: refreshing is tried first, and only what that cannot cure rests.
    async fn cure(&self, standing: &Loaded, actor: &Actor) -> Result<Followed, AcquireError> {
        let rejected = standing.chain.tokens.access_token.clone();
        let ask = Ask { rejected, ..Ask::foreground(self.0.options.refresh.flight_timeout) };
        let name = &standing.credential.name;
        Ok(match self.acquire_one(name, &ask, actor, Rest::Heeded).await? {
            Acquired::Token(token) => Followed::Refreshed { generation: token.generation() },
            Acquired::Refused(Refusal::Cooling { until, reason }) => {
                Followed::Cooled { cooldown: Cooldown::whole(until, reason), is_news: true }
            }
            // The token is refused, and there will be no other one: everyone is to leave it alone.
            Acquired::Refused(refusal) if needs_a_person(&refusal) => {
                Followed::Cooled { cooldown: self.rest(standing, actor).await?, is_news: true }
            }
            Acquired::Refused(refusal) => Followed::Refused(refusal),
        })
    }
}

/// Whether refreshing will not help before a person has acted.
pub(super) fn needs_a_person(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::ReauthRequired { .. } | Refusal::Blocked { .. })
}

/// What was seen, for the audit.
fn seen_in(report: &Report, seen: &Seen, chain: &Chain) -> Value {
    let tokens = [&chain.tokens.access_token, &chain.tokens.refresh_token];
    let secrets: Vec<_> = tokens.into_iter().flatten().collect();
    json!({
        "name": report.name.as_str(),
        "generation": report.generation,
        "pool_epoch": report.pool_epoch,
        "status": seen.status,
        "code": seen.code.clone().map(|code| unless_echo(code, &secrets)),
        "pointer": seen.pointer,
        "header": seen.header,
    })
}
