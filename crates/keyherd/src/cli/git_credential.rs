//! `keyherd git-credential`: git's own protocol for asking a helper (gitcredentials(7)), so that plain git needs no token.
//!
//! Owns the reading and writing of that protocol, and which credential is meant: one that a binding lets go to that very host.

use std::path::Path;

use clap::{Args, ValueEnum};
use keyherd_api::documents::{BindingView, TokenView};
use keyherd_core::binding::{BindingDraft, Bindings};
use keyherd_core::host::Host;
use keyherd_core::ids::{BindingId, Name};
use keyherd_core::refresh::Ask;
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::output::Output;
use super::peer::Context;
use super::{input, progress};
use crate::peer::Peer;

/// What git's servers take for the user where the password is a token. GitHub takes any.
const USERNAME: &str = "oauth2";
/// More is not read of a question.
const QUESTION_LEN_MAX: usize = 1024 * 1024;

/// A git credential helper: git asks it for a password, and gets a valid token.
///
/// For hosts that a binding names, over https only. Set it up with: git config --global credential.helper '!keyherd git-credential'.
/// Where git says that a token was refused, it is refreshed. What git would have stored is not kept.
#[derive(Debug, Args)]
pub(crate) struct GitCredential {
    /// What git asks for
    #[arg(value_enum)]
    operation: Operation,
    /// The credential or pool; default: the one whose binding names the host best
    #[arg(long, value_name = "NAME", value_parser = Name::parse)]
    name: Option<Name>,
    /// The user to log in as, where git does not name one; default: oauth2
    #[arg(long, value_name = "USER")]
    username: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Operation {
    /// A user and a password
    Get,
    /// Keep what worked: nothing is done
    Store,
    /// It was refused: a new token
    Erase,
}

/// What git says.
#[derive(Debug, Default)]
struct Question {
    protocol: String,
    host: String,
    username: Option<String>,
    password: Option<Secret>,
}

impl GitCredential {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let question = Question::read(&input::read(Path::new("-"), QUESTION_LEN_MAX)?);
        let is_ours = question.protocol == "https" && self.operation != Operation::Store;
        if !is_ours || (self.operation == Operation::Erase && question.password.is_none()) {
            return Ok(());
        }
        context.peer(async |peer: &dyn Peer| self.answered(&context, peer, &question).await).await
    }

    async fn answered(&self, context: &Context, peer: &dyn Peer, question: &Question) -> Result<(), Failure> {
        // Git goes on to other helpers, or asks the person.
        let Some(name) = bound(&peer.bindings().await?, question, self.name.as_ref()) else { return Ok(()) };
        let is_refused = self.operation == Operation::Erase;
        let rejected = question.password.clone().filter(|_| is_refused);
        let ask = Ask { rejected, ..Ask::foreground(context.settings.command.wait) };
        let user = question.username.as_deref().or(self.username.as_deref()).unwrap_or(USERNAME);
        let out = context.out;
        let mut show = |token: &TokenView<'_>| if is_refused { Ok(()) } else { print(out, user, token) };
        progress::waiting("waiting for the provider", peer.token(name.as_str(), &ask, &mut show)).await
    }
}

impl Question {
    fn read(text: &str) -> Self {
        let mut question = Self::default();
        for (key, value) in text.lines().map_while(|line| line.split_once('=')) {
            match key {
                "protocol" => question.protocol = value.to_owned(),
                "host" => question.host = value.to_owned(),
                "username" => question.username = Some(value.to_owned()),
                "password" => question.password = Some(Secret::from(value)),
                _ => {}
            }
        }
        question
    }

    /// Host and port.
    fn place(&self) -> Option<(Host, u16)> {
        let (host, port) = match self.host.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (self.host.as_str(), 443),
        };
        Some((Host::parse(host.trim_matches(['[', ']'])).ok()?, port))
    }
}

/// The name that may go to that host: the one that is wanted, or the one that is bound most exactly.
fn bound(views: &[BindingView], question: &Question, wanted: Option<&Name>) -> Option<Name> {
    let (host, port) = question.place()?;
    let bindings = Bindings::new(views.iter().zip(1..).filter_map(|(view, number)| {
        let draft = BindingDraft {
            name: Name::parse(&view.name).ok()?,
            host: view.host.clone(),
            port: view.port,
            header: None,
            query: None,
            template: None,
            upstream: None,
        };
        draft.check(BindingId::of_random(number), Timestamp::default()).ok()
    }));
    let mut there = bindings.at(&host, port).map(|binding| &binding.name);
    there.find(|name| wanted.is_none_or(|wanted| wanted == *name)).cloned()
}

fn print(out: Output, user: &str, token: &TokenView<'_>) -> Result<(), Failure> {
    out.raw(&Zeroizing::new(format!("username={user}\npassword={}\n", token.access_token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(name: &str, host: &str, port: Option<u16>) -> BindingView {
        let text = serde_json::json!({"id": "1", "name": name, "host": host, "port": port, "template": "{token}",
            "created_at": "2026-01-01T00:00:00Z"});
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn whose_token_git_gets() {
        let views = [
            view("wide", "**.example", None),
            view("exact", "git.example", None),
            view("port", "git.example", Some(8443)),
        ];
        let check = |host: &str, wanted: Option<&str>, expected: Option<&str>| {
            let question = Question::read(&format!("protocol=https\nhost={host}\npath=x\n"));
            let wanted = wanted.map(|name| Name::parse(name).unwrap());
            let found = bound(&views, &question, wanted.as_ref());
            assert_eq!(found.as_ref().map(Name::as_str), expected, "{host}");
        };
        check("git.example", None, Some("exact"));
        check("git.example", Some("wide"), Some("wide"));
        check("git.example:8443", Some("port"), Some("port"));
        check("other.example", None, Some("wide"));
        check("other.example", Some("exact"), None);
        check("git.elsewhere", None, None);
        check("", None, None);
    }
}
