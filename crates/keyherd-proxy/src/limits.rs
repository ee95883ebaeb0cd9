//! Every bound of an exchange with an upstream, by name.

use std::time::Duration;

/// The header lines that hyper has room for where nobody says another number: it makes that room anew for each head, at once
/// and without writing to it.
pub(crate) const HEADERS_AT_HAND: usize = 100;

/// Bounds of exchanges. Every one is a configuration value of the same name.
#[derive(Debug, Clone)]
pub struct ExchangeLimits {
    /// How long a request waits for its token. Default 30 s.
    pub token_wait: Duration,
    /// How long a request waits for a human's answer; an approval that ends before ends it. Default 3,600 s.
    pub approval_wait: Duration,
    /// DNS, TCP and TLS. Default 10 s.
    pub connect_timeout: Duration,
    /// How long a request waits for a place among an upstream's connections. Default 10 s.
    pub queue_timeout: Duration,
    /// From the last byte of a request that upstream took to the head of its answer. Default 600 s.
    pub head_timeout: Duration,
    /// How long an answer, or an upgraded connection, may be silent. Default 900 s.
    pub idle_timeout: Duration,
    /// The largest head of an answer, in bytes; HTTP/1 needs at least 8 KiB. Default 64 KiB.
    pub head_len_max: usize,
    /// The most header lines in an HTTP/1 answer. Default 100, for which there is room without asking for any.
    pub headers_max: usize,
    /// Requests at once to one upstream; over HTTP/1 each has a connection. Default 8,192.
    pub requests_max: usize,
    /// Requests at once on one HTTP/2 connection. Default 100.
    pub streams_max: usize,
    /// Connections to one upstream that are kept although nobody uses them. Default 256.
    pub spare_connections_max: usize,
    /// How long they are kept. Default 30 s.
    pub spare_timeout: Duration,
    /// Upstreams remembered; past it their spare connections are closed. Default 1,024.
    pub upstreams_max: usize,
    /// The longest request that is kept so that it can be sent again, in bytes. Default 1 MiB.
    pub replay_len_max: usize,
    /// All of those together, in bytes. Default 256 MiB.
    pub replay_total_max: usize,
    /// The most times that one request is sent. Default 16.
    pub tries_max: usize,
    /// The most that is read of a refusal's body to see what it says, in bytes, encoded or decoded. Default 64 KiB.
    pub refusal_len_max: usize,
    /// How long a refusal's body may take. Default 5 s.
    pub refusal_timeout: Duration,
    /// How long a stream is held back for its first event, which may be an error. Default 2 s.
    pub first_event_timeout: Duration,
}

impl Default for ExchangeLimits {
    fn default() -> Self {
        Self {
            token_wait: Duration::from_secs(30),
            approval_wait: Duration::from_secs(3_600),
            connect_timeout: Duration::from_secs(10),
            queue_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(600),
            idle_timeout: Duration::from_secs(900),
            head_len_max: 64 * 1024,
            headers_max: HEADERS_AT_HAND,
            requests_max: 8_192,
            streams_max: 100,
            spare_connections_max: 256,
            spare_timeout: Duration::from_secs(30),
            upstreams_max: 1_024,
            replay_len_max: 1024 * 1024,
            replay_total_max: 256 * 1024 * 1024,
            tries_max: 16,
            refusal_len_max: 64 * 1024,
            refusal_timeout: Duration::from_secs(5),
            first_event_timeout: Duration::from_secs(2),
        }
    }
}
