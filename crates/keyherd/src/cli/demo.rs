//! `keyherd demo`: the scenes, then a server to play with.

use std::sync::Arc;

use clap::Args;
use keyherd_api::Metrics;
use keyherd_core::workers::Workers;
use serde::Serialize;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::peer::{self, Context};
use super::signals::Signals;
use crate::config::{Environment, Flags, ListenFlags, Settings};
use crate::demo::{Answerer, Asking, Failover, Outcome, Screen, Stage};
use crate::wire::{self, ADMIN_TOKEN_FILE, Door, GatewayDoor, Wired, admin_token};

/// Where the demo's API listens unless it is told otherwise: any free port, beside a real server.
const LISTEN: &str = "127.0.0.1:0";

/// See it work: a rotating provider, a thousand tasks, one refresh.
///
/// Everything happens in a temporary data folder with a provider of its own; nothing of yours is touched. Shows 1,000
/// tasks and 24 processes that ask for one expiring token, three times, and the same herd without keyherd; then 1,000
/// requests through a pool of two accounts, of which the first is used up on the way; then 1,000 requests that a human has
/// to allow, with one prompt. You answer it in the dashboard, or with --once the demo does. Then it goes on serving until
/// Ctrl-C.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// End after the scenes, with 0 if all held and 1 if not
    #[arg(long)]
    once: bool,
    /// Where the API listens; default: a free port on 127.0.0.1
    #[arg(long, value_name = "ADDRESS:PORT")]
    api: Option<String>,
}

/// The demo's own server, at work.
struct Serving {
    settings: Settings,
    wired: Wired,
    gateway: Arc<GatewayDoor>,
    url: String,
    stop: CancellationToken,
    server: JoinHandle<bool>,
}

#[derive(Serialize)]
struct Shown<'a> {
    scenes: (&'a Outcome, &'a Failover, &'a Asking),
    api: &'a str,
    data: String,
    ok: bool,
}

impl Demo {
    /// What was asked for in so many words, and would not be done. The environment is another matter: it is there for all
    /// commands, and the demo takes nothing of it.
    pub(super) fn refuse(flags: &Flags) -> Result<(), Failure> {
        let given = [
            ("--database-url", flags.database_url.is_some()),
            ("--redis-url", flags.redis_url.is_some()),
            ("--master-key-file", flags.master_key_file.is_some()),
            ("--server", flags.server.is_some()),
        ];
        given.into_iter().find(|(_, is_given)| *is_given).map_or(Ok(()), |(flag, _)| {
            Err(Failure::usage(format!(
                "'keyherd demo' works in a temporary folder with a store, a key and a server of its own: run it without {flag}"
            )))
        })
    }

    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let stage = Stage::set().await?;
        let serving = Serving::start(&stage, self.api).await?;
        let mut signals = Signals::listen()?;
        let outcome = tokio::select! {
            outcome = show(&context, &stage, &serving, self.once) => outcome,
            exit = signals.next() => Err(Failure::silent(exit)),
        };
        let outcome = match outcome {
            Ok(outcome) if !self.once => stay(&context, &serving, &mut signals).await.map(|()| outcome),
            ended => ended,
        };
        serving.end().await;
        match outcome? {
            true => Ok(()),
            false => Err(Failure::failed("the demo did not hold what it promises: see its lines")),
        }
    }
}

impl Serving {
    /// With nothing of the user's environment or configuration.
    async fn start(stage: &Stage, listen: Option<String>) -> Result<Self, Failure> {
        let environment = Environment::default();
        let flags = Flags { data: Some(stage.data().to_owned()), ..Flags::default() };
        let settings = Settings::load(&flags, &environment)?;
        let listen = Some(listen.unwrap_or_else(|| LISTEN.to_owned()));
        let api = settings
            .listening
            .resolve(&ListenFlags { api: listen, ..ListenFlags::default() }, &environment)?;
        let metrics = Metrics::install().map_err(Failure::failed)?;
        // The herd of scene 3 has its connections in this process too.
        wire::raise_limit();
        let wired = wire::open(&settings).await?;
        let gateway = GatewayDoor::open(&settings, &wired).await?;
        let door = Door::open(&api, &wired, metrics, &admin_token(&settings.data)?, gateway.clone()).await?;
        let (url, stop) = (door.url(), CancellationToken::new());
        let server = {
            let stop = stop.clone();
            tokio::spawn(async move { door.serve(&Workers::default(), stop).await })
        };
        Ok(Self { settings, wired, gateway, url, stop, server })
    }

    async fn end(self) {
        self.stop.cancel();
        // A server that panicked has said so.
        let _ = self.server.await;
        self.gateway.shutdown().await;
        peer::end(&self.wired, self.settings.command.shutdown_patience).await;
    }
}

/// All scenes: whether each held.
async fn show(context: &Context, stage: &Stage, serving: &Serving, once: bool) -> Result<bool, Failure> {
    let screen = Screen::new(context.out);
    screen.opening()?;
    let refreshed = stage.refresh_once(&serving.wired, &screen).await?;
    let moved = stage.fail_over_once(&serving.wired, &screen).await?;
    let token_file = serving.settings.data.join(ADMIN_TOKEN_FILE).display().to_string();
    let answerer = if once { Answerer::Itself } else { Answerer::Person { url: &serving.url, token_file } };
    let asked = stage.ask_once(&serving.wired, &serving.url, answerer, &screen).await?;
    let ok = refreshed.is_ok() && moved.is_ok() && asked.is_ok();
    if context.out.is_json() {
        let data = stage.data().display().to_string();
        context.out.json(&Shown { scenes: (&refreshed, &moved, &asked), api: &serving.url, data, ok })?;
    }
    Ok(ok)
}

/// From here on the token is refreshed ahead of time, as a server does.
async fn stay(context: &Context, serving: &Serving, signals: &mut Signals) -> Result<(), Failure> {
    serving.wired.broker.run_background();
    let (data, url) = (serving.settings.data.display(), &serving.url);
    // As it was started: it need not be in the PATH.
    let program =
        std::env::current_exe().map_or_else(|_| "keyherd".into(), |path| path.display().to_string());
    context.out.say(format_args!(
        "\nThe server stays up at {url}, and its provider with it. Try, in another terminal:\n\n  \
         curl -H \"Authorization: Bearer $(cat {data}/{ADMIN_TOKEN_FILE})\" -d '{{\"name\": \"demo\"}}' {url}/v1/token\n  \
         {program} --data {data} cred show demo\n  \
         {program} --data {data} pool status demo-pool\n  \
         {program} --data {data} audit tail\n\n\
         Ctrl-C ends it and removes {data}."
    ))?;
    signals.next().await;
    Ok(())
}
