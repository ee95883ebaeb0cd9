//! keyherd's exchange with upstreams, and the doors through which requests come to it.
//!
//! [`Exchange`] is one exchange, whatever its door: inject a token, send, judge, report, replay. [`Gateway`] is the door
//! of those who name the credential in their URL. Never names an adapter; knows problems as [`Fault`]s, to which the
//! binary gives codes.

mod alarm;
mod body;
mod consent;
mod decode;
mod detail;
mod exchange;
mod fault;
pub mod forward;
mod gateway;
mod headers;
mod inject;
mod limits;
mod look;
mod meters;
mod order;
mod percent;
mod recheck;
mod relay;
mod revoked;
pub mod swap;
mod swapper;
mod target;
pub mod tls;
mod upstream;
mod watch;

pub use self::body::{AnswerBody, BodyError, Incoming, Outgoing, Received};
pub use self::exchange::{Exchange, ExchangeParts};
pub use self::fault::Fault;
pub use self::gateway::{Asked, Gateway, Path};
pub use self::inject::{BadInjection, Inject, Placed};
pub use self::limits::ExchangeLimits;
pub use self::order::{Order, Own, Served};
pub use self::recheck::Recheck;
pub use self::revoked::EndsWith;
pub use self::swapper::{Gate, GateParts, Guarded, SwapLimits, Swapper, Trail, TrailLimits, Veil};
pub use self::target::Target;
pub use self::upstream::{Direct, Reach};
