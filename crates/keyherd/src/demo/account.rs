//! An account at a strict provider: every refresh spends the refresh token, and one that comes back revokes them all.

use std::collections::HashSet;

use serde::Serialize;

/// What came to an account's token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub(super) struct Counts {
    /// Requests.
    pub(super) calls: usize,
    /// Tokens granted.
    pub(super) granted: usize,
    /// `invalid_grant` answered.
    pub(super) refused: usize,
    /// Spent tokens that came back.
    pub(super) reuse: usize,
}

impl Counts {
    /// What came since.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            granted: self.granted - before.granted,
            refused: self.refused - before.refused,
            reuse: self.reuse - before.reuse,
        }
    }
}

/// One account.
#[derive(Debug)]
pub(super) struct Account {
    current: String,
    spent: HashSet<String>,
    is_revoked: bool,
    counts: Counts,
}

impl Account {
    /// An account with its first refresh token.
    pub(super) fn new(refresh_token: String) -> Self {
        Self { current: refresh_token, spent: HashSet::new(), is_revoked: false, counts: Counts::default() }
    }

    /// Spends a refresh token for `next`, the one that follows it. `false`: `invalid_grant`.
    pub(super) fn spend(&mut self, token: &str, next: String) -> bool {
        self.counts.calls += 1;
        if self.spent.contains(token) {
            self.counts.reuse += 1;
            self.is_revoked = true;
        }
        if self.is_revoked || token != self.current {
            self.counts.refused += 1;
            return false;
        }
        self.spent.insert(std::mem::replace(&mut self.current, next));
        self.counts.granted += 1;
        true
    }

    /// What has come so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the provider has revoked it.
    pub(super) fn is_revoked(&self) -> bool {
        self.is_revoked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_token_that_comes_back_revokes_the_account() {
        let mut account = Account::new("a".into());
        assert!(account.spend("a", "b".into()));
        assert!(account.spend("b", "c".into()));
        assert!(!account.spend("x", "d".into()));
        assert!(!account.is_revoked());
        assert!(!account.spend("a", "d".into()));
        assert!(account.is_revoked());
        assert!(!account.spend("c", "d".into()));
        assert_eq!(account.counts(), Counts { calls: 5, granted: 2, refused: 3, reuse: 1 });
    }
}
