//! Connections to upstreams: found, made, shared and kept within bounds.
//!
//! Owns one lane for each upstream. Never sends a request twice: what to do about one that failed is the exchange's.

mod dial;
mod lane;
mod lease;
mod line;

use std::sync::Arc;

use rustls::ClientConfig;

use self::dial::Way;
pub use self::dial::{Direct, Reach};
use self::lane::Lane;
pub(crate) use self::lease::{Lease, Unsent};
use crate::fault::Fault;
use crate::limits::ExchangeLimits;
use crate::target::Target;

/// All lanes of a process.
pub(crate) struct Upstreams {
    way: Arc<Way>,
    lanes: papaya::HashMap<LaneKey, Arc<Lane>, foldhash::fast::RandomState>,
}

/// What goes on in another protocol needs a connection of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct LaneKey {
    target: Target,
    only_http1: bool,
}

impl Upstreams {
    /// `tls` verifies; which protocols it offers is settled here.
    pub(crate) fn new(reach: Arc<dyn Reach>, tls: ClientConfig, limits: ExchangeLimits) -> Self {
        let lanes = papaya::HashMap::with_hasher(foldhash::fast::RandomState::default());
        Self { way: Arc::new(Way::new(reach, tls, limits)), lanes }
    }

    /// A connection for one request. `is_fresh`: one on which nothing was sent before.
    pub(crate) async fn lease(
        &self,
        target: &Target,
        only_http1: bool,
        is_fresh: bool,
    ) -> Result<Lease, Fault> {
        let lane = self.lane(target, only_http1);
        lane.lease(is_fresh).await
    }

    /// The same of a connection that is there. `None`: ask [`Upstreams::lease`].
    pub(crate) fn lease_at_hand(&self, target: &Target, only_http1: bool) -> Option<Lease> {
        self.lane(target, only_http1).lease_at_hand()
    }

    fn lane(&self, target: &Target, only_http1: bool) -> Arc<Lane> {
        let key = LaneKey { target: target.clone(), only_http1 };
        let lanes = self.lanes.pin();
        if let Some(lane) = lanes.get(&key) {
            return Arc::clone(lane);
        }
        if lanes.len() >= self.way.limits.upstreams_max {
            // Requests under way hold their lanes; what is closed by this is spare.
            lanes.clear();
        }
        let lane = || Arc::new(Lane::new(key.target.clone(), only_http1, Arc::clone(&self.way)));
        Arc::clone(lanes.get_or_insert_with(key.clone(), lane))
    }
}
