//! `keyherd token`: a valid access token on standard output, and nothing else.

use std::io::{self, Write};
use std::time::Duration;

use clap::Args;
use keyherd_api::documents::{MIN_VALID_SECONDS_MAX, TokenView, WAIT_SECONDS_MAX};
use keyherd_core::ids::Name;
use keyherd_core::refresh::Ask;
use keyherd_core::time::Timestamp;
use zeroize::Zeroizing;

use super::failure::Failure;
use super::output::Output;
use super::peer::Context;
use super::{input, progress};
use crate::peer::Peer;

/// Print a valid access token of a credential or pool, and nothing else.
///
/// Refreshes it first where it has ended; however many ask at once, the provider is called once. With a failure nothing
/// is printed on standard output.
#[derive(Debug, Args)]
pub(crate) struct TokenOf {
    /// The credential or pool
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// How long the token must live on; at most half of its lifetime counts. One that ends sooner than was asked for is
    /// printed all the same, and standard error says so
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=MIN_VALID_SECONDS_MAX))]
    min_valid: Option<u64>,
    /// Read an access token that upstream refused from standard input: it is refreshed, unless it was already
    #[arg(long)]
    rejected_stdin: bool,
    /// How long to wait for a refresh; default: 30, or the configured wait_seconds. A refresh that this process has begun goes on to its end
    /// after that: what the provider answers must not be lost
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=WAIT_SECONDS_MAX))]
    wait: Option<u64>,
    /// The part of the account that the token is for, such as a model: it may rest while others do not
    #[arg(long, value_name = "S")]
    scope: Option<String>,
}

impl TokenOf {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let ask = Ask {
            min_valid: self.min_valid.map(Duration::from_secs),
            scope: self.scope,
            rejected: if self.rejected_stdin { Some(input::secret_line()?) } else { None },
            ..Ask::foreground(self.wait.map_or(context.settings.command.wait, Duration::from_secs))
        };
        let (name, out) = (self.name.as_str(), context.out);
        let work = async |peer: &dyn Peer| {
            let mut show = |token: &TokenView<'_>| {
                print(out, token)?;
                say_if_shorter(token, ask.min_valid, peer.now());
                Ok(())
            };
            progress::waiting("waiting for the provider", peer.token(name, &ask, &mut show)).await
        };
        context.peer(work).await
    }
}

/// A token that lives less long than was asked for is handed out all the same: a new one would live no longer.
fn say_if_shorter(token: &TokenView<'_>, min_valid: Option<Duration>, now: Timestamp) {
    let left = token.expires_at.map(|expires_at| now.until(expires_at.timestamp()));
    if let (Some(wanted), Some(left)) = (min_valid, left)
        && left < wanted
    {
        // There is nobody left to tell that standard error is closed.
        let _ = writeln!(
            io::stderr(),
            "keyherd: the token ends in {} s, sooner than --min-valid {}: of that, at most half of a token's lifetime counts",
            left.as_secs(),
            wanted.as_secs()
        );
    }
}

fn print(out: Output, token: &TokenView<'_>) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(token);
    }
    out.raw(&Zeroizing::new(format!("{}\n", token.access_token)))
}
