//! Every case of the store's contract, on a real server.

use super::bed::Bed;

keyherd_core::store_contract!(Bed::new().await);
