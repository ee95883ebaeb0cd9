//! `keyherd migrate`: the schema's upgrade, ahead of a roll-out.

use clap::Args;
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
            let (out, schema_version) = (context.out, wired.schema_version().await?);
            if out.is_json() {
                return out.json(&Migrated { schema_version });
            }
            out.line(format!("{} is at schema version {schema_version}", wired.place()))
        };
        context.store("migrate", work).await
    }
}
