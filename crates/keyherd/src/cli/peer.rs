//! A command as a peer on the store: opened, put to work, and ended only when what is in flight is committed.

use keyherd_core::audit::Actor;

use super::failure::Failure;
use super::output::Output;
use super::progress;
use super::signals::Signals;
use crate::config::{Environment, Settings};
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
    /// Does the work as a peer on the store. SIGINT and SIGTERM end the waiting at once and the process as soon as
    /// nothing is in flight any more; a provider's answer that is on its way is committed first.
    ///
    /// Prompts and standard input belong before this: here signals no longer kill.
    pub(super) async fn peer(
        &self,
        work: impl AsyncFnOnce(&Wired) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
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
    wired.store.close().await;
}

/// Who acts, for the audit log.
pub(super) fn actor() -> Actor {
    Actor::new("cli")
}
