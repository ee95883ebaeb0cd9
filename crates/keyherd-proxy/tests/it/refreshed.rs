//! An agent's own refresh by phantom: answered from the engine, in phantoms, without a call of the provider.

use serde_json::Value;

use crate::swapping::{Proxy, echo, untrusting};

impl Proxy {
    /// What is said to a token request at the endpoint of `one` and `two`.
    async fn token(&self, kind: &str, body: &str) -> String {
        let head = "POST https://id.example/token HTTP/1.1\r\nHost: id.example\r\nConnection: close\r\n";
        let len = body.len();
        let auth = self.auth();
        self.said(&format!("{head}{auth}Content-Type: {kind}\r\nContent-Length: {len}\r\n\r\n{body}")).await
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

fn status(told: &str) -> &str {
    told.split(' ').nth(1).unwrap_or_default()
}

/// Also where it came in pieces.
fn json(told: &str) -> Value {
    let body = told.split_once("\r\n\r\n").expect("has a head").1;
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[tokio::test]
async fn a_refresh_by_phantom_is_answered_here() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["one"], untrusting()).await;
    let one = proxy.phantom("one").await;
    let form = format!("grant_type=refresh_token&client_id=app&refresh_token={one}");
    let object = format!(r#"{{"grant_type":"refresh_token","refresh_token":"{one}"}}"#);
    for (kind, body) in [(FORM, form), ("application/json", object)] {
        let told = proxy.token(kind, &body).await;
        let granted = json(&told);
        assert_eq!(status(&told), "200", "{told}");
        assert_eq!(
            (granted["access_token"].as_str(), granted["refresh_token"].as_str()),
            (Some(&*one), Some(&*one))
        );
        assert_eq!(granted["token_type"], "Bearer");
        assert!(granted["expires_in"].as_i64().is_some_and(|left| (3_000..=3_600).contains(&left)), "{told}");
        assert!(!told.contains("access-one"), "{told}");
    }
    assert_eq!(proxy.stage.provider.calls(), 0, "nobody was asked");
}

#[tokio::test]
async fn another_request_with_a_phantom_goes_nowhere() {
    let upstream = echo().await;
    let proxy = Proxy::new(&upstream, "nothing.example", &["one"], untrusting()).await;
    let (one, lone) = (proxy.phantom("one").await, proxy.phantom("lone").await);
    for body in [
        format!("grant_type=authorization_code&code={one}"),
        format!("grant_type=refresh_token&refresh_token={lone}"),
        format!("grant_type=refresh_token&refresh_token=x{one}"),
        format!("grant_type=client_credentials&client_secret={lone}"),
    ] {
        let told = proxy.token(FORM, &body).await;
        assert_eq!(status(&told), "403", "{body}: {told}");
        assert!(told.contains("cred login"), "{told}");
    }
}
