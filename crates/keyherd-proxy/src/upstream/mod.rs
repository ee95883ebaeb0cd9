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
    lanes: Lanes,
    /// What goes on in another protocol needs a connection of its own.
    lanes_http1: Lanes,
}

type Lanes = papaya::HashMap<Target, Arc<Lane>, foldhash::fast::RandomState>;

impl Upstreams {
    /// `tls` verifies; which protocols it offers is settled here.
    pub(crate) fn new(reach: Arc<dyn Reach>, tls: ClientConfig, limits: ExchangeLimits) -> Self {
        let lanes = || Lanes::with_hasher(foldhash::fast::RandomState::default());
        Self { way: Arc::new(Way::new(reach, tls, limits)), lanes: lanes(), lanes_http1: lanes() }
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
        let lanes = if only_http1 { &self.lanes_http1 } else { &self.lanes }.pin();
        if let Some(lane) = lanes.get(target) {
            return Arc::clone(lane);
        }
        if self.lanes.len() + self.lanes_http1.len() >= self.way.limits.upstreams_max {
            // Requests under way hold their lanes; what is closed by this is spare.
            self.lanes.pin().clear();
            self.lanes_http1.pin().clear();
        }
        let lane = || Arc::new(Lane::new(target.clone(), only_http1, Arc::clone(&self.way)));
        Arc::clone(lanes.get_or_insert_with(target.clone(), lane))
    }
}
