//! What stands in the way of a chain's next refresh, remembered so that every process answers alike.

use crate::secret::TokenHash;
use crate::time::Timestamp;

/// At most one of these holds at a time; a committed refresh or a reconnect ends it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Trouble {
    /// Nothing.
    #[default]
    None,
    /// The provider did not answer well and certainly did not rotate.
    Backoff(Backoff),
    /// A request was sent and its answer is unknown.
    Uncertain(Uncertain),
    /// The provider refused this very refresh token for good.
    Verdict(Verdict),
}

/// A rest between tries that cannot have rotated anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Failures in a row, this one included.
    pub failures: u32,
    /// No try before then.
    pub retry_at: Timestamp,
    /// The last failure's code.
    pub code: String,
}

/// An unknown outcome: the refresh token may be spent, or may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncertain {
    /// When the outcome was lost: a profile's grace counts from here.
    pub since: Timestamp,
    /// Probes whose outcome was unknown again, or that were not possible.
    pub probes: u32,
    /// No probe before then.
    pub retry_at: Timestamp,
    /// How the answer was lost.
    pub code: String,
}

/// Why a refresh token is held to be dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerdictReason {
    /// The provider said so.
    Refused,
    /// The provider detected reuse and revoked the family: never probed.
    Reused,
    /// A rotation happened whose answer never arrived: never probed.
    RotationLost,
}

impl VerdictReason {
    /// The word in stores and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reused => "reused",
            Self::RotationLost => "rotation_lost",
        }
    }

    /// The reason of that word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Refused, Self::Reused, Self::RotationLost].into_iter().find(|reason| reason.as_str() == word)
    }
}

/// A remembered terminal failure, bound to the refresh token it was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The refresh token's hash: another token is another matter.
    pub hash: TokenHash,
    /// Why.
    pub reason: VerdictReason,
    /// The provider's code.
    pub code: String,
    /// Since when.
    pub at: Timestamp,
    /// Probes that confirmed it.
    pub probes: u32,
    /// The next probe on demand; `None`: never.
    pub next_probe_at: Option<Timestamp>,
}

/// The client app is refused: every credential that uses it waits for a corrected configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The provider's code.
    pub code: String,
    /// Since when.
    pub at: Timestamp,
}
