//! One POST of a JSON document to where a person said: the same dialling, trust and bounds as towards a provider.
//!
//! Follows no redirect, reuses no connection, retries nothing. The target may hold a secret, and is in no error.

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use keyherd_core::ports::{CallLimits, Delivery};
use url::Url;
use zeroize::Zeroizing;

use super::dial::Dialer;
use super::{BadCaBundle, Failure, HttpOptions, exchange, not_sent, request, tls};

/// Sends documents.
#[derive(Debug)]
pub(crate) struct Poster {
    dialer: Dialer,
}

/// What to send.
pub(crate) struct Post<'a> {
    /// Scheme, host and port.
    pub(crate) to: &'a Url,
    /// Path and query.
    pub(crate) target: Zeroizing<String>,
    /// Beside the usual ones.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// A JSON document.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Poster {
    pub(crate) fn new(options: HttpOptions) -> Result<Self, BadCaBundle> {
        let tls = tls::Tls::new(options.ca_bundle.as_deref())?;
        Ok(Self { dialer: Dialer::new(tls, options.egress_proxy) })
    }

    pub(crate) async fn post(&self, post: Post<'_>, limits: &CallLimits) -> Delivery {
        let to = post.to;
        let message = match message(post) {
            Ok(message) => message,
            Err(failure) => return not_sent(failure),
        };
        match self.dialer.dial(to, limits.connect_timeout).await {
            Ok(stream) => exchange::exchange(stream, message, limits, &|| true).await,
            Err(failure) => not_sent(failure),
        }
    }
}

fn message(post: Post<'_>) -> Result<Request<Full<Bytes>>, Failure> {
    let bad = || Failure::new("bad_request", "its URL has a path that cannot be sent");
    // Wiped when the message is dropped, as is the body.
    let target = Bytes::from_owner(Zeroizing::new(post.target.as_bytes().to_vec()));
    let mut message = Request::new(Full::new(Bytes::from_owner(post.body)));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = Uri::from_maybe_shared(target).map_err(|_| bad())?;
    let headers: &mut HeaderMap = message.headers_mut();
    headers.insert(USER_AGENT, request::OURSELVES);
    headers.insert(HOST, request::host(post.to)?);
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.extend(post.headers);
    Ok(message)
}
