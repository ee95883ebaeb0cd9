//! `keyherd serve`: the API, background refresh and recovery, until it is told to end.

use std::{iter, thread};

use clap::Args;
use keyherd_api::Metrics;
use keyherd_core::workers::Workers;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::failure::Failure;
use super::output::Output;
use super::peer::{self, Context};
use super::signals::Signals;
use crate::config::{ListenFlags, Settings};
use crate::wire::{self, ADMIN_TOKEN_FILE, Door, ForwardDoor, GatewayDoor, admin_token, ca_file};

/// Run the server: API, background refresh, recovery.
///
/// The first start makes the master key, the store and DIR/admin.token, the bearer for the API. SIGINT or SIGTERM stops
/// accepting, finishes what is in flight and ends with 0; a second one ends at once.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    listen: ListenFlags,
}

/// Where things are.
#[derive(Serialize)]
struct Places {
    version: &'static str,
    api: String,
    data: String,
    database: String,
    admin_token_file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca_file: Option<String>,
}

impl Serve {
    pub(super) async fn run(self, mut context: Context) -> Result<(), Failure> {
        context.refuse_server("serve")?;
        let mut api = context.settings.listening.resolve(&self.listen, &context.environment)?;
        let metrics = Metrics::install().map_err(Failure::failed)?;
        let files_max = wire::raise_limit();
        let of_proxy = &mut context.settings.proxy.limits.connections_max;
        let bounded = [
            wire::bound_connections("api.limits", &mut api.limits.connections_max, files_max),
            api.proxy.as_ref().and_then(|_| wire::bound_connections("proxy.limits", of_proxy, files_max)),
        ];
        let settings = &context.settings;
        let wired = wire::open(settings).await?;
        let token = admin_token(&settings.data)?;
        let gateway = GatewayDoor::open(settings, &wired).await?;
        let door = Door::open(&api, &wired, metrics, &token, gateway.clone()).await?;
        drop(token);
        let forward = match &api.proxy {
            Some(place) => ForwardDoor::open(settings, place, &wired, &door).await?,
            None => None,
        };
        let listeners: Vec<_> =
            iter::once(door.address()).chain(forward.as_ref().map(ForwardDoor::address)).collect();
        let _posted = wire::post(&wired, &settings.data, &listeners);
        let workers = workers(settings.serve.workers)?;
        let mut signals = Signals::listen()?;
        wired.run_background();
        say(context.out, &Places::of(settings, &door, forward.as_ref(), &wired)?)?;
        // Only now: who cannot serve says why, and nothing else.
        for bounded in bounded.into_iter().flatten() {
            tracing::info!("{bounded}");
        }
        let stop = CancellationToken::new();
        let patience = settings.command.shutdown_patience;
        let served = async {
            let forwarding = async {
                if let Some(forward) = forward {
                    forward.serve(&workers, stop.clone()).await;
                }
            };
            tokio::join!(door.serve(&workers, stop.clone()), forwarding);
            gateway.shutdown().await;
            peer::end(&wired, patience).await;
        };
        let asked = async {
            signals.next().await;
            tracing::info!("stopping: finishing what is in flight; once more ends at once");
            // Who waits for a human is told now: else they would hold the end up, and be cut off.
            wired.broker.stop_asking();
            stop.cancel();
            signals.next().await
        };
        tokio::select! {
            () = served => Ok(()),
            exit = asked => Err(Failure::silent(exit)),
        }
    }
}

/// So many, or as many as there are cores.
fn workers(count: usize) -> Result<Workers, Failure> {
    let cores = || thread::available_parallelism().map_or(1, usize::from);
    let count = if count == 0 { cores() } else { count };
    Workers::start(count).map_err(|error| {
        let out = "give fewer: [serve] workers in keyherd.toml";
        Failure::failed(format!("{count} worker threads cannot be started ({error}): {out}"))
    })
}

impl Places {
    fn of(
        settings: &Settings,
        door: &Door,
        forward: Option<&ForwardDoor>,
        wired: &wire::Wired,
    ) -> Result<Self, Failure> {
        let ca = || ca_file(&settings.data, &wired.broker.ports().hasher).map_err(Failure::failed);
        let ca = forward.map(|_| ca()).transpose()?;
        Ok(Self {
            version: env!("CARGO_PKG_VERSION"),
            api: door.url(),
            data: settings.data.display().to_string(),
            database: wired.place(),
            admin_token_file: settings.data.join(ADMIN_TOKEN_FILE).display().to_string(),
            proxy: forward.map(ForwardDoor::url),
            ca_file: ca.map(|path| path.display().to_string()),
        })
    }
}

fn say(out: Output, places: &Places) -> Result<(), Failure> {
    if out.is_json() {
        return out.json(places);
    }
    out.line(format_args!("keyherd {} serves", places.version))?;
    out.line(format_args!("  API          {}", places.api))?;
    if let (Some(proxy), Some(ca)) = (&places.proxy, &places.ca_file) {
        out.line(format_args!("  proxy        {proxy}"))?;
        out.line(format_args!("  proxy's CA   {ca}"))?;
    }
    out.line(format_args!("  admin token  {}", places.admin_token_file))?;
    out.line(format_args!("  data folder  {}", places.data))?;
    out.line(format_args!("  store        {}", places.database))
}
