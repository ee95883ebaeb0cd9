//! The checks themselves, in the order in which one needs the other.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use keyherd_adapters::seal::{KeyError, KeySource};
use keyherd_adapters::store::postgres::ServerState;
use keyherd_core::ports::store::{AuditStore, ChainStore, CredentialStore};
use keyherd_core::ports::{Journal, JournalError};
use keyherd_core::time::Timestamp;

use super::super::duration::brief;
use super::super::peer::Context;
use super::room::room;
use super::{Finding, Verdict};
use crate::config::StoreSettings;
use crate::peer::ServerPeer;
use crate::wire::{ADMIN_TOKEN_FILE, CaState, ClockLead, Wired, ca_state};

/// 2025-01-01: this program is younger than that.
const CLOCK_MIN: Timestamp = Timestamp::from_millis(1_735_689_600_000);
/// How far the clock may lie behind the newest audit entry: what NTP corrects in one step.
const CLOCK_BACK_MAX: Duration = Duration::from_secs(60);
/// Pending journal entries that are opened.
const PENDING_MAX: usize = 1_000;

/// What can be looked at without a store.
pub(super) fn before_opening(context: &Context, has_store: Option<bool>) -> Vec<Finding> {
    let mut findings = vec![data_folder(context), room(context), master_key(context, has_store)];
    findings.extend(admin_token(&context.settings.data.join(ADMIN_TOKEN_FILE)));
    findings
}

/// Whether a server can be reached, serves, and knows the bearer.
pub(super) async fn server(peer: &ServerPeer) -> Finding {
    const CHECK: &str = "server";
    match peer.look().await {
        Ok((version, ready)) => {
            let part = |part: &str| format!("{part} {}", ready[part].as_str().unwrap_or("?"));
            let parts = ["store", "coordinator", "journal"].map(part).join(", ");
            let detail = format!("{}, version {version}: {parts}", peer.origin());
            let is_well = ready["coordinator"] == "ok" && ready["journal"] == "ok";
            Finding::new(CHECK, if is_well { Verdict::Ok } else { Verdict::Note }, detail)
        }
        Err(failure) => Finding::new(CHECK, Verdict::Wrong, failure.line().unwrap_or_default()),
    }
}

/// What only a peer on the store can see.
pub(super) async fn of_open_store(context: &Context, wired: &Wired) -> Vec<Finding> {
    let mut findings = vec![store(wired).await];
    findings.extend(server_of_store(wired).await);
    findings.extend([
        audit(wired).await,
        clock(wired).await,
        coordinator(context, wired).await,
        journal(wired).await,
        claims(wired).await,
        credentials(wired).await,
        profiles(context, wired),
        ca(context, wired),
    ]);
    findings
}

fn data_folder(context: &Context) -> Finding {
    let data = &context.settings.data;
    const CHECK: &str = "data folder";
    if let Err(error) = context.settings.prepare_data() {
        return Finding::new(CHECK, Verdict::Wrong, error);
    }
    let (shown, mode) = (data.display(), fs::metadata(data).map(|found| found.permissions().mode() & 0o7777));
    match mode {
        Ok(mode) if mode & 0o077 != 0 => Finding::new(
            CHECK,
            Verdict::Note,
            format!(
                "others may look into {shown} (mode {mode:04o}): run 'chmod 700 {shown}', unless they are to read ca.pem there"
            ),
        ),
        Ok(_) => Finding::new(CHECK, Verdict::Ok, shown),
        Err(error) => Finding::new(CHECK, Verdict::Wrong, error),
    }
}

fn master_key(context: &Context, has_store: Option<bool>) -> Finding {
    const CHECK: &str = "master key";
    match (context.settings.master_key.load(), &context.settings.master_key) {
        (Ok(keyring), source) => {
            let from = match source {
                KeySource::File(path) => path.display().to_string(),
                KeySource::Text(_) => "KEYHERD_MASTER_KEY".to_owned(),
            };
            let ids: Vec<_> = keyring.ids().map(|id| id.to_string()).collect();
            match ids.len() {
                1 => Finding::new(CHECK, Verdict::Ok, format!("{} from {from}", ids.join(", "))),
                _ => Finding::new(
                    CHECK,
                    Verdict::Note,
                    format!(
                        "{} from {from}: the first one seals; 'keyherd key rotate' ends with one",
                        ids.join(", ")
                    ),
                ),
            }
        }
        (Err(KeyError::Missing { .. }), _) if has_store == Some(false) => {
            Finding::new(CHECK, Verdict::Note, "none yet: made together with the store")
        }
        (Err(error), _) => Finding::new(CHECK, Verdict::Wrong, error),
    }
}

fn admin_token(path: &Path) -> Option<Finding> {
    const CHECK: &str = "admin token";
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let shown = path.display();
    Some(match mode & 0o077 {
        0 => Finding::new(CHECK, Verdict::Ok, shown),
        _ => Finding::new(
            CHECK,
            Verdict::Wrong,
            format!("{shown} is open to others (mode {mode:04o}): run 'chmod 600 {shown}'"),
        ),
    })
}

async fn store(wired: &Wired) -> Finding {
    let shown = wired.place();
    let looked = async { Ok((wired.integrity_check().await?, wired.schema_version().await?)) };
    let looked: Result<_, keyherd_core::ports::StoreError> = looked.await;
    match looked {
        Ok((problems, schema)) if problems.is_empty() => {
            Finding::new("store", Verdict::Ok, format!("{shown}, schema {schema}"))
        }
        Ok((problems, _)) => {
            let first = problems.first().map_or("", String::as_str);
            let detail = format!(
                "{shown} is damaged ({first}, {} problems): stop keyherd, keep a copy, restore a backup",
                problems.len()
            );
            Finding::new("store", Verdict::Wrong, detail)
        }
        Err(error) => Finding::new("store", Verdict::Wrong, error),
    }
}

async fn audit(wired: &Wired) -> Finding {
    const CHECK: &str = "audit log";
    match wired.store.verify().await {
        Ok(verified) => match verified.broken {
            None => Finding::new(
                CHECK,
                Verdict::Ok,
                format!("{} entries, each as it was written", verified.entries),
            ),
            Some(broken) => Finding::new(
                CHECK,
                Verdict::Wrong,
                format!("{broken}: keep a copy of the store, and compare it with an export or a backup"),
            ),
        },
        Err(error) => Finding::new(CHECK, Verdict::Wrong, error),
    }
}

/// In a fleet the server's: what this machine's own says is worth knowing only.
async fn clock(wired: &Wired) -> Finding {
    const CHECK: &str = "clock";
    let now = wired.broker.now();
    let last = match wired.store.tail(1).await {
        Ok(entries) => entries.last().map(|entry| entry.at),
        Err(error) => return Finding::new(CHECK, Verdict::Wrong, error),
    };
    let shown = keyherd_api::documents::Moment::from(now);
    if now < CLOCK_MIN {
        return Finding::new(CHECK, Verdict::Wrong, format!("it says {shown}, which is long past: set it"));
    }
    match (last.filter(|last| now + CLOCK_BACK_MAX < *last), wired.clock_lead()) {
        (Some(last), _) => {
            let behind = brief(now.until(last));
            let detail = format!(
                "it says {shown}, {behind} before the newest audit entry: set it, expiry is judged by it"
            );
            Finding::new(CHECK, Verdict::Wrong, detail)
        }
        (None, Some(lead)) => led(&lead, shown),
        (None, None) => Finding::new(CHECK, Verdict::Ok, shown),
    }
}

/// A clock that is off does no harm here, but to logs, and to the certificates that are judged by it.
fn led(lead: &ClockLead, shown: impl Display) -> Finding {
    let apart = Duration::from_millis(lead.millis.unsigned_abs());
    let side = if lead.millis < 0 { "ahead of" } else { "behind" };
    let of_server = format!("{shown} at the server (within {} ms)", lead.error.as_millis());
    if apart > CLOCK_BACK_MAX {
        let detail = format!(
            "{of_server}; this machine's is {} {side} it: no token is judged by that, but certificates are: set it",
            brief(apart)
        );
        return Finding::new("clock", Verdict::Note, detail);
    }
    Finding::new(
        "clock",
        Verdict::Ok,
        format!("{of_server}; this machine's is {} ms {side} it", apart.as_millis()),
    )
}

/// Trouble with it is worth knowing: everything works without it, only slower.
async fn coordinator(context: &Context, wired: &Wired) -> Finding {
    const CHECK: &str = "coordinator";
    let troubles = wired.coordinator_trouble().await;
    match troubles.as_slice() {
        [] => {
            let redis = match &context.settings.store {
                StoreSettings::Fleet(fleet) => fleet.redis.as_ref(),
                StoreSettings::Sqlite(_) => None,
            };
            let redis = redis.map_or_else(String::new, |place| format!("; Redis at {place} is used"));
            let detail = format!("other processes' commits are heard of: tried, notices arrive{redis}");
            Finding::new(CHECK, Verdict::Ok, detail)
        }
        troubles => Finding::new(CHECK, Verdict::Note, troubles.join("; ")),
    }
}

/// A fleet's server.
async fn server_of_store(wired: &Wired) -> Option<Finding> {
    const CHECK: &str = "database server";
    Some(match wired.server().await {
        Ok(server) => {
            let ServerState { version, is_too_old, commits_last, other_hosts } = server?;
            let shown = format!("PostgreSQL {version}, used from {other_hosts} other addresses");
            match (is_too_old, commits_last) {
                (true, _) => {
                    let detail = format!("PostgreSQL {version} is too old: upgrade it to 13 or later");
                    Finding::new(CHECK, Verdict::Wrong, detail)
                }
                (false, false) => {
                    let detail = format!(
                        "{shown}; fsync or synchronous_commit is off: what it lost in a crash is rolled forward from the hosts' \
                         journals, where they still have it"
                    );
                    Finding::new(CHECK, Verdict::Note, detail)
                }
                (false, true) => Finding::new(CHECK, Verdict::Ok, shown),
            }
        }
        Err(error) => Finding::new(CHECK, Verdict::Wrong, error),
    })
}

async fn journal(wired: &Wired) -> Finding {
    const CHECK: &str = "journal";
    let pending = match wired.journal.pending(PENDING_MAX).await {
        Ok(pending) => pending,
        Err(error) => return Finding::new(CHECK, Verdict::Wrong, error),
    };
    for spent in &pending {
        if let Err(error) = wired.journal.find(spent).await {
            let remedy = match &error {
                JournalError::Sealed { .. } => "put that key behind the first one in the key file",
                JournalError::Unreadable { .. } => {
                    "its account must be logged in again; then remove the file"
                }
                JournalError::Io(_) => "make it readable for its owner",
            };
            return Finding::new(CHECK, Verdict::Wrong, format!("{error}: {remedy}"));
        }
    }
    match pending.len() {
        0 => Finding::new(CHECK, Verdict::Ok, "nothing waits to be committed"),
        waiting => Finding::new(
            CHECK,
            Verdict::Note,
            format!(
                "{waiting} answers wait to be committed: 'keyherd serve' does so, or the next token of that credential"
            ),
        ),
    }
}

async fn claims(wired: &Wired) -> Finding {
    const CHECK: &str = "claims";
    match wired.store.unresolved().await {
        Ok(0) => Finding::new(CHECK, Verdict::Ok, "none is open"),
        Ok(open) => Finding::new(
            CHECK,
            Verdict::Note,
            format!(
                "{open} open: refreshes under way, or left by a process that died and resolved with the next token"
            ),
        ),
        Err(error) => Finding::new(CHECK, Verdict::Wrong, error),
    }
}

async fn credentials(wired: &Wired) -> Finding {
    const CHECK: &str = "credentials";
    match wired.store.census(wired.broker.now()).await {
        Ok(census) if census.is_empty() => {
            Finding::new(CHECK, Verdict::Note, "none yet: see 'keyherd cred import --help'")
        }
        Ok(census) => {
            let words: Vec<_> = census.iter().map(|(word, count)| format!("{count} {word}")).collect();
            let is_well = census.iter().all(|(word, _)| word == "active" || word == "disabled");
            let verdict = if is_well { Verdict::Ok } else { Verdict::Note };
            Finding::new(CHECK, verdict, words.join(", "))
        }
        Err(error) => Finding::new(CHECK, Verdict::Wrong, error),
    }
}

/// What agents behind the proxy trust.
fn ca(context: &Context, wired: &Wired) -> Finding {
    const CHECK: &str = "CA";
    match ca_state(&context.settings.data, &wired.broker.ports().hasher) {
        Ok(CaState::Good(path)) => Finding::new(CHECK, Verdict::Ok, path.display()),
        Ok(CaState::Missing(path)) => {
            let detail =
                format!("{} is not there yet: 'keyherd serve' makes it, or 'keyherd ca'", path.display());
            Finding::new(CHECK, Verdict::Note, detail)
        }
        Ok(CaState::Foreign(path)) => {
            let detail = format!(
                "{} is not the certificate of this installation's authority: run 'keyherd ca', which makes it anew, and give \
                 it to the agents again",
                path.display()
            );
            Finding::new(CHECK, Verdict::Wrong, detail)
        }
        Err(problem) => Finding::new(CHECK, Verdict::Wrong, problem),
    }
}

fn profiles(context: &Context, wired: &Wired) -> Finding {
    const CHECK: &str = "profiles";
    let names = match wired.profiles.names() {
        Ok(names) => names,
        Err(error) => return Finding::new(CHECK, Verdict::Wrong, error),
    };
    match names.iter().find_map(|name| wired.profiles.locate(name).err()) {
        Some(error) => Finding::new(CHECK, Verdict::Wrong, error),
        None => {
            let folder = context.settings.data.join("providers");
            Finding::new(
                CHECK,
                Verdict::Ok,
                format!("{} read; your own go to {}", names.len(), folder.display()),
            )
        }
    }
}
