//! The provider: accounts whose refresh tokens rotate, and a watch for tokens that come back after they were spent.
//!
//! Owns what is true about every token. Never knows who asks or why: the ledger does.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plan::{GRACE, TOKEN_LIFE};

/// How a provider treats its refresh tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Each is good for one use; one that comes back ends the family.
    Strict,
    /// The last spent one is good for a while, and gives the same successor.
    Graceful,
    /// They never change.
    Never,
}

impl Habit {
    pub(crate) const ALL: [Self; 3] = [Self::Strict, Self::Graceful, Self::Never];

    /// Its profile's name.
    pub(crate) const fn profile(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Graceful => "graceful",
            Self::Never => "never",
        }
    }
}

/// One login: a line of refresh tokens.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) account: String,
    pub(crate) habit: Habit,
    current: u64,
    spent_at: Duration,
    pub(crate) revoked: Option<&'static str>,
}

/// What a request for new tokens comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Granted { access: String, refresh: Option<String> },
    Refused(&'static str),
}

/// All accounts of all providers.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    families: Vec<Family>,
    /// Access tokens: whose, and until when.
    access: BTreeMap<String, (usize, Duration)>,
    /// Named client apps whose secret was changed over there: the one that is right now.
    pub(crate) secrets: BTreeMap<&'static str, u64>,
    /// Requests that arrived.
    pub(crate) calls: u64,
}

impl Accounts {
    /// A login: a new family's first pair.
    pub(crate) fn log_in(&mut self, account: &str, habit: Habit, now: Duration) -> (String, String) {
        let family = self.families.len();
        self.families.push(Family {
            account: account.to_owned(),
            habit,
            current: 0,
            spent_at: Duration::ZERO,
            revoked: None,
        });
        (self.mint(family, now), refresh_token(family, 0))
    }

    /// A request that spends a refresh token.
    pub(crate) fn refresh(&mut self, token: &str, now: Duration) -> Said {
        self.calls += 1;
        let Some((number, generation)) = parse(token) else { return Said::Refused("invalid_grant") };
        let Some(family) = self.families.get_mut(number) else { return Said::Refused("invalid_grant") };
        if family.revoked.is_some() {
            return Said::Refused("invalid_grant");
        }
        if family.habit == Habit::Never {
            return Said::Granted { access: self.mint(number, now), refresh: None };
        }
        let is_current = generation == family.current;
        let in_grace = family.habit == Habit::Graceful
            && generation + 1 == family.current
            && now < family.spent_at + GRACE;
        if is_current {
            family.current += 1;
            family.spent_at = now;
        } else if !in_grace {
            family.revoked = Some("a spent token came back");
            return Said::Refused(if number.is_multiple_of(2) {
                "invalid_grant"
            } else {
                "refresh_token_reused"
            });
        }
        let refresh = refresh_token(number, family.current);
        Said::Granted { access: self.mint(number, now), refresh: Some(refresh) }
    }

    /// Whether the token was spent, as the provider sees it.
    pub(crate) fn is_spent(&self, token: &str) -> bool {
        parse(token).is_some_and(|(number, generation)| {
            self.families.get(number).is_some_and(|family| generation < family.current)
        })
    }

    /// Whether a request with it would be refused for good.
    pub(crate) fn is_dead(&self, token: &str) -> bool {
        let Some((number, generation)) = parse(token) else { return true };
        let Some(family) = self.families.get(number) else { return true };
        family.revoked.is_some() || (family.habit != Habit::Never && generation < family.current)
    }

    /// The family that a refresh token belongs to.
    pub(crate) fn family(&mut self, token: &str) -> Option<&mut Family> {
        let (number, _) = parse(token)?;
        self.families.get_mut(number)
    }

    /// Whose access token it is, and when it ends.
    pub(crate) fn owner_of(&self, access: &str) -> Option<(&str, Duration)> {
        let (family, until) = self.access.get(access)?;
        Some((self.families.get(*family)?.account.as_str(), *until))
    }

    fn mint(&mut self, family: usize, now: Duration) -> String {
        let token = format!("at-{family}-{}", self.access.len());
        self.access.insert(token.clone(), (family, now + TOKEN_LIFE));
        token
    }
}

fn refresh_token(family: usize, generation: u64) -> String {
    format!("rt-{family}-{generation}")
}

fn parse(token: &str) -> Option<(usize, u64)> {
    let (family, generation) = token.strip_prefix("rt-")?.split_once('-')?;
    Some((family.parse().ok()?, generation.parse().ok()?))
}
