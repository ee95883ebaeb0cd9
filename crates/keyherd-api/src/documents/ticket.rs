//! A ticket: what a token's answer says of where it came from, and what a report hands back.

use std::fmt;
use std::str::FromStr;

use keyherd_core::broker::Token;
use keyherd_core::ids::CredentialId;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Which incarnation of a credential a token was of, and at which epoch of its pool it was chosen. Opaque to callers, and
/// no secret. A report with it never blames a credential that has the same name by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// The incarnation.
    pub credential: CredentialId,
    /// The pool's epoch, where a pool was asked for.
    pub epoch: Option<u64>,
}

impl Ticket {
    /// A token's.
    pub fn of(token: &Token) -> Self {
        Self { credential: token.credential_id(), epoch: token.pool_epoch() }
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.credential.as_i64())?;
        self.epoch.map_or(Ok(()), |epoch| write!(f, "-{epoch}"))
    }
}

impl FromStr for Ticket {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (credential, epoch) = match text.split_once('-') {
            Some((credential, epoch)) => (credential, Some(epoch.parse().map_err(|_| ())?)),
            None => (text, None),
        };
        let number = u64::from_str_radix(credential, 16).map_err(|_| ())?;
        Ok(Self { credential: CredentialId::from_i64(number.cast_signed()), epoch })
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TicketVisitor)
    }
}

struct TicketVisitor;

impl Visitor<'_> for TicketVisitor {
    type Value = Ticket;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a ticket as it came with a token")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ticket, E> {
        text.parse().map_err(|()| E::custom("this is no ticket: pass it on as it came with the token"))
    }
}

impl PartialSchema for Ticket {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Opaque: pass it on with a report. It says which account the token was of."))
            .into()
    }
}

impl ToSchema for Ticket {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(id: i64, epoch: Option<u64>, expected: &str) {
        let ticket = Ticket { credential: CredentialId::from_i64(id), epoch };
        assert_eq!(ticket.to_string(), expected);
        assert_eq!(expected.parse(), Ok(ticket));
    }

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        check(1, None, "0000000000000001");
        check(-1, Some(u64::MAX), "ffffffffffffffff-18446744073709551615");
        for bad in ["", "-", "x", "1-", "1-x", "11111111111111111"] {
            assert_eq!(bad.parse::<Ticket>(), Err(()), "{bad}");
        }
    }
}
