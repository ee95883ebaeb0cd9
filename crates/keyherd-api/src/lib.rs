//! keyherd's REST door.
//!
//! [`documents`] are the JSON objects of the outside surface; the command line's `--json` prints the same ones.
//! [`Api`] is the door over a broker, [`serve`] puts it on a listener. Never names an adapter: everything goes through
//! [`keyherd_core::broker::Broker`] and its ports. Never writes a secret but in the answer to who may have it.

mod annex;
mod asking;
mod body;
mod caller;
mod dashboard;
pub mod documents;
mod door;
mod hosts;
mod limits;
mod metrics;
mod openapi;
mod pressed;
mod problem;
mod pulse;
mod routes;
mod server;
mod state;

pub use self::annex::{Annex, AnnexBody, AnnexRequest, Reply, reply};
pub use self::caller::{Caller, Callers};
pub use self::door::{Api, Seat};
pub use self::hosts::{BadHost, Hosts};
pub use self::limits::ApiLimits;
pub use self::metrics::{Metrics, MetricsError};
pub use self::problem::{Code, Problem, ProblemView};
pub use self::pulse::Answering;
pub use self::server::serve;
pub use self::state::ApiState;

/// keyherd's version.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
