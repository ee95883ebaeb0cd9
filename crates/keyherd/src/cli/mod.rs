//! The command line: one file per command. The only place that reports errors.
//!
//! Owns arguments, exit codes and what is printed. Never decides about a token: the broker does.

mod agent;
mod audit;
mod binding;
mod ca;
mod channel;
mod client;
mod cooldown;
mod cred;
mod demo;
mod doctor;
mod duration;
mod failure;
mod input;
mod key;
mod log;
mod migrate;
mod output;
mod parse;
mod peer;
mod pool;
mod progress;
mod provider;
mod serve;
mod signals;
mod token;
// Rules and approvals.
mod approval;
mod rule;
// A program behind a proxy of its own; git.
mod git_credential;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

pub(crate) use self::failure::{Exit, Failure};
pub(crate) use self::output::Output;
use self::peer::Context;
use crate::config::{Environment, Flags, Settings};

/// An OAuth credential broker: however many ask, it happens once.
///
/// Imports OAuth credentials, keeps their tokens fresh and hands out valid ones: to tasks, processes and requests, with
/// one provider call per token generation. Every process on one data folder is a peer; no server is needed. Where a
/// machine should not see the store, --server runs the verbs on one that does.
#[derive(Debug, Parser)]
#[command(name = "keyherd", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    /// Print JSON on standard output, and nothing else
    #[arg(long, global = true, help_heading = "Settings")]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 usage; 3 reauthorization needed; \
     4 not now, try again (cooling, blocked, uncertain, unavailable, timeout); 5 denied (disabled, not allowed).";

/// A command's own type has its help, where it has no further commands.
#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    Token(token::TokenOf),
    /// Credentials: import, add, login, list, show, refresh, amend, enable, disable, remove
    #[command(subcommand)]
    Cred(cred::Cred),
    /// Client apps that credentials share by name
    #[command(subcommand)]
    Client(client::Client),
    /// Agents: programs with keys of their own, and what each may use
    #[command(subcommand)]
    Agent(agent::Agent),
    /// Bindings: where credentials and pools may go, and how they are injected there
    #[command(subcommand)]
    Binding(binding::Binding),
    /// Let a credential rest, or end its rest
    #[command(subcommand)]
    Cooldown(cooldown::Cooldown),
    /// Pools: credentials that stand in for one another under one name
    #[command(subcommand)]
    Pool(pool::Pool),
    /// Provider profiles: how each provider behaves
    #[command(subcommand)]
    Provider(provider::Provider),
    /// The audit log: every change, hash-chained
    #[command(subcommand)]
    Audit(audit::Audit),
    /// The master key
    #[command(subcommand)]
    Key(key::Key),
    /// Rules: who may go where
    #[command(subcommand)]
    Rule(rule::Rule),
    /// Approvals: what waits for a human's answer
    #[command(subcommand)]
    Approval(approval::Approval),
    Run(run::Run),
    GitCredential(git_credential::GitCredential),
    Ca(ca::Ca),
    /// Channels: where approvals are announced, such as webhooks and chats
    #[command(subcommand)]
    Channel(channel::Channel),
    Migrate(migrate::Migrate),
    Doctor(doctor::Doctor),
}

/// The whole program: its result is the process's.
pub(crate) fn main() -> ExitCode {
    if let Some(failure) = run::begun(std::env::args_os()) {
        return failure.told().exit_code();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return parse::told(&error, is_run(std::env::args_os())),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.told().exit_code(),
    }
}

/// Whether `keyherd run` was meant, whatever else is wrong with the arguments: its caller must not take our end for the
/// program's.
fn is_run(arguments: std::env::ArgsOs) -> bool {
    let read = Cli::command().ignore_errors(true).try_get_matches_from(arguments);
    read.is_ok_and(|read| read.subcommand_name() == Some("run"))
}

fn run(cli: Cli) -> Result<(), Failure> {
    if let Command::Demo(_) = cli.command {
        demo::Demo::refuse(&cli.flags)?;
    }
    let environment = Environment::of_process();
    let is_run = matches!(cli.command, Command::Run(_));
    let settings = Settings::load(&cli.flags, &environment).map_err(|error| {
        let failure = Failure::from(error);
        if is_run { failure.ending(run::OURS) } else { failure }
    })?;
    let is_server = is_run || matches!(cli.command, Command::Serve(_) | Command::Demo(_));
    log::begin(&settings.log, matches!(cli.command, Command::Serve(_)), &environment)?;
    let out = Output::new(cli.json, &environment);
    let runtime = runtime(is_server)?;
    let context = Context { settings, environment, out };
    let outcome = runtime.block_on(dispatch(cli.command, context));
    // A prompt that was left, or a name lookup, must not hold the process.
    runtime.shutdown_background();
    outcome
}

async fn dispatch(command: Command, context: Context) -> Result<(), Failure> {
    match command {
        Command::Serve(command) => command.run(context).await,
        Command::Demo(command) => Box::pin(command.run(context)).await,
        Command::Token(command) => command.run(context).await,
        Command::Cred(command) => command.run(context).await,
        Command::Client(command) => command.run(context).await,
        Command::Agent(command) => command.run(context).await,
        Command::Binding(command) => command.run(context).await,
        Command::Cooldown(command) => command.run(context).await,
        Command::Pool(command) => command.run(context).await,
        Command::Provider(command) => command.run(context).await,
        Command::Audit(command) => command.run(context).await,
        Command::Key(command) => command.run(context).await,
        Command::Rule(command) => command.run(context).await,
        Command::Approval(command) => command.run(context).await,
        Command::GitCredential(command) => command.run(context).await,
        Command::Run(command) => command.run(context).await,
        Command::Ca(command) => command.run(context).await,
        Command::Channel(command) => command.run(context).await,
        Command::Migrate(command) => command.run(context).await,
        Command::Doctor(command) => command.run(context).await,
    }
}

/// One thread for a command, which does one thing; all cores for a server.
fn runtime(is_server: bool) -> Result<Runtime, Failure> {
    let mut builder = if is_server { Builder::new_multi_thread() } else { Builder::new_current_thread() };
    builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("no threads can be started: {error}")))
}
