//! `keyherd demo`: the scenes, then a server to play with.

use clap::Args;
use keyherd_api::Metrics;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::peer::{self, Context};
use super::signals::Signals;
use crate::config::{Environment, Flags, ListenFlags, Settings};
use crate::demo::{Outcome, Screen, Stage};
use crate::wire::{self, ADMIN_TOKEN_FILE, Door, admin_token};

/// Where the demo's API listens unless it is told otherwise: any free port, beside a real server.
const LISTEN: &str = "127.0.0.1:0";

/// See it work: a rotating provider, a thousand tasks, one refresh.
///
/// Everything happens in a temporary data folder with a provider of its own; nothing of yours is touched. Shows 1,000
/// tasks and 24 processes that ask for one expiring token, three times, and the same herd without keyherd. Then it goes
/// on serving until Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after the scenes, with 0 if all held and 1 if not
    #[arg(long)]
    once: bool,
    /// Where the API listens; default: a free port on 127.0.0.1
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    scenes: [&'a Outcome; 1],
    api: String,
    data: String,
    ok: bool,
}

impl Demo {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let stage = Stage::set().await?;
        let settings = settings(&stage)?;
        let listen = self.api.unwrap_or_else(|| LISTEN.to_owned());
        let listen = ListenFlags { api: Some(listen), ..ListenFlags::default() };
        let api = settings.listening.resolve(&listen, &Environment::default())?;
        let metrics = Metrics::install().map_err(Failure::failed)?;
        let wired = wire::open(&settings).await?;
        let door = Door::open(&api, &wired, metrics, &admin_token(&settings.data)?).await?;
        let url = door.url();
        let mut signals = Signals::listen()?;
        let stop = CancellationToken::new();
        let server = tokio::spawn(door.serve(stop.clone()));
        let shown = async {
            let outcome = show(&context, &stage, &wired).await?;
            if context.out.is_json() {
                let (data, ok) = (settings.data.display().to_string(), outcome.is_ok());
                context.out.json(&Shown { scenes: [&outcome], api: url.clone(), data, ok })?;
            }
            Ok::<_, Failure>(outcome)
        };
        let outcome = tokio::select! {
            outcome = shown => outcome,
            exit = signals.next() => Err(Failure::silent(exit)),
        };
        let outcome = match outcome {
            Ok(outcome) if !self.once => {
                wired.broker.run_background();
                try_it(&context, &settings, &url)?;
                signals.next().await;
                Ok(outcome)
            }
            other => other,
        };
        stop.cancel();
        // A task that panicked has said so.
        let _ = server.await;
        peer::end(&wired, settings.command.shutdown_patience).await;
        match outcome?.is_ok() {
            true => Ok(()),
            false => Err(Failure::failed("the demo did not hold what it promises: see its lines")),
        }
    }
}

/// The demo's own: nothing of the user's environment or configuration.
fn settings(stage: &Stage) -> Result<Settings, Failure> {
    let flags = Flags { data: Some(stage.data().to_owned()), ..Flags::default() };
    Ok(Settings::load(&flags, &Environment::default())?)
}

async fn show(context: &Context, stage: &Stage, wired: &wire::Wired) -> Result<Outcome, Failure> {
    let screen = Screen::new(context.out);
    screen.opening()?;
    stage.refresh_once(wired, &screen).await
}

fn try_it(context: &Context, settings: &Settings, url: &str) -> Result<(), Failure> {
    let data = settings.data.display();
    context.out.say(format_args!(
        "The server stays up at {url}, and its provider with it. Try, in another terminal:\n\n  \
         curl -H \"Authorization: Bearer $(cat {data}/{ADMIN_TOKEN_FILE})\" -d '{{\"name\": \"demo\"}}' {url}/v1/token\n  \
         keyherd --data {data} cred show demo\n  \
         keyherd --data {data} audit tail\n\n\
         Ctrl-C ends it and removes {data}."
    ))
}
