//! Every bound of the forward proxy, by name.

use std::time::Duration;

use crate::limits::HEADERS_AT_HAND;

/// Bounds of the forward proxy. Every one is a configuration value of the same name, under `[proxy]`.
#[derive(Debug, Clone)]
pub struct ForwardLimits {
    /// Connections of agents at once; the next one waits to be accepted. Default 16,384.
    pub connections_max: usize,
    /// Connections that may wait to be accepted, as far as the system allows. Default 4,096.
    pub backlog_max: u32,
    /// How long a connection may take to say its first byte, its TLS handshake, or whom it dials. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long a request's head may take. Default 30 s.
    pub head_timeout: Duration,
    /// The most that is read of a request's head, in bytes; HTTP/1 needs at least 8 KiB. Default 64 KiB.
    pub head_len_max: usize,
    /// The most header lines of a request. Default 100, for which there is room without asking for any.
    pub headers_max: usize,
    /// Requests at once on one HTTP/2 connection. Default 256.
    pub streams_max: u32,
    /// DNS and TCP towards a tunnel's other end. Default 10 s.
    pub connect_timeout: Duration,
    /// How many of a name's addresses are tried. Default 16.
    pub addresses_max: usize,
    /// How long a tunnel may be silent. Default 1 h.
    pub tunnel_idle_timeout: Duration,
    /// How long requests and tunnels may go on once the door closes. Default 10 s.
    pub drain_timeout: Duration,
}

impl Default for ForwardLimits {
    fn default() -> Self {
        Self {
            connections_max: 16_384,
            backlog_max: 4_096,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            head_len_max: 64 * 1024,
            headers_max: HEADERS_AT_HAND,
            streams_max: 256,
            connect_timeout: Duration::from_secs(10),
            addresses_max: 16,
            tunnel_idle_timeout: Duration::from_secs(60 * 60),
            drain_timeout: Duration::from_secs(10),
        }
    }
}
