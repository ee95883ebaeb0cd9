//! What a bench was started with.

use std::str::FromStr;

use crate::Outcome;

/// The words behind `--`. Cargo's own `--bench` is left out.
#[derive(Debug, Clone)]
pub struct Arguments(Vec<String>);

impl Arguments {
    /// This process's.
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).filter(|word| word != "--bench").collect())
    }

    /// Small sizes: to see that a bench works, not how fast anything is.
    pub fn is_quick(&self) -> bool {
        self.0.iter().any(|word| word == "--quick")
    }

    /// Whether that word was said.
    pub fn has(&self, word: &str) -> bool {
        self.0.iter().any(|said| said == word)
    }

    /// One of two sizes.
    pub fn size<T>(&self, quick: T, full: T) -> T {
        if self.is_quick() { quick } else { full }
    }

    /// `--NAME VALUE`.
    pub fn value(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|word| word.strip_prefix("--") == Some(name))?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// `--NAME NUMBER`, or what it is where it is not said.
    ///
    /// # Errors
    /// It is no number.
    pub fn number<T: FromStr>(&self, name: &str, otherwise: T) -> Outcome<T> {
        match self.value(name) {
            None => Ok(otherwise),
            Some(text) => {
                text.parse().map_err(|_| format!("--{name} is '{text}', and must be a number").into())
            }
        }
    }

    /// Whether this process was started by the bench itself, as one of its workers of that kind; then its own words.
    pub fn worker(&self, kind: &str) -> Option<&[String]> {
        match self.0.split_first()? {
            (first, rest) if first == kind => Some(rest),
            _ => None,
        }
    }
}
