//! A bell rings here and elsewhere, and silence is heard by the pulse.

use std::sync::atomic::AtomicI64;

use super::*;

#[derive(Default)]
struct Heart(AtomicI64);

#[async_trait]
impl Pulse for Heart {
    async fn pulse(&self) -> Option<i64> {
        Some(self.0.load(Ordering::Relaxed))
    }
}

struct Tower {
    _folder: tempfile::TempDir,
    path: PathBuf,
    heart: Arc<Heart>,
}

impl Tower {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { path: folder.path().join("bell"), heart: Arc::default(), _folder: folder }
    }

    fn bell(&self, poll_every: Duration) -> Bell {
        Bell::new(self.path.clone(), self.heart.clone(), BellOptions { poll_every })
    }
}

const HOUR: Duration = Duration::from_secs(3_600);

/// Long enough for a busy machine; passing tests never wait for it.
async fn soon(future: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(Duration::from_secs(20), future).await.is_ok()
}

#[tokio::test]
async fn a_ring_in_this_process_is_heard_even_before_anyone_listens() {
    let tower = Tower::new();
    let bell = tower.bell(HOUR);
    bell.announce();
    assert!(soon(bell.changed()).await);
    let waiting = tokio::join!(bell.changed(), async { bell.announce() });
    assert_eq!(waiting, ((), ()));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_ring_of_another_process_is_heard() {
    let tower = Tower::new();
    let (here, there) = (tower.bell(HOUR), tower.bell(HOUR));
    assert!(soon(here.changed()).await, "the first look is news");
    for _ in 0..3 {
        there.announce();
        assert!(soon(here.changed()).await);
    }
}

#[tokio::test]
async fn a_lost_ring_is_made_good_by_the_pulse() {
    let tower = Tower::new();
    let bell = tower.bell(Duration::from_millis(1));
    assert!(soon(bell.changed()).await);
    for beat in 1..4 {
        tower.heart.0.store(beat, Ordering::Relaxed);
        assert!(soon(bell.changed()).await);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_wakes_nobody() {
    let tower = Tower::new();
    let bell = tower.bell(Duration::from_millis(50));
    bell.changed().await;
    let quiet = tokio::time::timeout(Duration::from_secs(30), bell.changed()).await;
    assert!(quiet.is_err(), "it rang without a cause");
}

#[tokio::test]
async fn a_bell_that_nobody_needs_falls_silent() {
    let tower = Tower::new();
    let bell = tower.bell(HOUR);
    bell.changed().await;
    assert_eq!(Arc::strong_count(&tower.heart), 3, "the tower, the bell, its listener");
    drop(bell);
    let silent = async {
        while Arc::strong_count(&tower.heart) > 1 {
            tokio::task::yield_now().await;
        }
    };
    assert!(soon(silent).await);
}

#[tokio::test]
async fn a_store_has_a_pulse() {
    let folder = tempfile::tempdir().unwrap();
    let options = crate::store::sqlite::SqliteOptions {
        path: folder.path().join("keyherd.db"),
        keyring: crate::seal::Keyring::new(vec![crate::seal::MasterKey::from_bytes([1; 32])]).unwrap(),
        keys: None,
        clock: Arc::new(crate::system::SystemClock),
        entropy: Arc::new(crate::system::OsEntropy::new().unwrap()),
        bounds: crate::store::sqlite::SqliteBounds::default(),
    };
    let one = SqliteStore::open(options.clone()).await.unwrap();
    let two = SqliteStore::open(options).await.unwrap();
    let before = one.pulse().await;
    assert_eq!(one.pulse().await, before, "nothing was committed");
    let note = keyherd_core::audit::Note {
        action: "n",
        actor: keyherd_core::audit::Actor::new("test"),
        subject: String::new(),
        detail: serde_json::Value::Null,
    };
    keyherd_core::ports::store::AuditStore::append(&*two, note.clone()).await.unwrap();
    let after = one.pulse().await;
    assert_ne!(after, before, "another process committed");
    keyherd_core::ports::store::AuditStore::append(&*one, note).await.unwrap();
    assert_ne!(one.pulse().await, after, "this one did");
}
