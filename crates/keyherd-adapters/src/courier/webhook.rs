//! Webhooks: one signed JSON document to one place, which may answer at once or later.

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use keyherd_core::approval::{Approval, Asked, Decision};
use keyherd_core::channel::{Channel, Said};
use keyherd_core::ports::{Carried, Message, Undelivered, Words};
use keyherd_core::secret::Secret;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::{Position, Url};
use zeroize::Zeroizing;

use super::signature::{SIGNATURE_HEADER, sign};
use super::text::{TARGET_SHOWN_MAX, moment, plain};
use super::{HttpCourier, answered, passing, refused};
use crate::provider::Post;

/// What the message is known by, the same however often it is sent.
pub const MESSAGE_HEADER: HeaderName = HeaderName::from_static("keyherd-message");
/// Which try it is, from 1.
pub const ATTEMPT_HEADER: HeaderName = HeaderName::from_static("keyherd-attempt");
/// Room for a document: a question's bound, and what stands around it.
const DOCUMENT_LEN: usize = 24 * 1024;

/// A message as it is written.
#[derive(Serialize)]
struct Document<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    channel: &'a str,
    sent_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decisions: Option<Vec<&'static str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Later<'a>>,
}

/// How an answer may come later.
#[derive(Serialize)]
struct Later<'a> {
    method: &'static str,
    path: String,
    token: &'a str,
}

/// An answer as it is read: other fields are the other side's own.
#[derive(Deserialize)]
struct AnswerDocument {
    decision: String,
    for_seconds: Option<u64>,
}

impl HttpCourier {
    pub(super) async fn post_to_webhook(
        &self,
        channel: &Channel,
        url: &Url,
        key: &Secret,
        message: &Message<'_>,
    ) -> Result<Carried, Undelivered> {
        let now = self.clock.now();
        let body = written(&document(channel, message, moment(now)))
            .ok_or_else(|| passing("the message cannot be written"))?;
        let signature = sign(key, now, &body).ok_or_else(|| passing("the message cannot be signed"))?;
        let id = HeaderValue::from_str(message.id).map_err(|_| passing("the message has no fit name"))?;
        let post = Post {
            to: url,
            target: Zeroizing::new(url[Position::BeforePath..Position::AfterQuery].to_owned()),
            headers: vec![
                (SIGNATURE_HEADER, signature),
                (MESSAGE_HEADER, id),
                (ATTEMPT_HEADER, HeaderValue::from(message.attempt)),
            ],
            body,
        };
        let (reply, bytes) = answered(self.poster.post(post, &self.limits).await)?;
        match reply.status {
            200..=299 => {
                let is_question = matches!(message.words, Words::Asked { .. });
                let said = if is_question { said(channel, &bytes) } else { None };
                Ok(Carried::Delivered { known_as: None, said })
            }
            status @ 300..=399 => {
                let problem =
                    format!("it answers {status}, and no redirect is followed: give the place itself");
                Err(refused(&reply, problem))
            }
            status => Err(refused(&reply, format!("it answers {status}"))),
        }
    }
}

fn document<'a>(channel: &'a Channel, message: &'a Message<'_>, sent_at: String) -> Document<'a> {
    let (kind, approval, decisions, answer) = match &message.words {
        Words::Test => ("test", None, None, None),
        Words::Ended { approval, .. } => ("approval_answered", Some(shown(approval)), None, None),
        Words::Asked { approval, answers, ticket } => {
            let later = Later {
                method: "POST",
                path: format!("/v1/approvals/{}/answer", approval.id),
                token: ticket.expose(),
            };
            let decisions = answers.iter().map(|(decision, _)| decision.as_str()).collect();
            ("approval_opened", Some(shown(approval)), Some(decisions), Some(later))
        }
    };
    let channel = channel.name.as_str();
    Document { id: message.id, kind, channel, sent_at, approval, decisions, answer }
}

/// As the REST door shows it, with what is too long cut.
fn shown(approval: &Approval) -> Value {
    let mut shown = json!({
        "id": approval.id.to_string(),
        "state": approval.stage().as_str(),
        "agent": approval.question.agent.as_str(),
        "question": asked(&approval.question.asked),
        "waiters": approval.waiters,
        "opened_at": moment(approval.opened_at),
        "expires_at": moment(approval.expires_at),
        "coalesce": approval.coalesces,
    });
    let Value::Object(fields) = &mut shown else { return shown };
    if let Asked::Outside { key: Some(key), .. } = &approval.question.asked {
        fields.insert("key".into(), (**key).into());
    }
    if let Some(answer) = &approval.answer {
        fields.insert("decision".into(), answer.decision.map(Decision::as_str).into());
        fields.insert("answered_by".into(), answer.by.clone().into());
        fields.insert("answered_at".into(), moment(answer.at).into());
        fields.insert("until".into(), answer.until.map(moment).into());
    }
    fields.retain(|_, value| !value.is_null());
    shown
}

fn asked(asked: &Asked) -> Value {
    match asked {
        Asked::Outside { text, .. } => serde_json::from_str(text).unwrap_or_default(),
        Asked::Target { host, port, method, path } => {
            let mut shown = json!({"host": **host, "port": port});
            if let Value::Object(fields) = &mut shown {
                let path = path.as_deref().map(|path| plain(path, TARGET_SHOWN_MAX));
                fields.extend(method.as_deref().map(|method| ("method".to_owned(), method.into())));
                fields.extend(path.map(|path| ("path".to_owned(), path.into())));
            }
            shown
        }
    }
}

fn written(document: &Document<'_>) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(DOCUMENT_LEN));
    serde_json::to_writer(&mut *bytes, document).ok()?;
    Some(bytes)
}

/// The answer in an answer's body; most have none.
fn said(channel: &Channel, bytes: &[u8]) -> Option<Said> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    value.get("decision")?;
    // From the text: two decisions in one answer are none.
    let read: Option<AnswerDocument> = serde_json::from_slice(bytes).ok();
    let said = read.and_then(|answer| {
        Some((Decision::parse(&answer.decision)?, answer.for_seconds.map(Duration::from_secs)))
    });
    if said.is_none() {
        tracing::warn!(channel = %channel.name, "an answer came back that is none: 'decision' is allow_once, allow_for, always_allow, deny or always_deny");
    }
    said
}
