//! Every case of the store's contract behind a pooler in transaction mode, on a schema that a newer program has
//! upgraded: consecutive transactions run in different sessions, and every table has columns that this program does not
//! know.

use super::bed::Bed;
use super::upgrading::upgraded;

async fn behind() -> Bed {
    let bed = Bed::pooled().await;
    upgraded(&bed).await;
    bed
}

keyherd_core::store_contract!(behind().await);
