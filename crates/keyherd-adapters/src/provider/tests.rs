//! The client against real servers on this machine, most of which misbehave.

mod answers;
mod server;
mod tls;
mod unsent;

use std::time::Duration;

use keyherd_core::ports::{CallLimits, Delivery, ProviderClient};
use keyherd_core::provider::{Body, Method, Reply, TokenRequest};
use keyherd_core::secret::Secret;
use url::Url;

use super::{HttpOptions, HttpProvider};

/// Planted in every request: must come up nowhere but in what the server got.
const PLANTED: &str = "planted-refresh-token";

const BODY_LEN_MAX: usize = 4_096;

/// Long enough that no test meets it by accident.
const LIMITS: CallLimits = CallLimits {
    connect_timeout: Duration::from_secs(20),
    answer_timeout: Duration::from_secs(20),
    body_len_max: BODY_LEN_MAX,
};

/// For servers that let one wait: the test takes this long.
const SHORT: Duration = Duration::from_millis(100);
/// The same where something has to happen before.
const LONG_ENOUGH: Duration = Duration::from_secs(1);

fn post(url: &str) -> TokenRequest {
    TokenRequest {
        method: Method::Post,
        url: Url::parse(url).unwrap(),
        headers: vec![("accept".into(), Secret::from("application/json"))],
        content_type: Some("application/x-www-form-urlencoded"),
        body: Some(Secret::from(format!("refresh_token={PLANTED}"))),
    }
}

fn client() -> HttpProvider {
    HttpProvider::new(HttpOptions::default()).unwrap()
}

/// A call with everything at its default.
async fn call(url: &str) -> Delivery {
    client().call(&post(url), &LIMITS, &|| true).await
}

fn answered(delivery: Delivery) -> Reply {
    match delivery {
        Delivery::Answered(reply) => reply,
        other => panic!("{other:?}"),
    }
}

fn bytes(reply: &Reply) -> &[u8] {
    match &reply.body {
        Body::Bytes(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

/// The code, if it was not sent. No detail may show what was.
fn not_sent(delivery: Delivery) -> (String, String) {
    match delivery {
        Delivery::NotSent { code, detail } => checked(code, detail),
        other => panic!("{other:?}"),
    }
}

fn unanswered(delivery: Delivery) -> (String, String) {
    match delivery {
        Delivery::Unanswered { code, detail } => checked(code, detail),
        other => panic!("{other:?}"),
    }
}

fn checked(code: String, detail: String) -> (String, String) {
    assert!(!detail.is_empty() && !detail.contains("planted"), "{detail}");
    (code, detail)
}
