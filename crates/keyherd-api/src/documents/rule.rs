//! Rules: written, listed, imported.

use keyherd_core::approval::Asked;
use keyherd_core::broker::{RulesImport, RulesImported};
use keyherd_core::ids::Name;
use keyherd_core::policy::{
    About, BadPattern, HostPattern, MethodWord, PathPattern, Rule, Rulebook, Scope, Verdict,
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
    /// Of the answer to a question from outside without a key: the question, which is any JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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
