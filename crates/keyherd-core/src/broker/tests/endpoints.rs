//! Agents' own logins: kept in just what they were attributed to, or nowhere.

use super::*;
use crate::broker::{ConnectError, NewAgent, NewTokens, TokenEndpoint};
use crate::credential::{Amendment, ClientChoice};

fn login() -> NewTokens {
    NewTokens {
        secret: None,
        access_token: Some("login".into()),
        refresh_token: Some("refresh-login".into()),
        expires_at: None,
    }
}

/// The endpoint of `acme`, as an agent that may use it meets it.
async fn endpoint(stage: &Stage) -> TokenEndpoint {
    let broker = &stage.host.broker;
    let robot = Name::parse("robot").expect("a name");
    let new = NewAgent { name: robot, allowed: vec![acme()], may_fetch_tokens: false };
    let (agent, _) = broker.create_agent(new, &actor()).await.expect("made");
    let mut endpoints = broker.token_endpoints(&agent).await.expect("the store answers");
    assert_eq!(endpoints.len(), 1);
    endpoints.remove(0)
}

async fn refused(stage: &Stage, endpoint: &TokenEndpoint) {
    let kept = stage.host.broker.keep_login(endpoint, login(), &actor()).await;
    assert!(matches!(kept, Err(ConnectError::Unfit { .. } | ConnectError::NotFound(_))), "{kept:?}");
}

#[tokio::test(start_paused = true)]
async fn a_login_is_a_reconnect() {
    let stage = stage(HOUR, []).await;
    let endpoint = endpoint(&stage).await;
    assert_eq!(
        (endpoint.url.as_str(), endpoint.client_id.as_deref()),
        ("https://id.example/token", Some("app"))
    );
    let broker = &stage.host.broker;
    assert!(broker.would_spend(&endpoint, &"refresh-0".into()));
    assert!(!broker.would_spend(&endpoint, &"refresh-1".into()));
    let kept = broker.keep_login(&endpoint, login(), &actor()).await.expect("kept");
    assert_eq!((kept.chain.generation, kept.chain.tokens.refresh_token), (1, Some("refresh-login".into())));
    assert_eq!(stage.token().await.expose(), "login");
}

#[tokio::test(start_paused = true)]
async fn a_successor_gets_no_login_of_its_predecessor() {
    let stage = stage(HOUR, []).await;
    let (broker, endpoint) = (&stage.host.broker, endpoint(&stage).await);
    broker.revoke_agent(&Name::parse("robot").expect("a name"), &actor()).await.expect("revoked");
    broker.remove(&acme(), &actor()).await.expect("removed");
    refused(&stage, &endpoint).await;
    stage.import("acme", HOUR, "refresh-9", |_| {}).await;
    refused(&stage, &endpoint).await;
    assert_eq!(stage.token().await.expose(), "access-0");
}

#[tokio::test(start_paused = true)]
async fn what_was_changed_meanwhile_gets_no_login() {
    let changes = [
        Amendment { disabled: Some(true), ..Amendment::default() },
        Amendment { token_url: Some("https://id.example/other".into()), ..Amendment::default() },
        Amendment {
            client: Some(ClientChoice::Own { id: "other".into(), secret: None }),
            ..Amendment::default()
        },
    ];
    for change in changes {
        let stage = stage(HOUR, []).await;
        let endpoint = endpoint(&stage).await;
        stage.host.broker.amend(&acme(), change, &actor()).await.expect("amended");
        refused(&stage, &endpoint).await;
    }
}
