//! Every bound of the REST door, by name.

use std::time::Duration;

/// The header lines that hyper has room for where nobody says another number: it makes that room anew for each head, at once
/// and without writing to it.
pub(crate) const HEADERS_AT_HAND: usize = 100;

/// Bounds of the REST door. Every one is a configuration value of the same name; durations are configured in seconds.
#[derive(Debug, Clone)]
pub struct ApiLimits {
    /// The largest request body, in bytes. Default 1 MiB.
    pub body_len_max: usize,
    /// The largest request head, in bytes; HTTP/1 needs at least 8 KiB. Default 64 KiB.
    pub head_len_max: usize,
    /// The most header lines in an HTTP/1 request. Default 100.
    pub headers_max: usize,
    /// Connections at once; further ones wait to be accepted. Default 16,384.
    pub connections_max: usize,
    /// Connections that may wait to be accepted, as far as the system allows. Default 4,096.
    pub backlog_max: u32,
    /// Requests at once on one HTTP/2 connection. Default 1,024.
    pub streams_max: u32,
    /// From a connection's acceptance (TLS included), or the last answer on it, to the end of the next request's head;
    /// after an answer it may be twice as long. Default 30 s.
    pub header_timeout: Duration,
    /// From a request's head to its whole body, and as long again to its answer, where it does not wait for a
    /// provider. Default 30 s.
    pub request_timeout: Duration,
    /// How long a client may take nothing of an answer before its connection is cut. Default 60 s.
    pub write_timeout: Duration,
    /// How long a look through the whole audit log may take. Default 300 s.
    pub verify_timeout: Duration,
    /// How long requests in flight may take once the server stops. Default 30 s.
    pub drain_timeout: Duration,
    /// The longest that a caller may ask to wait for a refresh; never more than 300 s. Default 300 s.
    pub wait_max: Duration,
    /// Changes under way at once; further ones wait for `request_timeout`, then get `busy`. Default 256.
    pub changes_max: usize,
    /// Listeners to events at once; further ones get `busy`. Default 256.
    pub events_max: usize,
    /// Rest after which a silent stream of events carries a comment. Default 15 s.
    pub events_keep_alive: Duration,
    /// How old an answer of `/readyz` may be. Default 0.25 s.
    pub readiness_age_max: Duration,
    /// How long the store may take to show that it is there. Default 2 s.
    pub readiness_timeout: Duration,
    /// How old the gauges in `/metrics` may be that are counted in the store. Default 10 s.
    pub gauges_age_max: Duration,
    /// Sessions of the dashboard at once; past it the one longest unused ends. Default 64.
    pub sessions_max: usize,
    /// How long a session lasts that nobody uses. Default 2 h.
    pub session_idle: Duration,
    /// How long a session lasts at most. Default 12 h.
    pub session_life: Duration,
}

impl Default for ApiLimits {
    fn default() -> Self {
        Self {
            body_len_max: 1024 * 1024,
            head_len_max: 64 * 1024,
            headers_max: HEADERS_AT_HAND,
            connections_max: 16_384,
            backlog_max: 4_096,
            streams_max: 1_024,
            header_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            verify_timeout: Duration::from_secs(300),
            drain_timeout: Duration::from_secs(30),
            wait_max: Duration::from_secs(300),
            changes_max: 256,
            events_max: 256,
            events_keep_alive: Duration::from_secs(15),
            readiness_age_max: Duration::from_millis(250),
            readiness_timeout: Duration::from_secs(2),
            gauges_age_max: Duration::from_secs(10),
            sessions_max: 64,
            session_idle: Duration::from_secs(2 * 3_600),
            session_life: Duration::from_secs(12 * 3_600),
        }
    }
}
