//! Reports: what upstream answered, from a caller that uses tokens itself, and what followed.

use std::collections::BTreeMap;

use keyherd_core::broker::{Followed, Report};
use keyherd_core::ids::Name;
use keyherd_core::provider::Body;
use keyherd_core::upstream::Evidence;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::cooldown::check_scope;
use super::{BadDocument, Moment, Ticket, refusal_line};

/// Tells what upstream answered, for `POST /v1/report`.
#[derive(Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportDocument {
    /// What the token was asked for by: a credential's or a pool's name.
    #[schema(example = "acme")]
    pub name: String,
    /// Whose token was used, as the token's answer said.
    #[schema(example = "acme-1")]
    pub credential: String,
    /// Of which generation, as the token's answer said.
    pub generation: u64,
    /// The HTTP status that upstream answered with.
    #[schema(minimum = 100, maximum = 599, example = 429)]
    pub status: u16,
    /// Its headers; of several values of one name the first counts.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: BTreeMap<String, Value>,
    /// Its body, decoded: as text, or as the JSON it was. Of a stream its beginning.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    pub body: Option<Value>,
    /// The part of the account that the request was for, such as a model: only that part rests.
    #[serde(default)]
    pub scope: Option<String>,
    /// As it came with the token: the report then never reaches another account of the same name.
    #[serde(default)]
    pub ticket: Option<Ticket>,
}

/// A report that was read, before its answer is judged.
pub struct Told {
    /// All of the report but what the answer proves.
    pub report: Report,
    /// The status.
    pub status: u16,
    /// The headers, by lower-case names.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: Body,
}

impl ReportDocument {
    /// What it tells.
    pub fn into_told(self) -> Result<Told, BadDocument> {
        if !(100..=599).contains(&self.status) {
            return Err(BadDocument::field("status", "is no HTTP status: it must be 100 to 599"));
        }
        if let Some(scope) = &self.scope {
            check_scope(scope)?;
        }
        let report = Report {
            name: name("name", &self.name)?,
            credential: name("credential", &self.credential)?,
            incarnation: self.ticket.map(|ticket| ticket.credential),
            generation: self.generation,
            pool_epoch: self.ticket.and_then(|ticket| ticket.epoch),
            scope: self.scope,
            evidence: Evidence::Nothing,
        };
        Ok(Told { report, status: self.status, headers: headers(self.headers)?, body: body(self.body) })
    }
}

fn name(field: &str, text: &str) -> Result<Name, BadDocument> {
    Name::parse(text).map_err(|error| BadDocument::field(field, error.to_string()))
}

fn headers(headers: BTreeMap<String, Value>) -> Result<BTreeMap<String, String>, BadDocument> {
    let mut read = BTreeMap::new();
    for (name, value) in headers {
        let text = match value {
            Value::Array(values) => values.into_iter().next().and_then(text),
            value => text(value),
        };
        let text = text.ok_or_else(|| BadDocument::field("headers", "have a value that is no text"))?;
        read.entry(name.to_ascii_lowercase()).or_insert(text);
    }
    Ok(read)
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn body(body: Option<Value>) -> Body {
    match body {
        None => Body::from(""),
        Some(Value::String(text)) => text.into_bytes().into(),
        Some(json) => json.to_string().into_bytes().into(),
    }
}

/// What followed a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReportView {
    /// `nothing`: the answer proves nothing, or that all is well. `unproven`: nothing, because it is not proven that this
    /// credential was used; see `why`. `stale`: nothing, because that token is not the current one any more: try again
    /// with the one that is. `refreshed`: the token was replaced: try again. `cooled`: it rests. `refused`: its token
    /// could not be replaced; see `why`.
    pub followed: String,
    /// Whom the report was about.
    pub credential: String,
    /// For `stale` and `refreshed`: the current generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// For `cooled`: until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// For `cooled`: `rate_limit` or `authentication`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For `cooled`: the part that rests; absent: the whole account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// For `unproven` and `refused`: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl ReportView {
    /// What followed a report about `credential`.
    pub fn new(credential: &Name, followed: Followed) -> Self {
        let plain = |word: &str| Self {
            followed: word.into(),
            credential: credential.to_string(),
            generation: None,
            until: None,
            reason: None,
            scope: None,
            why: None,
        };
        match followed {
            Followed::Nothing => plain("nothing"),
            Followed::Unproven(why) => Self { why: Some(why.into()), ..plain("unproven") },
            Followed::Stale { generation } => Self { generation: Some(generation), ..plain("stale") },
            Followed::Refreshed { generation } => Self { generation: Some(generation), ..plain("refreshed") },
            Followed::Cooled { cooldown, .. } => Self {
                until: Some(cooldown.until.into()),
                reason: Some(cooldown.reason),
                scope: cooldown.scope,
                ..plain("cooled")
            },
            Followed::Refused(refusal) => {
                Self { why: Some(refusal_line(credential.as_str(), &refusal)), ..plain("refused") }
            }
        }
    }
}
