//! Documents on their way to a server: the one place where a secret that came in a document is written again.
//!
//! Owns the mirrors of the documents that hold secrets. What is written is wiped when it is dropped.

use std::io::{self, Write};

use keyherd_core::refresh::Ask;
use keyherd_core::secret::Secret;
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{ChannelDocument, ClientSettingsDocument, CredentialDocument, Moment, PatchDocument, SecretText};

/// A document as JSON, with its secrets.
pub type Outgoing = Zeroizing<Vec<u8>>;

#[derive(Serialize)]
struct TokenAskOut<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_valid_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<&'a str>,
    wait_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
}

/// The body of `POST /v1/token`, whose caller waits for so many seconds.
pub fn token_ask(name: &str, ask: &Ask, wait_seconds: u64) -> Outgoing {
    written(&TokenAskOut {
        name,
        min_valid_seconds: ask.min_valid.map(|time| time.as_secs()),
        rejected: ask.rejected.as_ref().map(Secret::expose),
        wait_seconds,
        scope: ask.scope.as_deref(),
    })
}

#[derive(Serialize)]
struct CredentialOut<'a> {
    name: &'a str,
    provider: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_url: Option<&'a str>,
    scopes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a Value>,
}

/// The body of `POST /v1/credentials`.
pub fn credential(document: &CredentialDocument) -> Outgoing {
    // Naming every field here makes one without its mirror a compile error.
    let CredentialDocument {
        name,
        provider,
        kind,
        access_token,
        refresh_token,
        secret,
        expires_at,
        client,
        client_id,
        client_secret,
        token_url,
        scopes,
        resource,
        chain,
        attributes,
    } = document;
    written(&CredentialOut {
        name,
        provider,
        kind: kind.as_deref(),
        access_token: exposed(access_token.as_ref()),
        refresh_token: exposed(refresh_token.as_ref()),
        secret: exposed(secret.as_ref()),
        expires_at: *expires_at,
        client: client.as_deref(),
        client_id: client_id.as_deref(),
        client_secret: exposed(client_secret.as_ref()),
        token_url: token_url.as_deref(),
        scopes,
        resource: resource.as_deref(),
        chain: chain.as_deref(),
        attributes: attributes.as_ref(),
    })
}

#[derive(Serialize)]
struct ClientSettingsOut<'a> {
    provider: &'a str,
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
}

/// The body of `PUT /v1/clients/{name}`.
pub fn client_settings(document: &ClientSettingsDocument) -> Outgoing {
    let ClientSettingsDocument { provider, client_id, client_secret } = document;
    written(&ClientSettingsOut { provider, client_id, client_secret: exposed(client_secret.as_ref()) })
}

#[derive(Serialize)]
struct PatchOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scopes: Option<&'a [String]>,
}

/// The body of `PATCH /v1/credentials/{name}`.
pub fn patch(document: &PatchDocument) -> Outgoing {
    let PatchDocument { disabled, attributes, client, client_id, client_secret, token_url, scopes } =
        document;
    written(&PatchOut {
        disabled: *disabled,
        attributes: attributes.as_ref(),
        client: client.as_deref(),
        client_id: client_id.as_deref(),
        client_secret: exposed(client_secret.as_ref()),
        token_url: token_url.as_deref(),
        scopes: scopes.as_deref(),
    })
}

#[derive(Serialize)]
struct ChannelOut<'a> {
    name: &'a str,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chat: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<&'a [i64]>,
}

/// The body of `POST /v1/channels`.
pub fn channel(document: &ChannelDocument) -> Outgoing {
    let ChannelDocument { name, kind, url, signing_key, api, token, chat, users } = document;
    written(&ChannelOut {
        name,
        kind,
        url: url.as_deref(),
        signing_key: exposed(signing_key.as_ref()),
        api: api.as_deref(),
        token: exposed(token.as_ref()),
        chat: *chat,
        users: users.as_deref(),
    })
}

fn exposed(text: Option<&SecretText>) -> Option<&str> {
    text.map(SecretText::expose)
}

/// Measured first: a buffer that grows leaves copies behind that nobody wipes.
fn written(document: &impl Serialize) -> Outgoing {
    let mut len = Len(0);
    // Neither a count nor a buffer in memory fails, and no mirror has a key that is no text.
    let _ = serde_json::to_writer(&mut len, document);
    let mut bytes = Zeroizing::new(Vec::with_capacity(len.0));
    let _ = serde_json::to_writer(&mut *bytes, document);
    bytes
}

struct Len(usize);

impl Write for Len {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::documents::parse;

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let text = r#"{"name":"a","provider":"generic","kind":"oauth2","access_token":"at","refresh_token":"r\"t",
            "expires_at":"2026-11-20T10:00:00Z","client_id":"c","client_secret":"cs","token_url":"https://a/t",
            "scopes":["x","y"],"resource":"https://r/","chain":"w","attributes":{"k":[1]}}"#;
        let document: CredentialDocument = parse(text.as_bytes()).expect("is one");
        let bytes = credential(&document);
        assert_eq!(bytes.capacity(), bytes.len());
        assert_eq!(parse::<CredentialDocument>(&bytes).as_ref(), Ok(&document));
        let change: PatchDocument =
            parse(br#"{"disabled":true,"client_id":"c","client_secret":"s","scopes":[]}"#).expect("is one");
        assert_eq!(parse::<PatchDocument>(&patch(&change)).as_ref(), Ok(&change));
        let app: ClientSettingsDocument =
            parse(br#"{"provider":"generic","client_id":"c","client_secret":"s"}"#).expect("is one");
        assert_eq!(parse::<ClientSettingsDocument>(&client_settings(&app)).as_ref(), Ok(&app));
        let chat: ChannelDocument =
            parse(br#"{"name":"n","kind":"telegram","token":"1:t","chat":-1,"users":[1]}"#).expect("is one");
        assert_eq!(parse::<ChannelDocument>(&channel(&chat)).as_ref(), Ok(&chat));
        let rejecting = Ask { rejected: Some("old".into()), ..Ask::foreground(Duration::ZERO) };
        let ask = token_ask("a", &rejecting, 30);
        assert_eq!(&**ask, br#"{"name":"a","rejected":"old","wait_seconds":30}"#);
    }
}
