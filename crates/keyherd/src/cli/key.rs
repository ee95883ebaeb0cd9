//! `keyherd key`: another master key, while everybody works on.
//!
//! Owns the order that keeps the key file safe: the new key is in the file, in front of the old one, before anything is
//! sealed under it; the old one leaves the file when nothing can be sealed under it any more.

use std::time::Duration;

use clap::Subcommand;
use keyherd_adapters::journal::Resealed;
use keyherd_adapters::seal::{KeyError, KeySource, Keyring};
use keyherd_core::audit::{Actor, Note};
use keyherd_core::ports::store::ChainStore;
use serde::Serialize;
use serde_json::json;

use super::failure::{Exit, Failure};
use super::peer::Context;
use super::progress::{self, Progress};
use crate::wire::{Rotation, Wired};

/// Between two looks at claims that were taken before the rotation.
const LOOK: Duration = Duration::from_millis(50);
/// How long another rotation is waited for.
const TURN_PATIENCE: Duration = Duration::from_secs(1);

/// The master key.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a new master key and seal everything under it, while servers and commands work on
    ///
    /// Interrupted, it is simply run again and goes on with the key it had made: at each step the key file holds every
    /// key that anything is sealed under. It waits for refreshes that began before it, up to `[refresh]`
    /// flight_timeout_seconds; while some are still under way then, the old key is kept, and it is run again later.
    /// Where the key comes from KEYHERD_MASTER_KEY, put the new key in front of the old one, separated by a comma, and
    /// run this: everything is sealed under the first one.
    Rotate,
}

#[derive(Serialize)]
struct Rotated {
    key: String,
    rows: u64,
    journal_entries: usize,
    old_keys_kept: usize,
}

impl Key {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let Self::Rotate = self;
        context.refuse_server("key rotate")?;
        let source = &context.settings.master_key;
        let patience = context.settings.options.refresh.flight_timeout;
        let work = async |wired: &Wired| {
            let _alone = alone(wired).await?;
            let rotated = rotate(wired, source, patience).await?;
            if context.out.is_json() { context.out.json(&rotated) } else { context.out.line(said(&rotated)) }
        };
        context.store("key rotate", work).await
    }
}

fn said(rotated: &Rotated) -> String {
    let Rotated { key, rows, journal_entries, old_keys_kept } = rotated;
    let old = match old_keys_kept {
        0 => "the old key is needed no more",
        _ => {
            "the old key is kept behind it, since some refresh was under way all the time: run this again later to be rid of it"
        }
    };
    format!(
        "everything is sealed under master key {key} ({rows} rows, {journal_entries} journal entries); {old}"
    )
}

async fn rotate(wired: &Wired, source: &KeySource, patience: Duration) -> Result<Rotated, Failure> {
    let keyring = next(source)?;
    let key = keyring.sealing().to_hex();
    let note = Note {
        action: "key.rotate",
        actor: Actor::new("cli"),
        subject: "master key".into(),
        detail: json!({"key": key}),
    };
    let progress = Progress::new("sealing", 1);
    let rows = wired.store.rekey(keyring.clone(), note, |done, total| progress.reach_of(done, total)).await?;
    drop(progress);
    wired.journal.rekey(keyring.clone());
    let first = wired.journal.reseal_all().await?;
    let settled =
        progress::waiting("waiting for refreshes that began before", settled(wired, patience)).await?;
    let second = wired.journal.reseal_all().await?;
    let old_keys_kept = drop_old(source, &keyring, settled, &second)?;
    Ok(Rotated { key, rows, journal_entries: first.resealed + second.resealed, old_keys_kept })
}

/// The keys with the new one in front; in a file, they are in it when this returns. A text's owner puts it there.
fn next(source: &KeySource) -> Result<Keyring, Failure> {
    let keyring = source.load().map_err(Failure::failed)?;
    match source {
        KeySource::Text(_) if keyring.ids().count() > 1 => Ok(keyring),
        KeySource::Text(_) => Err(Failure::failed(KeyError::NotAFile)),
        // A rotation that was not finished goes on with its key: the new one is in front already.
        KeySource::File(_) if keyring.ids().count() > 1 => Ok(keyring),
        KeySource::File(_) => {
            let rotated = keyring.rotated().map_err(Failure::failed)?;
            source.replace(&rotated).map_err(Failure::failed)?;
            Ok(rotated)
        }
    }
}

/// Whether every claim that was taken under the old key has ended: its answer may be journaled under that key.
async fn settled(wired: &Wired, patience: Duration) -> Result<bool, Failure> {
    let looks = async {
        while wired.store.unresolved().await? > 0 {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, Failure>(())
    };
    match tokio::time::timeout(patience, looks).await {
        Ok(looked) => looked.map(|()| true),
        Err(_elapsed) => Ok(false),
    }
}

/// Takes the old keys out of the file, if nothing needs them. Returns how many are kept.
fn drop_old(
    source: &KeySource,
    keyring: &Keyring,
    settled: bool,
    journal: &Resealed,
) -> Result<usize, Failure> {
    let old = keyring.ids().count() - 1;
    if !settled || !journal.unreadable.is_empty() {
        return Ok(old);
    }
    match source {
        KeySource::Text(_) => Ok(0),
        KeySource::File(_) => {
            source.replace(&keyring.sealing_only()).map_err(Failure::failed)?;
            Ok(0)
        }
    }
}

/// Of two rotations at once, one would put its key file over the other's key.
async fn alone(wired: &Wired) -> Result<Rotation, Failure> {
    match tokio::time::timeout(TURN_PATIENCE, wired.rotation()).await {
        Ok(Ok(rotation)) => Ok(rotation),
        Ok(Err(error)) => Err(error.into()),
        Err(_elapsed) => {
            Err(Failure::new(Exit::NotNow, "another 'keyherd key rotate' is at work: let it finish first"))
        }
    }
}
