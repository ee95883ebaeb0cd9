//! Rules as they are kept: written ones, and answers that are remembered.

use super::pattern::{HostPattern, MethodWord, PathPattern};
use crate::approval::Question;
use crate::ids::{ApprovalId, Name, RuleId};
use crate::secret::{Hasher, TokenHash};
use crate::time::Timestamp;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Go.
    Allow,
    /// Do not.
    Deny,
    /// A human decides.
    Ask,
}

impl Verdict {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }

    /// By its word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Allow, Self::Deny, Self::Ask].into_iter().find(|verdict| verdict.as_str() == word)
    }
}

/// What a written rule is about. What is left out is any.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Whose requests.
    pub agent: Option<Name>,
    /// To which hosts.
    pub host: HostPattern,
    /// To which port.
    pub port: Option<u16>,
    /// By which method.
    pub method: Option<MethodWord>,
    /// To which paths.
    pub path: Option<PathPattern>,
}

impl Scope {
    /// Whether it can only be judged by who reads the request itself.
    pub fn needs_request(&self) -> bool {
        self.method.is_some() || self.path.is_some()
    }
}

/// What a rule is about.
#[derive(Debug, Clone, PartialEq)]
pub enum About {
    /// Somebody wrote it.
    Written(Scope),
    /// The answer to this question is remembered.
    Answered(Question),
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its id, random.
    pub id: RuleId,
    /// What it says. A remembered answer never says `ask`.
    pub verdict: Verdict,
    /// What it is about.
    pub about: About,
    /// When it ends, if it does.
    pub until: Option<Timestamp>,
    /// The approval whose answer it is.
    pub approval: Option<ApprovalId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom.
    pub created_by: String,
}

impl Rule {
    /// What is the same for two rules that say the same of the same: there is one of them. For a remembered answer it is
    /// the question alone, whatever the answer.
    pub fn fingerprint(&self, hasher: &Hasher) -> TokenHash {
        match &self.about {
            About::Answered(question) => question.remembered_as(hasher),
            About::Written(scope) => {
                let part = |part: Option<&str>| part.unwrap_or_default().to_owned();
                let parts = [
                    self.verdict.as_str().to_owned(),
                    part(scope.agent.as_ref().map(Name::as_str)),
                    scope.host.to_string(),
                    scope.port.map_or_else(String::new, |port| port.to_string()),
                    part(scope.method.as_ref().map(MethodWord::as_str)),
                    part(scope.path.as_ref().map(PathPattern::as_str)),
                ];
                hasher.labelled(b"rule", parts.join("\n").as_bytes())
            }
        }
    }

    /// Whether it holds at that time.
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// Whether a remembered answer is as strong as another one to the same question would be: then it stays. A deny is
/// stronger than any allow; of the same verdict the longer one is.
pub fn stands_against(held: &Rule, new: &Rule, now: Timestamp) -> bool {
    let strength = |rule: &Rule| (rule.verdict == Verdict::Deny, rule.until.is_none(), rule.until);
    held.holds_at(now) && strength(held) >= strength(new)
}
