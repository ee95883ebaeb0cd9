//! The one way to a provider: a single request, never retried by the transport.

use std::time::Duration;

use async_trait::async_trait;

use crate::provider::{Reply, TokenRequest};

/// Bounds of one call.
#[derive(Debug, Clone, Copy)]
pub struct CallLimits {
    /// DNS, TCP and TLS.
    pub connect_timeout: Duration,
    /// From sending to the last byte of the answer.
    pub answer_timeout: Duration,
    /// The largest body, in bytes, decompressed.
    pub body_len_max: usize,
}

/// Asked once, after the handshake and right before the first byte is sent: may it still be?
pub type SendGate<'a> = &'a (dyn Fn() -> bool + Send + Sync);

/// What became of a request.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// Not one byte of it was sent.
    NotSent {
        /// `dns_failed`, `connect_failed`, `connect_timeout`, `tls_failed`, `gate_closed`, …
        code: String,
        /// For logs: never holds a secret.
        detail: String,
    },
    /// It was, or may have been, sent; no complete answer came.
    Unanswered {
        /// `timeout`, `reset`, `truncated`, …
        code: String,
        /// For logs: never holds a secret.
        detail: String,
    },
    /// A complete answer, whatever it says.
    Answered(Reply),
}

/// Sends token requests.
#[async_trait]
pub trait ProviderClient: Send + Sync + 'static {
    /// Connects, asks the gate, sends, reads. Follows no redirect, reuses no connection, retries nothing.
    async fn call(&self, request: &TokenRequest, limits: &CallLimits, gate: SendGate<'_>) -> Delivery;
}
