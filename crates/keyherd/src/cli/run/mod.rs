//! `keyherd run`: a program behind a proxy of its own, with phantoms in its environment and no secret.
//!
//! Owns the order: an agent that no store has, an authority that no file has, the proxy, the program, its end, and then
//! nothing of it is left. Never waits for what the program left running.

mod begun;
mod child;
mod closed;
mod folder;
mod lease;
mod truststore;
mod variables;

use std::collections::HashSet;
use std::ffi::OsString;
use std::sync::Arc;

use clap::Args;
use keyherd_adapters::provider::trusted_as_pem;
use keyherd_adapters::signer::Hs256Signer;
use keyherd_core::agent::{Agent, allowed, key_hash, new_key};
use keyherd_core::ids::{AgentId, Name};
use keyherd_core::secret::Secret;
use keyherd_core::workers::Workers;
use keyherd_proxy::tls::Names;
use tokio_util::sync::CancellationToken;

pub(super) use self::begun::begun;
use self::child::Child;
use self::closed::Closed;
use self::folder::Folder;
use self::variables::{Given, Variables};
use super::failure::{Exit, Failure};
use super::peer::{self, Context};
use super::signals::Signals;
use crate::wire::{self, ForwardDoor, Wired, own_authority, read_names};

/// What the agent is called: by rules, by humans who are asked, and in the audit log.
const AGENT: &str = "run";
/// As `env` says that it failed itself.
pub(super) const OURS: Exit = Exit::Code(125);

/// Run a program behind a proxy of its own, as an agent that may use just the named credentials and pools.
///
/// The program gets phantoms in the variables that are named, and the proxy and its certificate in those that the usual
/// clients read; every KEYHERD_* variable is taken from it. A phantom becomes the real secret where a binding lets it go, and
/// nowhere else; when the program has ended it is worthless. The certificate is believed for the hosts alone that bindings, token
/// endpoints and rules name when it begins, unless one of them is a pattern of any host. To rules the agent is called 'run'. Where the kernel has Landlock,
/// the data folder, the store's files and the master key cannot be read by the program. On Linux it is killed when keyherd is.
///
/// Ends with the program's exit code, or 128 and the number of the signal that ended it; 127 where it is not there, 126 where it
/// cannot be run, 125 where keyherd failed or was called wrongly.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A variable and the credential or pool whose phantom it gets; may be given many times
    #[arg(long, value_name = "VAR=NAME", value_parser = Given::parse)]
    env: Vec<Given>,
    /// Let its certificate be believed for any host: for clients that take no constrained one, and where bindings are added
    /// while the program runs
    #[arg(long)]
    any_host: bool,
    /// The program and its arguments; a program whose name begins with '-' comes after '--'
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl Run {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let failed = |failure: Failure| failure.ending(OURS);
        closed::close_ourselves();
        self.check().map_err(failed)?;
        context.refuse_server("run").map_err(failed)?;
        let wired = wire::open(&context.settings).await.map_err(|error| failed(error.into()))?;
        let outcome = self.on(&context, &wired).await;
        // Whoever called learns it now: what is in flight may take a while to be committed.
        let outcome = outcome.map_err(|failure| failed(failure).told());
        peer::end(&wired, context.settings.command.shutdown_patience).await;
        match outcome? {
            0 => Ok(()),
            code => Err(Failure::silent(Exit::Code(code))),
        }
    }

    fn check(&self) -> Result<(), Failure> {
        let mut seen = HashSet::new();
        match self.env.iter().find(|given| !seen.insert(&given.variable)) {
            Some(Given { variable, .. }) => {
                Err(Failure::usage(format!("--env {variable} is given twice: a variable holds one phantom")))
            }
            None => Ok(()),
        }
    }

    /// The program's exit code.
    async fn on(&self, context: &Context, wired: &Wired) -> Result<u8, Failure> {
        // What other processes change counts at once.
        drop(wired.broker.events());
        let (agent, key) = self.agent(wired)?;
        let given = self.phantoms(wired, &agent).await?;
        let names = self.names(context, wired, &agent).await?;
        let authority = own_authority(&wired.broker, names).map_err(Failure::failed)?;
        let trusted = trusted_as_pem(context.settings.ca_bundle.as_deref()).map_err(Failure::failed)?;
        let folder = Folder::new(&context.environment, wired, &authority.pem(), &trusted)?;
        let door = ForwardDoor::own(&context.settings, wired, Arc::new(agent), authority).await;
        let door = door.map_err(|problem| Failure::failed(format!("no proxy can be opened: {problem}")))?;
        let _posted = wire::post(wired, &context.settings.data, &[door.address()]);
        let mut variables = Variables::new(&context.environment, door.address(), (AGENT, &key), &folder);
        variables.add(given);
        let mut signals = Signals::listen()?;
        let closed = Closed::new(&context.settings, wired.files().map_err(Failure::failed)?);
        // From within, a cover is not seen.
        if let Some(within) = context.environment.folder().filter(|here| closed.holds(here)) {
            let problem =
                format!("{} is closed to the program: run it from another folder", within.display());
            return Err(Failure::failed(problem));
        }
        let child = Child::spawn(&self.command, &variables, closed, folder.covers()).await?;
        let stop = CancellationToken::new();
        let alone = Workers::default();
        let (code, ()) = tokio::join!(
            async {
                let code = child.ended(&mut signals).await;
                stop.cancel();
                code
            },
            door.serve(&alone, stop.clone()),
        );
        code
    }

    /// An agent with a key, neither of which is kept.
    fn agent(&self, wired: &Wired) -> Result<(Agent, Secret), Failure> {
        let ports = wired.broker.ports();
        let mut names: Vec<Name> = self.env.iter().map(|given| given.name.clone()).collect();
        names.sort_unstable();
        names.dedup();
        let key = new_key(&*ports.entropy);
        let hash = key_hash(&ports.hasher, key.expose().as_bytes());
        let name = Name::parse(AGENT).map_err(Failure::failed)?;
        let agent = Agent {
            id: AgentId::of_random(ports.entropy.id()),
            actor: Agent::actor_of(&name),
            name,
            key_hash: hash.ok_or_else(|| Failure::failed("a key was made that is none"))?,
            allowed: allowed(names).map_err(Failure::failed)?,
            may_fetch_tokens: false,
            created_at: wired.broker.now(),
        };
        Ok((agent, key))
    }

    /// What the program believes its certificate for. `None`: any host.
    async fn names(&self, context: &Context, wired: &Wired, agent: &Agent) -> Result<Option<Names>, Failure> {
        if self.any_host {
            return Ok(None);
        }
        let names_max = context.settings.proxy.leaves.names_max;
        let names = read_names(&wired.broker, std::slice::from_ref(agent), names_max).await?;
        if let Err(problem) = &names {
            tracing::info!("the program's certificate is for any host: {problem}");
        }
        Ok(names.ok())
    }

    /// What stands in each variable.
    async fn phantoms(&self, wired: &Wired, agent: &Agent) -> Result<Vec<(String, String)>, Failure> {
        let signer = Hs256Signer::new(&wired.broker.ports().hasher);
        let access = wired.broker.access().await?;
        let mut given = Vec::with_capacity(self.env.len());
        for Given { variable, name } in &self.env {
            let Some(phantom) = wired.broker.phantom(agent, name, &signer).await? else {
                return Err(Failure::failed(format!(
                    "no credential and no pool is named '{name}': see 'keyherd cred list' and 'keyherd pool list'"
                )));
            };
            if access.bindings.all().iter().all(|binding| binding.name != *name) {
                tracing::warn!(
                    "'{name}' is bound to no host, so that its phantom works nowhere: 'keyherd binding add {name} --host HOST'"
                );
            }
            given.push((variable.clone(), phantom.as_str().to_owned()));
        }
        Ok(given)
    }
}
