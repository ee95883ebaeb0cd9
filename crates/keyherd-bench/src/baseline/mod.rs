//! What keyherd is compared with, where that is more than a line.

mod lock_file;
mod naive;
mod polling;
mod scan;

pub use self::lock_file::{FOLLOWER_TIMEOUT, LOCK_TTL, LockFilePeer};
pub use self::naive::{Naive, Uncoordinated};
pub use self::polling::Polling;
pub use self::scan::Scan;
