//! What is asked, and when two questions are the same.

use std::sync::Arc;

use crate::ids::Name;
use crate::policy::Target;
use crate::secret::{Hasher, TokenHash};

/// The longest question from outside, in bytes of its canonical JSON.
pub const TEXT_LEN_MAX: usize = 16 * 1024;
/// The longest key that names a question from outside.
pub const KEY_LEN_MAX: usize = 512;

/// A question: who wants what.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// Who asks.
    pub agent: Name,
    /// What for.
    pub asked: Asked,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asked {
    /// A request through a proxy or a gateway.
    Target {
        /// In lower case, or a plain address.
        host: Arc<str>,
        /// The port.
        port: u16,
        /// Where the rule asks about it.
        method: Option<Arc<str>>,
        /// Where the rule asks about it.
        path: Option<Arc<str>>,
    },
    /// Something else, from a tool gate.
    Outside {
        /// What the same questions have in common, and what `always` remembers.
        key: Option<Arc<str>>,
        /// What is shown: JSON, canonical.
        text: Arc<str>,
    },
}

/// Why a question from outside is not asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum QuestionError {
    /// It is too long to be shown.
    #[error("the question is longer than {TEXT_LEN_MAX} bytes")]
    TooLong,
    /// It would be read in another order than it is written in.
    #[error(
        "the question and its key must have no characters that turn the reading direction (U+202A to U+202E, U+2066 to U+2069)"
    )]
    Turned,
    /// Its key is empty, too long, or has control characters.
    #[error("the key must be 1 to {KEY_LEN_MAX} bytes without control characters")]
    BadKey,
}

/// Whether a character makes others be read in another order (Unicode Standard Annex 9, section 2): who consents must read what
/// is there.
fn turns(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Question {
    /// A question from outside; `text` is its canonical JSON.
    pub fn outside(agent: Name, key: Option<&str>, text: &str) -> Result<Self, QuestionError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(QuestionError::TooLong);
        }
        if text.contains(turns) || key.is_some_and(|key| key.contains(turns)) {
            return Err(QuestionError::Turned);
        }
        let is_bad =
            |key: &str| key.is_empty() || key.len() > KEY_LEN_MAX || key.chars().any(char::is_control);
        if key.is_some_and(is_bad) {
            return Err(QuestionError::BadKey);
        }
        Ok(Self { agent, asked: Asked::Outside { key: key.map(Arc::from), text: text.into() } })
    }

    /// Whether it came from outside.
    pub fn is_outside(&self) -> bool {
        matches!(self.asked, Asked::Outside { .. })
    }

    /// Whether there is a name for what `always` remembers.
    pub fn is_named(&self) -> bool {
        match &self.asked {
            Asked::Target { .. } => true,
            Asked::Outside { key, .. } => key.is_some(),
        }
    }

    /// What is the same for the same question: keyed, so that a copied store gives no question away.
    pub fn remembered_as(&self, hasher: &Hasher) -> TokenHash {
        let agent = self.agent.as_str();
        let text = match &self.asked {
            Asked::Target { host, port, method, path } => {
                let part = |part: &Option<Arc<str>>| part.as_deref().unwrap_or_default().to_owned();
                format!("target\n{agent}\n{host}\n{port}\n{}\n{}", part(method), part(path))
            }
            Asked::Outside { key: Some(key), .. } => format!("key\n{agent}\n{key}"),
            Asked::Outside { key: None, text } => format!("text\n{agent}\n{text}"),
        };
        hasher.labelled(b"question", text.as_bytes())
    }

    /// What prompts are counted by.
    pub fn counted_as(&self) -> String {
        match &self.asked {
            Asked::Target { host, port, .. } => format!("{host}:{port}"),
            Asked::Outside { .. } => format!("agent {}", self.agent),
        }
    }

    /// Whether this target is what was asked about.
    pub fn covers(&self, target: &Target<'_>) -> bool {
        match &self.asked {
            Asked::Target { host, port, method, path } => {
                let (at, path_now) = (target.destination, target.path.map(|path| path.as_str()));
                target.agent == Some(self.agent.as_str())
                    && **host == *at.host()
                    && *port == at.port()
                    && (method.is_none() || method.as_deref() == target.method_word().as_deref())
                    && (path.is_none() || path.as_deref() == path_now)
            }
            Asked::Outside { .. } => false,
        }
    }
}
