//! What callers were told, in few words.

use std::collections::BTreeMap;

use crate::http::Answer;
use crate::sandbox::Ran;

/// What one caller was told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// This access token.
    Token(String),
    /// A new login is needed: the rotation was lost.
    Lost,
    /// Its own time was over first.
    NotYet,
    /// It is unknown whether the provider rotated.
    Uncertain,
    /// Somebody holds the store, and does not go on.
    Held,
    /// The store does not answer.
    NoStore,
    /// Anything else.
    Other(String),
}

/// How a command says that the store does not answer.
const NO_STORE: [&str; 2] = ["the store does not answer", "the store's answer was lost"];

impl From<&Ran> for Told {
    fn from(ran: &Ran) -> Self {
        match ran.code {
            0 if ran.err.is_empty() => Self::Token(ran.out.trim_end().to_owned()),
            3 if ran.err.contains("rotation_lost") => Self::Lost,
            4 if ran.err.contains("within the caller's time") => Self::NotYet,
            4 if ran.err.contains("unknown whether the provider rotated") => Self::Uncertain,
            4 if ran.err.contains("is held by another process") => Self::Held,
            4 if NO_STORE.iter().any(|words| ran.err.contains(words)) => {
                // Why, for whoever did not expect it.
                eprintln!("{}", ran.err);
                Self::NoStore
            }
            _ => Self::Other(format!("{ran:?}")),
        }
    }
}

impl From<&Answer> for Told {
    fn from(answer: &Answer) -> Self {
        let body = answer.json();
        match (answer.status, body["access_token"].as_str(), body["code"].as_str()) {
            (200, Some(token), _) => Self::Token(token.to_owned()),
            (409, _, Some("reauth_required")) if answer.body.contains("rotation_lost") => Self::Lost,
            (504, _, Some("timeout")) => Self::NotYet,
            _ => Self::Other(format!("{answer:?}")),
        }
    }
}

/// All of several callers' answers.
pub(super) fn all<'a, T: 'a>(callers: impl IntoIterator<Item = &'a T>) -> Vec<Told>
where
    Told: From<&'a T>,
{
    callers.into_iter().map(Told::from).collect()
}

/// `7 × the new token`; `old` is the token that was there before.
pub(super) fn words(told: &[Told], old: &str) -> String {
    let mut counts = BTreeMap::new();
    for told in told {
        *counts.entry(told).or_insert(0) += 1;
    }
    let parts = counts.into_iter().map(|(told, count)| format!("{count} × {}", word(told, old)));
    parts.collect::<Vec<_>>().join(", ")
}

/// The same of one caller.
pub(super) fn word(told: &Told, old: &str) -> String {
    match told {
        Told::Token(token) if token == old => "the old token".into(),
        Told::Token(_) => "the new token".into(),
        Told::Lost => "`reauth_required` (`rotation_lost`)".into(),
        Told::NotYet => "not yet".into(),
        Told::Uncertain => "`uncertain`".into(),
        Told::Held | Told::NoStore => "`store_unavailable`".into(),
        Told::Other(text) => text.clone(),
    }
}
