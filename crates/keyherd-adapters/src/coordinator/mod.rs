//! Coordinators: waking others after a commit. A hint only; the store decides.

mod bell;
mod ears;
mod fleet;
mod postgres;
mod redis;

pub use self::bell::{Bell, BellOptions, Pulse};
pub use self::fleet::{FleetCoordinator, FleetOptions, FleetPlaces};
pub use self::postgres::{PostgresBell, PostgresBellOptions};
pub use self::redis::{BadRedisUrl, RedisLink, RedisLinkOptions, RedisPlace, TurnOptions};
