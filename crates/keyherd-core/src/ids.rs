//! Typed identifiers: no two kinds of number or name can be mixed up. Parsing happens here, once.

use std::fmt;
use std::sync::Arc;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i64);

        impl $name {
            /// From the number a store kept.
            pub const fn from_i64(id: i64) -> Self {
                Self(id)
            }

            /// For a store to keep.
            pub const fn as_i64(self) -> i64 {
                self.0
            }
        }
    };
}

/// Ids that people type: random numbers of 40 bits, shown as ten hexadecimal digits.
macro_rules! short_id {
    ($(#[$doc:meta])* $name:ident) => {
        number_id! { $(#[$doc])* $name }

        impl $name {
            /// Of a random number.
            pub const fn of_random(number: i64) -> Self {
                Self(number & 0xff_ffff_ffff)
            }

            /// Reads what it is shown as.
            pub fn parse(text: &str) -> Option<Self> {
                let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                let is_shown = text.len() == 10 && text.bytes().all(is_digit);
                i64::from_str_radix(text, 16).ok().filter(|_| is_shown).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:010x}", self.0)
            }
        }
    };
}

number_id! {
    /// One credential's incarnation. Random, never reused: a removed and re-added name is another credential.
    CredentialId
}
number_id! {
    /// One token chain's incarnation. Random, never reused.
    ChainId
}
number_id! {
    /// One pool's incarnation. Random, never reused.
    PoolId
}
number_id! {
    /// One claim: the right to spend one refresh token once.
    ClaimId
}
number_id! {
    /// One process at work on a store: the owner of claims and of an audit chain.
    OwnerId
}

short_id! {
    /// One agent's incarnation. Random, never reused.
    AgentId
}
short_id! {
    /// One binding. Random, never reused.
    BindingId
}
// Rules and approvals.
short_id! {
    /// One rule. Random, never reused.
    RuleId
}
short_id! {
    /// One approval: one question to a human. Random, never reused.
    ApprovalId
}
short_id! {
    /// One channel's incarnation. Random, never reused.
    ChannelId
}

/// The longest name, in bytes.
pub const NAME_LEN_MAX: usize = 128;

/// The name of a credential, pool, client app or chain: 1 to 128 of `A-Z a-z 0-9 . _ @ + : ~ -`, the first one a
/// letter or digit. It stands in URLs and command lines as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why a text is no [`Name`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{shown}' is not a name: use 1 to {NAME_LEN_MAX} letters, digits or . _ @ + : ~ -, and begin with a letter or digit"
)]
pub struct BadName {
    shown: String,
}

impl Name {
    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let fits = text.len() <= NAME_LEN_MAX
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@+:~-".contains(&b));
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(BadName { shown: text.chars().filter(|c| !c.is_control()).take(40).collect() })
        }
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_short_id_is_shown_as_is_read() {
        for number in [0, 1, 0xff_ffff_ffff, i64::MAX] {
            let id = BindingId::of_random(number);
            assert_eq!(BindingId::parse(&id.to_string()), Some(id));
        }
        for bad in ["", "1", "00000000zz", "000000000A", "+000000001", "00000000001"] {
            assert_eq!(BindingId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn names() {
        for good in ["a", "acme-1", "me@acme.com", "A.b_c+d:e~f", &"x".repeat(NAME_LEN_MAX)] {
            assert_eq!(Name::parse(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "-a", ".a", "a b", "a/b", "ä", "a\n", &"x".repeat(NAME_LEN_MAX + 1)] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
        }
    }
}
