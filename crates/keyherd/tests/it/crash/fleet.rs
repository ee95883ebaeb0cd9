//! The same steps where hosts share a store: a host is killed, stopped past its claim's expiry and continued, or cut off
//! from the store or from Redis, and what the other hosts get then.

mod cut;
mod hosts;
mod kill;
mod stop;
