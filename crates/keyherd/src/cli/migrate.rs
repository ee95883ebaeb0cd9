//! `keyherd migrate`: the schema's upgrade, ahead of a roll-out.

use clap::Args;
use keyherd_adapters::store::sqlite::SCHEMA_VERSION;
use serde::Serialize;

use super::failure::Failure;
use super::peer::Context;

/// Bring the store's schema to this version's, ahead of a roll-out.
///
/// Every command does so when it opens an older store; this one does nothing else. Makes the store where there is none.
#[derive(Debug, Args)]
pub(crate) struct Migrate {}

#[derive(Serialize)]
struct Migrated {
    schema_version: i64,
}

impl Migrate {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let work = async |wired: &crate::wire::Wired| {
            let out = context.out;
            if out.is_json() {
                return out.json(&Migrated { schema_version: SCHEMA_VERSION });
            }
            out.line(format!("{} is at schema version {SCHEMA_VERSION}", wired.store.path().display()))
        };
        context.store("migrate", work).await
    }
}
