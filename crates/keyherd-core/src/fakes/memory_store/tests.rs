//! The memory store under the contract of all stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;

use super::Installation;
use crate::contract::{Process, Testbed};
use crate::fakes::PausedClock;
use crate::ids::OwnerId;
use crate::ports::Clock;
use crate::secret::Hasher;
use crate::time::Timestamp;

struct Bed {
    installation: Arc<Installation>,
    clock: Arc<PausedClock>,
    processes: AtomicI64,
}

fn bed() -> Bed {
    let clock = Arc::new(PausedClock::new());
    let installation = Installation::new(clock.clone(), Hasher::new([3; 32]));
    Bed { installation, clock, processes: AtomicI64::new(1) }
}

#[async_trait]
impl Testbed for Bed {
    async fn open(&self) -> Process {
        let owner = OwnerId::from_i64(self.processes.fetch_add(1, Ordering::Relaxed));
        Process { store: Arc::new(self.installation.open(owner)), owner }
    }

    async fn kill(&self, process: Process) {
        self.installation.bury(process.owner);
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

crate::store_contract!(bed());
