//! What PostgreSQL says, told as the rooms tell it: which database, what, and the way out.

use keyherd_core::ports::StoreError;

use super::schema::RETIRED_KEY;
use crate::postgres::{Target, WireError};
use crate::store::fault::Fault;

/// What to do before damaged rows are replaced.
const RESCUE: &str = "stop keyherd, keep a dump of the database, then restore a backup";

/// Where a password comes from.
const WHERE: &str = "in the database's URL (KEYHERD_DATABASE_URL, --database-url, database_url in the file; neither \
     PGPASSWORD nor .pgpass is read)";

pub(super) fn explain(fault: Fault, target: &Target) -> StoreError {
    fault.explain(target, RESCUE)
}

pub(super) fn told(error: WireError, target: &Target) -> Fault {
    Fault::Told(match error {
        // Whoever looked before it wrote is kept apart from others who do; so a row that is there all the same came from
        // a plain write meanwhile, and a second look sees it.
        WireError::Serialization | WireError::Unique(_) | WireError::Forgotten => {
            return Fault::Contended(error.to_string());
        }
        WireError::Other { code, .. } if code == RETIRED_KEY => StoreError::Sealed(format!(
            "{target}: the master key was rotated, and this process still has the old one: give it the new one, then start it again"
        )),
        WireError::Login(_) => {
            let user = target.user().unwrap_or("whoever runs this process");
            StoreError::Misconfigured(format!(
                "{target}: {error}: correct user '{user}' and password {WHERE}"
            ))
        }
        WireError::Missing(_) | WireError::Tls(_) => StoreError::Misconfigured(format!("{target}: {error}")),
        WireError::ReadOnly | WireError::Full(_) | WireError::Permission(_) => {
            StoreError::Unwritable(format!("{target}: {error}"))
        }
        WireError::Unavailable(_) | WireError::TimedOut(_) => {
            StoreError::Unavailable(format!("{target}: {error}: try again"))
        }
        WireError::UnknownOutcome(_) => StoreError::Unanswered(format!("{target}: {error}: try again")),
        WireError::Other { .. } => StoreError::Corrupt(format!("{target}: {error}: {RESCUE}")),
    })
}
