//! A strict provider's books: every refresh rotates, and a spent token that comes back revokes its whole family.
//!
//! Owns the rules and the counts. Never waits and knows no transport: `loopback` does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

/// The length of an access token here: that of an opaque one.
const ACCESS_TOKEN_LEN: usize = 100;

/// All accounts at the provider. Clones share them.
#[derive(Debug, Clone)]
pub struct Accounts(Arc<Mutex<Books>>);

#[derive(Debug)]
struct Books {
    families: HashMap<u64, Family>,
    expires_in: u64,
    tally: Tally,
}

#[derive(Debug, Clone, Copy)]
struct Family {
    generation: u64,
    is_revoked: bool,
}

/// What the provider saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Token requests.
    pub calls: u64,
    /// Spent refresh tokens that came back.
    pub reuses: u64,
    /// Requests that were refused.
    pub refused: u64,
}

impl Tally {
    /// What came since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            calls: self.calls - before.calls,
            reuses: self.reuses - before.reuses,
            refused: self.refused - before.refused,
        }
    }
}

/// The refresh token of an account's generation. An account is known from its first token on.
pub fn refresh_token(family: u64, generation: u64) -> String {
    format!("refresh-{family}-{generation}")
}

impl Accounts {
    /// None yet; access tokens live this many seconds.
    pub fn new(expires_in: u64) -> Self {
        let books = Books { families: HashMap::new(), expires_in, tally: Tally::default() };
        Self(Arc::new(Mutex::new(books)))
    }

    /// What was seen so far.
    pub fn tally(&self) -> Tally {
        self.books().tally
    }

    /// All accounts are as they were before their first token was spent, and nothing was seen.
    pub fn begin_anew(&self) {
        let mut books = self.books();
        books.families.clear();
        books.tally = Tally::default();
    }

    /// Whether an account must be logged in again.
    pub fn is_revoked(&self, family: u64) -> bool {
        self.books().families.get(&family).is_some_and(|family| family.is_revoked)
    }

    /// Spends a refresh token: status and body of the answer.
    pub fn spend(&self, token: &str) -> (u16, String) {
        let mut books = self.books();
        books.tally.calls += 1;
        let granted = parse(token).and_then(|(family, generation)| books.rotate(family, generation));
        match granted {
            Some(text) => (200, text),
            None => {
                books.tally.refused += 1;
                (400, json!({"error": "invalid_grant"}).to_string())
            }
        }
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn rotate(&mut self, id: u64, generation: u64) -> Option<String> {
        let family = self.families.entry(id).or_insert(Family { generation, is_revoked: false });
        if generation < family.generation {
            self.tally.reuses += 1;
            family.is_revoked = true;
        }
        if family.is_revoked || generation > family.generation {
            return None;
        }
        family.generation += 1;
        let next = family.generation;
        let body = json!({
            "access_token": format!("{:.<ACCESS_TOKEN_LEN$}", format!("access-{id}-{next}-")),
            "refresh_token": refresh_token(id, next),
            "expires_in": self.expires_in,
            "token_type": "Bearer",
        });
        Some(body.to_string())
    }
}

fn parse(token: &str) -> Option<(u64, u64)> {
    let (family, generation) = token.strip_prefix("refresh-")?.split_once('-')?;
    Some((family.parse().ok()?, generation.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spent_token_revokes_its_family() {
        let accounts = Accounts::new(60);
        let spend = |family, generation| accounts.spend(&refresh_token(family, generation)).0;
        assert_eq!([spend(1, 0), spend(1, 1), spend(2, 0)], [200, 200, 200]);
        assert_eq!([spend(1, 1), spend(1, 2), spend(2, 1)], [400, 400, 200]);
        assert_eq!(accounts.tally(), Tally { calls: 6, reuses: 1, refused: 2 });
        assert!(accounts.is_revoked(1) && !accounts.is_revoked(2));
    }
}
