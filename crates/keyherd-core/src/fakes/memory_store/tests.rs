//! The memory store under the contract of all stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;

use super::{Installation, Terms};
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
    bed_on(Terms::default())
}

fn bed_on(terms: Terms) -> Bed {
    let clock = Arc::new(PausedClock::new());
    let installation = Installation::on_terms(clock.clone(), Hasher::new([3; 32]), terms);
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

mod where_claims_expire {
    use std::time::Duration;

    use super::*;

    fn expiring() -> Bed {
        bed_on(Terms { claim_life: Some(Duration::from_millis(500)), latecomers: None })
    }

    crate::store_contract! { expiring();
        claiming: a_claim_is_renewed_by_its_owner_for_its_whole_life, a_living_owners_claim_is_not_settled_by_another
    }
}
