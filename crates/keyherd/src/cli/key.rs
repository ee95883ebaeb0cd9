//! `keyherd key`: another master key, while everybody works on.
//!
//! Owns the order that keeps the key file safe: the new key is in the file, in front of the old one, before anything is
//! sealed under it; the old one leaves the file when nothing can be sealed under it any more.

use std::time::Duration;

use clap::Subcommand;
use keyherd_adapters::seal::{KeyError, KeySource, Keyring};
use keyherd_core::audit::{Actor, Note};
use keyherd_core::ports::store::ChainStore;
use keyherd_core::time::Timestamp;
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
    ///
    /// In a fleet give every host the new key first, behind the old one, then in front of it, and run this on each: the first
    /// run seals the store anew, and every one its own host's journal. A key that is made here, on a fleet's only host,
    /// stays in front of the old one until this is run again.
    Rotate,
}

#[derive(Serialize)]
struct Rotated {
    key: String,
    rows: u64,
    journal_entries: usize,
    old_keys_kept: usize,
    #[serde(skip)]
    why_kept: Option<&'static str>,
}

const UNDER_WAY: &str =
    "is kept behind it, since some refresh was under way all the time: run this again later to be rid of it";
const OTHER_HOSTS: &str =
    "is kept behind it: bring the key file to every other host, then run this once more on each";
const LOCK_LOST: &str =
    "is kept behind it, since the server was not there all the time: run this again to be rid of it";
const NOT_IN_FILE: &str = "can be taken out of KEYHERD_MASTER_KEY";

impl Key {
    pub(super) async fn run(self, context: Context) -> Result<(), Failure> {
        let Self::Rotate = self;
        context.refuse_server("key rotate")?;
        let source = &context.settings.master_key;
        let patience = context.settings.options.refresh.flight_timeout;
        let work = async |wired: &Wired| {
            let alone = alone(wired).await?;
            let rotated = rotate(wired, &alone, source, patience).await?;
            if context.out.is_json() { context.out.json(&rotated) } else { context.out.line(said(&rotated)) }
        };
        context.store("key rotate", work).await
    }
}

fn said(rotated: &Rotated) -> String {
    let Rotated { key, rows, journal_entries, why_kept, .. } = rotated;
    let old = why_kept.unwrap_or("is needed no more");
    format!(
        "everything is sealed under master key {key} (rows: {rows}, journal entries: {journal_entries}); the old key {old}"
    )
}

async fn rotate(
    wired: &Wired,
    alone: &Rotation,
    source: &KeySource,
    patience: Duration,
) -> Result<Rotated, Failure> {
    let given = source.load().map_err(Failure::failed)?;
    let is_made_here = matches!(source, KeySource::File(_)) && given.ids().count() == 1;
    if is_made_here {
        refuse_before_others(wired).await?;
    }
    let keyring = next(source, given)?;
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
    let began = wired.broker.now();
    wired.journal.rekey(keyring.clone());
    let first = wired.journal.reseal_all().await?;
    let settled = settled(wired, began, patience);
    let settled = progress::waiting("waiting for refreshes that began before", settled).await?;
    let second = wired.journal.reseal_all().await?;
    let copies = wired.reseal_copies().await;
    tracing::debug!(copies, "copies of the journal were sealed anew");
    let why_kept = match source {
        _ if !settled || !second.unreadable.is_empty() => Some(UNDER_WAY),
        KeySource::Text(_) => Some(NOT_IN_FILE),
        KeySource::File(_) if is_made_here && wired.is_fleet() => Some(OTHER_HOSTS),
        KeySource::File(_) if !alone.is_held().await => Some(LOCK_LOST),
        KeySource::File(_) => None,
    };
    if why_kept.is_none() {
        source.replace(&keyring.sealing_only()).map_err(Failure::failed)?;
    }
    let old_keys_kept = match why_kept {
        None | Some(NOT_IN_FILE) => 0,
        Some(_) => keyring.ids().count() - 1,
    };
    Ok(Rotated { key, rows, journal_entries: first.resealed + second.resealed, old_keys_kept, why_kept })
}

/// Whoever is at work on another host has no way to the key that is about to be made here.
async fn refuse_before_others(wired: &Wired) -> Result<(), Failure> {
    match wired.server().await? {
        Some(server) if server.other_hosts > 0 => Err(Failure::failed(format!(
            "{} other hosts work on {}, and a key that is made here would lock them out: put a new key (32 bytes in base64) behind \
             the old one on every host, then in front of it, and run this on each",
            server.other_hosts,
            wired.place()
        ))),
        _ => Ok(()),
    }
}

/// The keys with the new one in front; in a file, they are in it when this returns. A text's owner puts it there.
fn next(source: &KeySource, keyring: Keyring) -> Result<Keyring, Failure> {
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

/// Whether every claim that was taken before `began` has ended: its answer may be journaled under the old key.
async fn settled(wired: &Wired, began: Timestamp, patience: Duration) -> Result<bool, Failure> {
    let looks = async {
        while wired.store.claimed_before(began).await? > 0 {
            tokio::time::sleep(LOOK).await;
        }
        Ok::<_, Failure>(())
    };
    match tokio::time::timeout(patience, looks).await {
        Ok(looked) => looked.map(|()| true),
        Err(_elapsed) => Ok(false),
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
