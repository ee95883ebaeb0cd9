//! Rules: written, listed, imported, tested.

use keyherd_core::approval::Asked;
use keyherd_core::broker::{RulesImport, RulesImported};
use keyherd_core::host::Host;
use keyherd_core::ids::Name;
use keyherd_core::policy::{
    About, BadPattern, Decided, Destination, Explanation, HostPattern, MethodWord, Outranked, PathPattern,
    RequestPath, Rule, Rulebook, Scope, Target, Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{BadDocument, Moment};

/// A rule to be written, for `POST /v1/rules`. What is left out is any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleDocument {
    /// `allow`, `deny` or `ask`.
    #[schema(example = "ask")]
    pub verdict: String,
    /// A host, a glob of hosts (`*` is one label, `**` one or more; `**` alone is every host), an address or a network.
    #[schema(example = "*.example.com")]
    pub host: String,
    /// The agent's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// A path or a glob of paths (`*` is one segment, `**` any number of them).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

impl RuleDocument {
    /// The rule it stands for.
    pub fn into_rule(self) -> Result<(Verdict, Scope), BadDocument> {
        let bad = |field: &'static str| move |error: BadPattern| BadDocument::field(field, error.to_string());
        let agent = self.agent.as_deref().map(Name::parse).transpose();
        let scope = Scope {
            agent: agent.map_err(|error| BadDocument::field("agent", error.to_string()))?,
            host: HostPattern::parse(&self.host).map_err(bad("host"))?,
            port: port(self.port)?,
            method: self.method.as_deref().map(MethodWord::parse).transpose().map_err(bad("method"))?,
            path: self.path.as_deref().map(PathPattern::parse).transpose().map_err(bad("path"))?,
        };
        Ok((verdict(&self.verdict)?, scope))
    }

    /// A written rule, as it would be written again; `None`: it is a remembered answer.
    pub fn of(rule: &Rule) -> Option<Self> {
        let About::Written(scope) = &rule.about else { return None };
        Some(Self {
            verdict: rule.verdict.as_str().into(),
            host: scope.host.to_string(),
            agent: scope.agent.as_ref().map(Name::to_string),
            port: scope.port,
            method: scope.method.as_ref().map(|method| method.as_str().into()),
            path: scope.path.as_ref().map(|path| path.as_str().into()),
        })
    }
}

fn port(port: Option<u16>) -> Result<Option<u16>, BadDocument> {
    match port {
        Some(0) => Err(BadDocument::field("port", "is 0, and must be 1 to 65535")),
        port => Ok(port),
    }
}

fn verdict(word: &str) -> Result<Verdict, BadDocument> {
    Verdict::parse(word).ok_or_else(|| BadDocument::field("verdict", "is allow, deny or ask"))
}

/// The default verdict, for `PUT /v1/rules/default`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DefaultDocument {
    /// `allow`, `deny` or `ask`.
    #[schema(example = "deny")]
    pub verdict: String,
}

impl DefaultDocument {
    /// The verdict it stands for.
    pub fn into_verdict(self) -> Result<Verdict, BadDocument> {
        verdict(&self.verdict)
    }
}

/// Rules of a file, for `POST /v1/rules/import` and the command's TOML.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RulesDocument {
    /// Another default verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Whether written rules that are not among these go. Remembered answers stay.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replace: bool,
    /// The rules.
    #[serde(default, rename = "rules", alias = "rule")]
    pub rules: Vec<RuleDocument>,
}

impl RulesDocument {
    /// The import it stands for.
    pub fn into_import(self) -> Result<RulesImport, BadDocument> {
        let numbered = |(number, rule): (usize, RuleDocument)| {
            rule.into_rule().map_err(|error| {
                let field = error.field.as_deref().unwrap_or("rule");
                BadDocument { field: Some(format!("rules[{number}].{field}")), ..error }
            })
        };
        Ok(RulesImport {
            default: self.default.as_deref().map(verdict).transpose()?,
            replaces: self.replace,
            rules: self.rules.into_iter().enumerate().map(numbered).collect::<Result<_, _>>()?,
        })
    }

    /// Everything that was written, to be imported elsewhere.
    pub fn of(book: &Rulebook) -> Self {
        Self {
            default: Some(book.default.as_str().into()),
            replace: false,
            rules: book.rules.iter().filter_map(RuleDocument::of).collect(),
        }
    }
}

/// What an import did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportedView {
    /// New rules.
    pub added: usize,
    /// Rules that were there.
    pub kept: usize,
    /// Rules that went.
    pub removed: usize,
    /// Whether the default is another one now.
    pub default_changed: bool,
}

impl From<RulesImported> for ImportedView {
    fn from(done: RulesImported) -> Self {
        let RulesImported { added, kept, removed, default_changed } = done;
        Self { added, kept, removed, default_changed }
    }
}

/// A rule, or an answer that is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleView {
    /// Its id.
    pub id: String,
    /// `allow`, `deny` or `ask`.
    pub verdict: String,
    /// Absent for the answer to a question from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Whether it is a remembered answer.
    pub remembered: bool,
    /// Of the answer to a question from outside: the question's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of the answer to a question from outside without a key: the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub question: Option<Value>,
    /// When it ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Moment>,
    /// Of a remembered answer: the approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// When it was made.
    pub created_at: Moment,
    /// By whom.
    pub created_by: String,
}

impl RuleView {
    /// Of the domain's.
    pub fn new(rule: &Rule) -> Self {
        let mut view = Self {
            id: rule.id.to_string(),
            verdict: rule.verdict.as_str().into(),
            host: None,
            agent: None,
            port: None,
            method: None,
            path: None,
            remembered: false,
            key: None,
            question: None,
            until: rule.until.map(Moment::from),
            approval: rule.approval.map(|id| id.to_string()),
            created_at: rule.created_at.into(),
            created_by: rule.created_by.clone(),
        };
        match (&rule.about, RuleDocument::of(rule)) {
            (_, Some(RuleDocument { verdict: _, host, agent, port, method, path })) => {
                (view.host, view.agent, view.port, view.method, view.path) =
                    (Some(host), agent, port, method, path);
            }
            (About::Answered(question), _) => {
                view.remembered = true;
                view.agent = Some(question.agent.to_string());
                view.show(&question.asked);
            }
            (About::Written(_), None) => {}
        }
        view
    }

    fn show(&mut self, asked: &Asked) {
        match asked {
            Asked::Target { host, port, method, path } => {
                (self.host, self.port) = (Some(host.to_string()), Some(*port));
                (self.method, self.path) =
                    (method.as_deref().map(Into::into), path.as_deref().map(Into::into));
            }
            Asked::Outside { key: Some(key), .. } => self.key = Some(key.to_string()),
            Asked::Outside { key: None, text } => self.question = serde_json::from_str(text).ok(),
        }
    }
}

/// All rules, for `GET /v1/rules`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RulesView {
    /// What is done where no rule says anything.
    pub default: String,
    /// The rules, the oldest first.
    pub items: Vec<RuleView>,
}

impl RulesView {
    /// Of the domain's.
    pub fn new(book: &Rulebook) -> Self {
        Self { default: book.default.as_str().into(), items: book.rules.iter().map(RuleView::new).collect() }
    }
}

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
#[derive(Debug, Clone, PartialEq)]
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
            rule: explanation.rule.as_ref().map(RuleView::new),
            outranked: outranked.collect(),
        }
    }
}
