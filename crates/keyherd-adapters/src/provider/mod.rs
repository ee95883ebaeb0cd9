//! The way to token endpoints: HTTP/1.1 over a connection that is made for one request and closed after it.
//!
//! Owns the exactness about what was sent: the connection stands before the gate is asked, and after the gate nothing
//! is called unsent unless it certainly is. Follows no redirect, reuses no connection, retries nothing, reads no proxy
//! from the environment, and judges no answer: core does. No detail repeats a query, a header's value or a body.

mod body;
mod decode;
mod dial;
mod exchange;
mod outbound;
mod post;
mod proxy;
mod remote;
mod request;
mod tls;

use std::path::PathBuf;

use async_trait::async_trait;
use keyherd_core::ports::{CallLimits, Delivery, ProviderClient, SendGate};
use keyherd_core::provider::TokenRequest;

pub use self::body::CODINGS_MAX;
use self::dial::Dialer;
pub use self::dial::{ADDRESSES_MAX, ATTEMPT_DELAY};
pub use self::exchange::{HEAD_LEN_MAX, HEADERS_MAX, LATE_GRACE};
pub use self::outbound::Outbound;
pub(crate) use self::post::{Post, Poster};
pub use self::proxy::{BadProxy, EgressProxy, PROXY_HEAD_LEN_MAX};
pub use self::remote::{RestAnswer, RestCall, RestClient, RestError};
pub use self::tls::{BadCaBundle, CA_BUNDLE_LEN_MAX, trusted_as_pem};
pub(crate) use self::tls::{extra_roots, roots, roots_as_pem};

/// How to reach providers.
#[derive(Debug, Clone, Default)]
pub struct HttpOptions {
    /// A PEM file of certificates that are trusted beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// A proxy for all requests but those to this machine.
    pub egress_proxy: Option<EgressProxy>,
}

/// A [`ProviderClient`] over TCP and TLS.
///
/// Codes of [`Delivery::NotSent`]: `bad_request`, `dns_failed`, `connect_failed`, `connect_timeout`, `proxy_failed`,
/// `tls_failed`, `not_tls`, `gate_closed`. Codes of [`Delivery::Unanswered`]: `timeout`, `reset`, `truncated`, `bad_answer`.
/// An answer that broke off behind its head is [`Delivery::Answered`] where its status says enough (it refuses), and
/// `Unanswered` where it does not (it grants).
#[derive(Debug)]
pub struct HttpProvider {
    dialer: Dialer,
}

/// Why a call failed, in one word and one line.
#[derive(Debug)]
struct Failure {
    code: &'static str,
    detail: String,
}

impl HttpProvider {
    /// Reads the CA bundle, if there is one. The system's certificates are loaded by the first https call.
    ///
    /// # Errors
    /// [`BadCaBundle`] names the file.
    pub fn new(options: HttpOptions) -> Result<Self, BadCaBundle> {
        let tls = tls::Tls::new(options.ca_bundle.as_deref())?;
        Ok(Self { dialer: Dialer::new(tls, options.egress_proxy) })
    }
}

#[async_trait]
impl ProviderClient for HttpProvider {
    async fn call(&self, request: &TokenRequest, limits: &CallLimits, gate: SendGate<'_>) -> Delivery {
        // The request is built first: one that cannot be sent costs nobody a connection.
        let message = match request::build(request) {
            Ok(message) => message,
            Err(failure) => return not_sent(failure),
        };
        let stream = match self.dialer.dial(&request.url, limits.connect_timeout).await {
            Ok(stream) => stream,
            Err(failure) => return not_sent(failure),
        };
        exchange::exchange(stream, message, limits, gate).await
    }
}

fn not_sent(Failure { code, detail }: Failure) -> Delivery {
    Delivery::NotSent { code: code.to_owned(), detail }
}

fn unanswered(Failure { code, detail }: Failure) -> Delivery {
    Delivery::Unanswered { code: code.to_owned(), detail }
}

impl Failure {
    fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }
}

/// An error with all that it was caused by, in one line.
fn in_full(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let mut texts: Vec<String> = causes.map(ToString::to_string).collect();
    // An io::Error says what it holds, and then holds it: once is enough.
    texts.dedup();
    texts.join(": ")
}

#[cfg(test)]
mod tests;
