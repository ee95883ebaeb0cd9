//! Bindings: where a credential or pool may go, asked for and shown.

use keyherd_core::binding::{Binding, BindingDraft, Injection};
use keyherd_core::ids::Name;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BadDocument, Moment};

/// A binding to be added, for `POST /v1/bindings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BindingDocument {
    /// The credential or pool.
    #[schema(example = "acme-1")]
    pub name: String,
    /// Where it may go: a host, or a pattern. `*` is one label, `**` one or more.
    #[schema(example = "*.acme.example")]
    pub host: String,
    /// To which port; any where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// The header that it is injected into; `Authorization` where neither this nor `query` is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The query parameter that it is injected into, instead of a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What it is put into: `Bearer {token}` for `Authorization`, else `{token}`, where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "Bearer {token}")]
    pub template: Option<String>,
    /// Where the gateway sends requests for the name: a base URL at that host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://api.acme.example/v1")]
    pub upstream: Option<String>,
}

impl BindingDocument {
    /// What it stands for. Whether that is a binding, the broker says.
    pub fn into_draft(self) -> Result<BindingDraft, BadDocument> {
        Ok(BindingDraft {
            name: Name::parse(&self.name).map_err(|error| BadDocument::field("name", error.to_string()))?,
            host: self.host,
            port: self.port,
            header: self.header,
            query: self.query,
            template: self.template,
            upstream: self.upstream,
        })
    }
}

/// A binding as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BindingView {
    /// What removing it names.
    #[schema(example = "03fa9c21b7")]
    pub id: String,
    /// The credential or pool.
    pub name: String,
    /// Where it may go.
    pub host: String,
    /// To which port; absent: to any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The header that it is injected into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// The query parameter that it is injected into.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// What it is put into.
    pub template: String,
    /// Where the gateway sends requests for the name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// When it was made.
    pub created_at: Moment,
}

impl BindingView {
    /// Of the domain's.
    pub fn new(binding: &Binding) -> Self {
        let (header, query) = match &binding.injection {
            Injection::Header { name, .. } => (Some(name.clone()), None),
            Injection::Query { parameter, .. } => (None, Some(parameter.clone())),
        };
        Self {
            id: binding.id.to_string(),
            name: binding.name.to_string(),
            host: binding.host.to_string(),
            port: binding.port,
            header,
            query,
            template: binding.injection.template().as_str().to_owned(),
            upstream: binding.upstream.as_ref().map(ToString::to_string),
            created_at: binding.created_at.into(),
        }
    }
}
