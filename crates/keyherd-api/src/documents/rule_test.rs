//! A request that rules are tried on, and which of them decides.

use keyherd_core::host::Host;
use keyherd_core::ids::Name;
use keyherd_core::policy::{Decided, Destination, Explanation, MethodWord, Outranked, RequestPath, Target};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{BadDocument, RuleView};

/// A request to be judged, for `POST /v1/rules/test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleTestDocument {
    /// The method.
    #[schema(example = "DELETE")]
    pub method: String,
    /// Where it goes: a URL of `http`, `https`, `ws` or `wss`.
    #[schema(example = "https://api.example.com/v1/things/1")]
    pub url: String,
    /// Who asks; without it, rules of agents do not match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The address that the host's name leads to, for rules on networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A target that owns its parts.
#[derive(Debug, Clone)]
pub struct TestedTarget {
    agent: Option<Name>,
    destination: Destination,
    method: String,
    path: RequestPath,
}

impl RuleTestDocument {
    /// The target it stands for.
    pub fn into_target(self) -> Result<TestedTarget, BadDocument> {
        let (host, port, path) = split(&self.url).ok_or_else(|| {
            BadDocument::field(
                "url",
                "must begin with http:// or https://, then a host; without user or password",
            )
        })?;
        let host = Host::parse(host).map_err(|error| BadDocument::field("url", error.to_string()))?;
        let mut destination = Destination::new(host, port);
        if let Some(address) = &self.address {
            let address = address
                .parse()
                .map_err(|_| BadDocument::field("address", "is no address such as 10.0.0.1"))?;
            destination = destination.dialling(address);
        }
        let agent = self.agent.as_deref().map(Name::parse).transpose();
        let method = MethodWord::parse(&self.method);
        Ok(TestedTarget {
            agent: agent.map_err(|error| BadDocument::field("agent", error.to_string()))?,
            destination,
            method: method.map_err(|error| BadDocument::field("method", error.to_string()))?.as_str().into(),
            path: RequestPath::read(path),
        })
    }
}

/// A URL's host, port and path. Not by a parser of URLs: that would follow dots in the path, which rules must see.
fn split(url: &str) -> Option<(&str, u16, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        _ => return None,
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let path = if path.starts_with(['/', '\\']) { path } else { "/" };
    let after_host = authority.rfind(']').unwrap_or(0);
    let (host, port) = match authority.rfind(':').filter(|at| *at >= after_host) {
        Some(at) => (authority.get(..at)?, authority.get(at + 1..)?.parse().ok().filter(|port| *port > 0)?),
        None => (authority, default),
    };
    (!host.contains('@')).then_some((host, port, path))
}

impl TestedTarget {
    /// As rules see it.
    pub fn target(&self) -> Target<'_> {
        Target {
            agent: self.agent.as_ref().map(Name::as_str),
            destination: &self.destination,
            method: Some(&self.method),
            path: Some(&self.path),
        }
    }
}

/// Which rule decides, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleTestView {
    /// What is decided.
    pub verdict: String,
    /// `rule`, `remembered` or `default`.
    pub decided_by: String,
    /// Why, in words.
    pub why: String,
    /// Whether the forward proxy refuses it all the same: the address is private, link-local, this machine's or a metadata
    /// service's, and no rule or binding names it.
    #[serde(default)]
    pub address_refused: bool,
    /// The rule that decides; absent where it is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleView>,
    /// What matches too, the strongest first.
    pub outranked: Vec<OutrankedView>,
}

/// A rule that matches and does not decide.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OutrankedView {
    /// The rule.
    pub rule: RuleView,
    /// Why it does not decide.
    pub why: String,
}

impl RuleTestView {
    /// Of the domain's.
    pub fn new(explanation: &Explanation) -> Self {
        let (decided_by, why) = match explanation.decision.by {
            Decided::Rule(_) => {
                ("rule", "the strongest kind of rule that matches, and the most specific of its kind")
            }
            Decided::Remembered(_) => {
                ("remembered", "the answer to this question is remembered, and no rule denies it")
            }
            Decided::Default => ("default", "no rule matches"),
        };
        let mut why = why.to_owned();
        if explanation.is_ambiguous {
            why.push_str("; servers may read this path in two ways, and the stricter decision counts");
        }
        if let Some((address, kind)) = explanation.unnamed {
            let lies = format!("; the forward proxy refuses it all the same: {address} is {}", kind.word());
            why.push_str(&lies);
            why.push_str(", and no binding or rule names it");
        }
        let outranked = explanation.outranked.iter().map(|rule| OutrankedView {
            rule: RuleView::new(rule),
            why: match explanation.outranked_why(rule) {
                Outranked::ByKind => {
                    "deny comes before remembered answers, these before ask, ask before allow"
                }
                Outranked::ByRule => "another rule of its kind is more specific, or as specific and older",
            }
            .into(),
        });
        Self {
            verdict: explanation.decision.verdict.as_str().into(),
            decided_by: decided_by.into(),
            why,
            address_refused: explanation.unnamed.is_some(),
            rule: explanation.rule.as_ref().map(RuleView::new),
            outranked: outranked.collect(),
        }
    }
}
