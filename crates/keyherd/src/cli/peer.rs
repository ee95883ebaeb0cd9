//! A command as a peer on the store: opened, put to work, and ended only when what is in flight is committed.

use super::failure::Failure;
use super::output::Output;
use super::progress;
use super::signals::Signals;
use crate::config::{Environment, Settings};
use crate::peer::{Peer, ServerPeer};
use crate::wire::{self, Wired};

/// What every command is given.
pub(crate) struct Context {
    /// The settings.
    pub(crate) settings: Settings,
    /// The environment they came from.
    pub(crate) environment: Environment,
    /// Where results go.
    pub(crate) out: Output,
}

impl Context {
    /// Does the work: on the store, or through the server that was named.
    ///
    /// Prompts and standard input belong before this: on the store signals no longer kill.
    pub(super) async fn peer(
        &self,
        work: impl AsyncFnOnce(&dyn Peer) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match &self.settings.server {
            Some(server) => work(&ServerPeer::new(server)?).await,
            None => self.on_store(async |wired: &Wired| work(wired).await).await,
        }
    }

    /// The same, for what only the store's own machine can do; `what` is the command.
    pub(super) async fn store(
        &self,
        what: &str,
        work: impl AsyncFnOnce(&Wired) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.refuse_server(what)?;
        self.on_store(work).await
    }

    /// What cannot go through a server says so.
    pub(super) fn refuse_server(&self, what: &str) -> Result<(), Failure> {
        match &self.settings.server {
            Some(_) => Err(Failure::usage(format!(
                "'keyherd {what}' works on this machine's own store and files: run it without --server (and \
                 KEYHERD_SERVER), where they are"
            ))),
            None => Ok(()),
        }
    }

    /// A look before a prompt: signals still kill.
    pub(super) async fn glance<T>(
        &self,
        look: impl AsyncFnOnce(&dyn Peer) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        match &self.settings.server {
            Some(server) => look(&ServerPeer::new(server)?).await,
            None => {
                let wired = wire::open(&self.settings).await?;
                let seen = look(&wired).await;
                wired.close().await;
                seen
            }
        }
    }

    /// As a peer on the store. SIGINT and SIGTERM end the waiting at once and the process as soon as nothing is in flight
    /// any more; a provider's answer that is on its way is committed first.
    async fn on_store(&self, work: impl AsyncFnOnce(&Wired) -> Result<(), Failure>) -> Result<(), Failure> {
        let wired = wire::open(&self.settings).await?;
        let mut signals = Signals::listen()?;
        let outcome = tokio::select! {
            outcome = work(&wired) => outcome,
            exit = signals.next() => Err(Failure::silent(exit)),
        };
        // Whoever called learns it now: what is in flight may take a while to be committed.
        let outcome = outcome.map_err(Failure::told);
        end(&wired, self.settings.command.shutdown_patience).await;
        outcome
    }
}

/// Ends a peer's work. What a provider answered and could not be committed in time stays in the journal.
pub(super) async fn end(wired: &Wired, patience: std::time::Duration) {
    let in_time = progress::waiting("finishing a refresh in flight", wired.broker.shutdown(patience)).await;
    if !in_time {
        tracing::error!(
            "a refresh is still in flight: its answer, if there is one, is taken up from the journal"
        );
    }
    wired.close().await;
}
