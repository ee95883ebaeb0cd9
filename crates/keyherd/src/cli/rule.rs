//! `keyherd rule`: who may go where.

mod file;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Cell, Color};
use keyherd_api::documents::{DefaultDocument, RuleDocument, RuleTestDocument, RuleTestView, RuleView};
use keyherd_core::ids::RuleId;
use serde::Serialize;

use super::failure::Failure;
use super::input;
use super::peer::Context;
use crate::peer::Peer;

/// Rules: who may go where.
#[derive(Debug, Subcommand)]
pub(crate) enum Rule {
    Add(Add),
    /// List the rules, remembered answers included, and the default verdict
    List,
    /// Remove a rule, or forget an answer
    Remove {
        /// The rule: see 'keyherd rule list'
        #[arg(value_parser = parse_id)]
        id: RuleId,
    },
    /// Set what is done where no rule says anything
    Default {
        /// The verdict
        #[arg(value_enum)]
        verdict: VerdictWord,
    },
    Test(Test),
    /// Add the rules of a TOML file, as 'keyherd rule export' writes it
    Import {
        /// The file, or - for standard input
        file: PathBuf,
        /// Remove written rules that the file lacks, as 'replace = true' in the file does; remembered answers stay
        #[arg(long)]
        replace: bool,
    },
    /// Print the written rules as TOML
    Export,
}

/// Write a rule.
///
/// Deny comes first, then answers that are remembered, then ask, then allow, then the default. What is left out is any.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// What it says
    #[arg(value_enum)]
    verdict: VerdictWord,
    /// A host, an address, a network (10.0.0.0/8), or a glob: '*' is one label, '**' one or more, and '**' alone is every host
    #[arg(long, value_name = "GLOB")]
    host: String,
    /// An agent: see 'keyherd agent list'
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// A port
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// A method, such as DELETE
    #[arg(long, value_name = "M")]
    method: Option<String>,
    /// A path, or a glob: '*' is one segment, '**' any number of them
    #[arg(long, value_name = "GLOB")]
    path: Option<String>,
}

/// Say which rule decides a request, and why. Nothing is sent or asked.
#[derive(Debug, Args)]
pub(crate) struct Test {
    /// The method
    method: String,
    /// Where it goes
    url: String,
    /// Who asks; without it, rules of agents do not match
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// The address that the host's name leads to, for rules on networks
    #[arg(long, value_name = "IP")]
    address: Option<String>,
}

/// A verdict on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictWord {
    /// Go
    Allow,
    /// Do not
    Deny,
    /// A human decides
    Ask,
}

impl VerdictWord {
    fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }
}

#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
}

impl Rule {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(&context).await,
            Self::List => context.peer(async |peer: &dyn Peer| list(&context, peer).await).await,
            Self::Remove { id } => remove(&context, &id.to_string()).await,
            Self::Default { verdict } => set_default(&context, verdict).await,
            Self::Test(test) => test.run(&context).await,
            Self::Import { file, replace } => import(&context, &file, replace).await,
            Self::Export => context.peer(async |peer: &dyn Peer| export(&context, peer).await).await,
        }
    }
}

impl Add {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let verdict = self.verdict.as_str().to_owned();
        let Self { host, agent, port, method, path, .. } = self;
        let rule = RuleDocument { verdict, host, agent, port, method, path };
        // Read before a store is opened: what is written wrongly is said so at once.
        rule.clone().into_rule().map_err(Failure::usage)?;
        let work = async |peer: &dyn Peer| {
            let (view, is_new) = peer.add_rule(rule).await?;
            if context.out.is_json() {
                return context.out.json(&view);
            }
            let how = if is_new { "is added" } else { "is there already" };
            context.out.line(format!("rule {} {how}: {} {}", view.id, view.verdict, about(&view)))
        };
        context.peer(work).await
    }
}

impl Test {
    async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self { method, url, agent, address } = self;
        let request = RuleTestDocument { method, url, agent, address };
        request.clone().into_target().map_err(Failure::usage)?;
        let work = async |peer: &dyn Peer| {
            let view = peer.test_rules(request).await?;
            if context.out.is_json() { context.out.json(&view) } else { tell(context, &view) }
        };
        context.peer(work).await
    }
}

fn tell(context: &Context, view: &RuleTestView) -> Result<(), Failure> {
    let by = match &view.rule {
        Some(rule) => format!("{} {}: {} {}", view.decided_by, rule.id, rule.verdict, about(rule)),
        None => "the default".to_owned(),
    };
    context.out.line(format!("{} by {by}", view.verdict))?;
    let it_is = if view.decided_by == "rule" { "it is " } else { "" };
    context.out.line(format!("  because {it_is}{}", view.why))?;
    for outranked in &view.outranked {
        let rule = &outranked.rule;
        let also = format!("  matches too: {}: {} {}", rule.id, rule.verdict, about(rule));
        context.out.line(format!("{also} ({})", outranked.why))?;
    }
    Ok(())
}

async fn list(context: &Context, peer: &dyn Peer) -> Result<(), Failure> {
    let view = peer.rules().await?;
    if context.out.is_json() {
        return context.out.json(&view);
    }
    if !view.items.is_empty() {
        let mut table = context.out.table(&["ID", "VERDICT", "ABOUT", "UNTIL", "BY"]);
        for rule in &view.items {
            let until = rule.until.map_or_else(|| "-".to_owned(), |until| until.to_string());
            let by = if rule.remembered {
                format!("{} (answer)", rule.created_by)
            } else {
                rule.created_by.clone()
            };
            table.add_row([
                Cell::new(&rule.id),
                context.out.colored(&rule.verdict, color(&rule.verdict)),
                Cell::new(about(rule)),
                Cell::new(until),
                Cell::new(by),
            ]);
        }
        context.out.show(&table)?;
    }
    context.out.line(format!("default: {}", view.default))
}

fn color(verdict: &str) -> Color {
    match verdict {
        "allow" => Color::Green,
        "deny" => Color::Red,
        _ => Color::Yellow,
    }
}

/// What a rule is about, in a line.
fn about(rule: &RuleView) -> String {
    let mut parts = vec![match (&rule.host, &rule.key, &rule.question) {
        (Some(host), ..) => host.clone(),
        (None, Some(key), _) => format!("key '{key}'"),
        (None, None, question) => {
            format!("question {}", question.as_ref().map_or_else(String::new, ToString::to_string))
        }
    }];
    parts.extend(rule.port.map(|port| format!("port {port}")));
    parts.extend(rule.method.clone());
    parts.extend(rule.path.clone());
    parts.extend(rule.agent.as_ref().map(|agent| format!("agent {agent}")));
    parts.join(" ")
}

async fn remove(context: &Context, id: &str) -> Result<(), Failure> {
    let work = async |peer: &dyn Peer| {
        peer.remove_rule(id).await?;
        if context.out.is_json() {
            return context.out.json(&Removed { removed: id });
        }
        context.out.line(format!("rule {id} is removed"))
    };
    context.peer(work).await
}

async fn set_default(context: &Context, verdict: VerdictWord) -> Result<(), Failure> {
    let document = DefaultDocument { verdict: verdict.as_str().into() };
    let work = async |peer: &dyn Peer| {
        let set = peer.set_default(document).await?;
        if context.out.is_json() {
            return context.out.json(&set);
        }
        context.out.line(format!("where no rule says anything: {}", set.verdict))
    };
    context.peer(work).await
}

async fn import(context: &Context, path: &std::path::Path, replace: bool) -> Result<(), Failure> {
    let text = input::read(path, context.settings.command.input_bytes_max)?;
    let mut rules = file::parse(&text, path)?;
    rules.replace |= replace;
    let work = async |peer: &dyn Peer| {
        let done = peer.import_rules(rules).await?;
        if context.out.is_json() {
            return context.out.json(&done);
        }
        let default = if done.default_changed { ", and another default" } else { "" };
        let (added, kept, removed) = (done.added, done.kept, done.removed);
        context.out.line(format!("{added} rules added, {kept} there already, {removed} removed{default}"))
    };
    context.peer(work).await
}

async fn export(context: &Context, peer: &dyn Peer) -> Result<(), Failure> {
    let rules = file::written(&peer.rules().await?);
    if context.out.is_json() {
        return context.out.json(&rules);
    }
    context.out.raw(&file::text(&rules)?)
}

fn parse_id(text: &str) -> Result<RuleId, String> {
    RuleId::parse(text).ok_or_else(|| "ten digits of 0-9 and a-f: see 'keyherd rule list'".to_owned())
}
