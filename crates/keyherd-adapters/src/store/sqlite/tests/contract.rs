//! Every case of the store's contract, on files.

use super::bed::Bed;

keyherd_core::store_contract!(Bed::new());
