//! Real processes: born at once, killed, stopped. The children are this very test binary.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use keyherd_core::credential::Holder;
use keyherd_core::ports::store::{AuditStore, ChainStore, CredentialStore};
use rustix::process::{Pid, Signal, kill_process};

use super::bed::{Bed, claim, create, keyring, name, note, options};
use crate::store::sqlite::SqliteStore;

/// Tells a child which store is meant. Without it the children's tests do nothing.
const STORE: &str = "KEYHERD_TEST_STORE";

struct Kid {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Kid {
    fn spawn(role: &str, store: &Path) -> Self {
        let test = format!("store::sqlite::tests::processes::child_{role}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--ignored", "--nocapture", "--test-threads=1"])
            .env(STORE, store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// The child's next word to us, past what the test harness says.
    fn word(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the child ended without a word");
            if let Some((_, word)) = line.split_once("child says ") {
                return word.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Kid {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "how a child of this test is told its part")]
async fn store_of_child() -> Option<SqliteStore> {
    let path = std::env::var_os(STORE)?;
    Some(SqliteStore::open(options(path.into(), keyring(&[1]))).await.unwrap())
}

fn say(word: &str) {
    println!("child says {word}");
}

/// Until the parent is gone or kills us.
fn linger() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[tokio::test]
#[ignore = "a part of the tests below"]
async fn child_claims() {
    let Some(store) = store_of_child().await else { return };
    let loaded = store.credential(&name("acme-1")).await.unwrap().unwrap();
    claim(&store, &loaded.chain).await;
    say("claimed");
    linger();
}

#[tokio::test]
#[ignore = "a part of the tests below"]
async fn child_is_born() {
    let Some(store) = store_of_child().await else { return };
    say(&format!("{:?}", store.installation().id));
}

#[tokio::test]
#[ignore = "a part of the tests below"]
async fn child_writes() {
    let Some(store) = store_of_child().await else { return };
    loop {
        store.append(note("written")).await.unwrap();
        say("written");
    }
}

#[tokio::test]
async fn a_killed_owner_is_gone_at_once_and_a_stopped_one_is_not() {
    let bed = Bed::new();
    let store = bed.store().await;
    let chain = create(&store, "acme-1", "t1").await.chain.id;
    let holder = async || store.chain(chain).await.unwrap().unwrap().claim.unwrap().holder;
    let mut kid = Kid::spawn("claims", &bed.path());
    assert_eq!(kid.word(), "claimed");
    assert_eq!(holder().await, Holder::Alive);
    kid.signal(Signal::STOP);
    assert_eq!(holder().await, Holder::Alive, "a paused owner is never overtaken");
    kid.signal(Signal::CONT);
    assert_eq!(holder().await, Holder::Alive);
    kid.kill();
    assert_eq!(holder().await, Holder::Gone);
}

#[tokio::test]
async fn a_swept_file_of_a_dead_owner_changes_nothing() {
    let bed = Bed::new();
    let store = bed.store().await;
    let chain = create(&store, "acme-1", "t1").await.chain.id;
    let mut kid = Kid::spawn("claims", &bed.path());
    assert_eq!(kid.word(), "claimed");
    assert_eq!(store.engine.owners.sweep(100), 0, "its owner lives");
    kid.kill();
    assert_eq!(store.engine.owners.sweep(100), 1);
    assert_eq!(store.chain(chain).await.unwrap().unwrap().claim.unwrap().holder, Holder::Gone);
}

#[tokio::test]
async fn processes_born_at_once_share_one_installation() {
    let bed = Bed::new();
    let mut kids: Vec<_> = (0..24).map(|_| Kid::spawn("is_born", &bed.path())).collect();
    let mut ids: Vec<_> = kids.iter_mut().map(Kid::word).collect();
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(ids[0], format!("{:?}", bed.store().await.installation().id));
}

#[tokio::test]
async fn writers_killed_in_the_middle_lose_nothing_that_was_acknowledged() {
    let bed = Bed::new();
    let store = bed.store().await;
    let mut kids: Vec<_> = (0..3).map(|_| Kid::spawn("writes", &bed.path())).collect();
    for kid in &mut kids {
        for _ in 0..20 {
            assert_eq!(kid.word(), "written");
        }
    }
    for kid in &mut kids {
        kid.kill();
    }
    let verified = store.verify().await.unwrap();
    assert_eq!(verified.broken, None);
    assert!(verified.entries >= 60, "{}", verified.entries);
    assert_eq!(store.integrity_check().await, Ok(Vec::new()));
}
