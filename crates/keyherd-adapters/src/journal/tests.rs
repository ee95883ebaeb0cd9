//! The journal on a real folder: what survives, what is refused, what goes.

mod copies;
mod dying;
mod together;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use keyherd_core::credential::Tokens;
use keyherd_core::ids::{ChainId, ClaimId};
use keyherd_core::secret::Secret;
use tempfile::TempDir;

use super::*;
use crate::seal::MasterKey;

const INSTALLATION: [u8; 16] = [4; 16];
const RECEIVED: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR: Duration = Duration::from_secs(3_600);

fn keyring(seeds: &[u8]) -> Keyring {
    Keyring::new(seeds.iter().map(|seed| MasterKey::from_bytes([*seed; 32])).collect()).unwrap()
}

fn journal(dir: &Path, seeds: &[u8]) -> FileJournal {
    FileJournal::open(dir.to_path_buf(), keyring(seeds), INSTALLATION).unwrap()
}

fn fresh() -> (TempDir, FileJournal) {
    let dir = tempfile::tempdir().unwrap();
    let journal = journal(dir.path(), &[1]);
    (dir, journal)
}

fn hash(seed: u8) -> TokenHash {
    TokenHash::from_bytes([seed; 32])
}

fn entry(seed: u8) -> JournalEntry {
    let tokens = Tokens {
        access_token: Some(Secret::from("access \"quoted\" \\ ü")),
        token_type: "Bearer".into(),
        expires_at: Some(RECEIVED + HOUR),
        expires_assumed: true,
        issued_at: RECEIVED,
        refresh_token: Some(Secret::from("planted-refresh")),
        refresh_expires_at: None,
        scopes: vec!["a".into(), "b c".into()],
    };
    JournalEntry {
        chain: ChainId::from_i64(i64::MAX),
        claim: ClaimId::from_i64(9),
        generation: 7,
        spent: hash(seed),
        tokens,
        minted_by_rejection: true,
        received_at: RECEIVED,
    }
}

fn pending_file(dir: &TempDir, seed: u8) -> PathBuf {
    dir.path().join("pending").join(hash(seed).to_hex())
}

fn done_file(dir: &TempDir, seed: u8) -> PathBuf {
    dir.path().join("done").join(hash(seed).to_hex())
}

async fn refused(journal: &FileJournal, seed: u8) -> String {
    match journal.find(&hash(seed)).await {
        Err(error @ (JournalError::Unreadable { .. } | JournalError::Sealed { .. })) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_entry_survives_the_process_whole() {
    let (dir, first) = fresh();
    let bare = Tokens {
        access_token: None,
        refresh_token: None,
        expires_at: None,
        scopes: vec![],
        ..entry(2).tokens
    };
    let bare = JournalEntry { tokens: bare, ..entry(2) };
    first.write(&entry(1)).await.unwrap();
    first.write(&bare).await.unwrap();
    drop(first);
    let again = journal(dir.path(), &[1]);
    assert_eq!(again.find(&hash(1)).await.unwrap(), Some(entry(1)));
    assert_eq!(again.find(&hash(2)).await.unwrap(), Some(bare));
    assert_eq!(again.find(&hash(3)).await.unwrap(), None);
}

#[tokio::test]
async fn nothing_of_it_is_readable_by_others_or_by_eye() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("new").join("journal");
    let journal = journal(&inner, &[1]);
    journal.write(&entry(1)).await.unwrap();
    for (path, mode) in [("", 0o700), ("pending", 0o700), ("done", 0o700)] {
        assert_eq!(fs::metadata(inner.join(path)).unwrap().mode() & 0o777, mode, "{path}");
    }
    let file = inner.join("pending").join(hash(1).to_hex());
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    for planted in ["planted-refresh", "access", "Bearer"] {
        assert!(!bytes.windows(planted.len()).any(|window| window == planted.as_bytes()), "{planted}");
    }
}

#[tokio::test]
async fn a_committed_entry_stays_but_is_pending_no_more() {
    let (dir, journal) = fresh();
    journal.write(&entry(1)).await.unwrap();
    journal.write(&entry(2)).await.unwrap();
    journal.committed(&hash(1)).await.unwrap();
    assert_eq!(journal.pending(10).await.unwrap(), [hash(2)]);
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)));
    journal.committed(&hash(1)).await.unwrap();
    journal.committed(&hash(9)).await.unwrap();
    assert!(done_file(&dir, 1).exists() && !pending_file(&dir, 1).exists());
}

#[tokio::test]
async fn a_second_answer_for_one_token_takes_the_first_ones_place() {
    let (_dir, journal) = fresh();
    let newer = JournalEntry { generation: 8, ..entry(1) };
    journal.write(&entry(1)).await.unwrap();
    journal.committed(&hash(1)).await.unwrap();
    journal.write(&newer).await.unwrap();
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(newer.clone()));
    journal.committed(&hash(1)).await.unwrap();
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(newer));
    assert!(journal.pending(10).await.unwrap().is_empty());
}

#[tokio::test]
async fn pending_is_bounded_and_names_entries_only() {
    let (dir, journal) = fresh();
    for seed in 1..=5 {
        journal.write(&entry(seed)).await.unwrap();
    }
    for stray in
        ["README", &format!("{}.{:016x}.tmp", hash(6).to_hex(), 1), &hash(7).to_hex().to_uppercase()[1..]]
    {
        fs::write(dir.path().join("pending").join(stray), "x").unwrap();
    }
    let mut all = journal.pending(100).await.unwrap();
    all.sort();
    assert_eq!(all, (1..=5).map(hash).collect::<Vec<_>>());
    assert_eq!(journal.pending(3).await.unwrap().len(), 3);
    assert_eq!(journal.pending(0).await.unwrap(), []);
}

#[tokio::test]
async fn a_damaged_file_is_named_and_harms_no_other() {
    let (dir, journal) = fresh();
    journal.write(&entry(1)).await.unwrap();
    journal.write(&entry(2)).await.unwrap();
    let path = pending_file(&dir, 1);
    let whole = fs::read(&path).unwrap();
    let mut variants: Vec<Vec<u8>> = (0..whole.len()).step_by(7).map(|len| whole[..len].to_vec()).collect();
    variants.extend((0..whole.len()).step_by(5).map(|at| {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        changed
    }));
    variants.push(b"not an entry at all, whoever wrote it and for whatever reason".repeat(3));
    for bytes in variants {
        fs::write(&path, &bytes).unwrap();
        let said = refused(&journal, 1).await;
        assert!(said.contains(path.to_str().unwrap()) && !said.contains("planted"), "{said}");
        assert_eq!(journal.find(&hash(2)).await.unwrap(), Some(entry(2)));
    }
    assert_eq!(journal.pending(10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_entry_under_another_tokens_name_is_refused() {
    let (dir, journal) = fresh();
    journal.write(&entry(1)).await.unwrap();
    fs::copy(pending_file(&dir, 1), pending_file(&dir, 2)).unwrap();
    assert!(refused(&journal, 2).await.contains("another token's"));
}

#[tokio::test]
async fn entries_of_another_key_or_installation_are_refused() {
    let (dir, first) = fresh();
    first.write(&entry(1)).await.unwrap();
    let other_key = journal(dir.path(), &[2]);
    let said = refused(&other_key, 1).await;
    assert!(said.contains(&keyring(&[1]).sealing().to_hex()), "{said}");
    let elsewhere = FileJournal::open(dir.path().to_path_buf(), keyring(&[1]), [5; 16]).unwrap();
    assert!(refused(&elsewhere, 1).await.contains("moved here"));
}

#[tokio::test]
async fn a_file_too_large_is_not_taken_into_memory() {
    let (dir, journal) = fresh();
    let file = fs::File::create(pending_file(&dir, 1)).unwrap();
    file.set_len(ENTRY_LEN_MAX + 1).unwrap();
    assert!(refused(&journal, 1).await.contains("too large"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let (dir, journal) = fresh();
    fs::remove_dir(dir.path().join("pending")).unwrap();
    let Err(JournalError::Io(said)) = journal.write(&entry(1)).await else { panic!("it was written") };
    assert!(said.contains(pending_file(&dir, 1).to_str().unwrap()), "{said}");
    fs::write(dir.path().join("file"), "").unwrap();
    let opened = FileJournal::open(dir.path().join("file"), keyring(&[1]), INSTALLATION);
    assert!(matches!(opened, Err(JournalError::Io(said)) if said.contains("file")));
}

/// Forgets all that is aged, as for a store whose chains have all gone on.
async fn trim_by(journal: &FileJournal, now: Timestamp, keep: Duration) -> usize {
    let aged = journal.aged(now, keep, 100).await.unwrap();
    for entry in &aged {
        journal.forget(&entry.spent).await.unwrap();
    }
    aged.len()
}

#[tokio::test]
async fn what_is_aged_names_its_chain_and_generation() {
    let (dir, journal) = fresh();
    journal.write(&entry(1)).await.unwrap();
    journal.committed(&hash(1)).await.unwrap();
    fs::write(done_file(&dir, 9), "cut").unwrap();
    let age = std::time::SystemTime::UNIX_EPOCH;
    fs::File::options().append(true).open(done_file(&dir, 9)).unwrap().set_modified(age).unwrap();
    let aged = journal.aged(RECEIVED + 2 * HOUR, HOUR, 100).await.unwrap();
    let (spent, chain, generation) = (hash(1), entry(1).chain, entry(1).generation);
    assert_eq!(aged, [Aged { spent, chain, generation }]);
    assert!(done_file(&dir, 1).exists(), "it stays until it is forgotten");
    assert!(!done_file(&dir, 9).exists(), "what is cut off is nothing to keep");
}

#[tokio::test]
async fn trim_takes_what_is_done_and_old_and_nothing_else() {
    let (dir, journal) = fresh();
    let late = JournalEntry { received_at: RECEIVED + HOUR, ..entry(2) };
    for entry in [&entry(1), &late, &entry(3)] {
        journal.write(entry).await.unwrap();
    }
    for seed in [1, 2] {
        journal.committed(&hash(seed)).await.unwrap();
    }
    let trim = async |now| trim_by(&journal, now, 24 * HOUR).await;
    assert_eq!(trim(RECEIVED + 24 * HOUR).await, 0, "it is not older than that yet");
    assert_eq!(trim(RECEIVED + 24 * HOUR + Duration::from_millis(1)).await, 1);
    assert_eq!(journal.find(&hash(1)).await.unwrap(), None);
    assert_eq!(journal.find(&hash(2)).await.unwrap(), Some(late));
    assert_eq!(trim(RECEIVED + 48 * HOUR).await, 1);
    assert!(pending_file(&dir, 3).exists(), "what is pending never goes");
}

#[tokio::test]
async fn trim_goes_on_where_it_stopped_and_begins_again() {
    let dir = tempfile::tempdir().unwrap();
    let files = Files::open(dir.path().to_path_buf(), 10).unwrap();
    let journal = FileJournal::over(files, Keys::new(INSTALLATION, keyring(&[1])));
    let put = |range: std::ops::Range<u8>, age| {
        for seed in range {
            fs::write(done_file(&dir, seed), [0; 16]).unwrap();
            fs::File::options().append(true).open(done_file(&dir, seed)).unwrap().set_modified(age).unwrap();
        }
    };
    let (young, old) = (std::time::SystemTime::UNIX_EPOCH + HOUR * 1_000, std::time::SystemTime::UNIX_EPOCH);
    put(0..30, young);
    put(30..60, old);
    let trim = async || trim_by(&journal, Timestamp::from_millis(0) + HOUR * 1_000, HOUR).await;
    let mut round = 0;
    for _ in 0..6 {
        round += trim().await;
    }
    assert_eq!(round, 30, "six times ten files are all of them");
    put(60..65, old);
    let mut next = 0;
    for _ in 0..5 {
        next += trim().await;
    }
    assert_eq!(next, 5, "and it began anew");
}

#[tokio::test]
async fn trim_clears_away_what_nobody_will_finish() {
    let (dir, journal) = fresh();
    let stray = |name: &str, modified: Timestamp| {
        let path = dir.path().join("pending").join(name);
        let millis = u64::try_from(modified.as_millis()).unwrap();
        let since = std::time::UNIX_EPOCH + Duration::from_millis(millis);
        fs::File::create(&path).unwrap().set_modified(since).unwrap();
        path
    };
    let old = stray("a.tmp", RECEIVED);
    let young = stray("b.tmp", RECEIVED + HOUR);
    let foreign = stray("c.txt", RECEIVED);
    trim_by(&journal, RECEIVED + HOUR + Duration::from_millis(1), HOUR).await;
    assert_eq!((old.exists(), young.exists(), foreign.exists()), (false, true, true));
}

#[tokio::test]
async fn resealing_puts_every_entry_under_the_new_key() {
    let (dir, journal) = fresh();
    for seed in [1, 2, 3] {
        journal.write(&entry(seed)).await.unwrap();
    }
    journal.committed(&hash(1)).await.unwrap();
    fs::write(pending_file(&dir, 3), "damaged").unwrap();
    journal.rekey(keyring(&[2, 1]));
    let done = journal.reseal_all().await.unwrap();
    assert_eq!((done.resealed, done.unreadable.len()), (2, 1));
    assert_eq!(journal.reseal_all().await.unwrap().resealed, 0);
    journal.rekey(keyring(&[2]));
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)));
    assert_eq!(journal.find(&hash(2)).await.unwrap(), Some(entry(2)));
    assert!(done_file(&dir, 1).exists() && !pending_file(&dir, 1).exists());
    assert_eq!(fs::read(pending_file(&dir, 3)).unwrap(), b"damaged");
    // Its age is still that of the answer.
    assert_eq!(trim_by(&journal, RECEIVED + 24 * HOUR, HOUR).await, 1);
}

#[tokio::test]
async fn a_rotation_elsewhere_is_followed() {
    let (dir, ours) = fresh();
    let path = dir.path().join("master.key");
    let source = KeySource::File(path.clone());
    ours.write(&entry(1)).await.unwrap();
    ours.follow(source.clone());
    ours.write(&entry(2))
        .await
        .unwrap_or_else(|error| panic!("a missing key file must not lose an answer: {error}"));
    // Another process rotates: its new key is in the file, and it journals under it.
    KeySource::create_file(&path).unwrap();
    let rotated = Keyring::new(vec![MasterKey::from_bytes([2; 32]), MasterKey::from_bytes([1; 32])]).unwrap();
    source.replace(&rotated).unwrap();
    journal(dir.path(), &[2]).write(&entry(3)).await.unwrap();
    assert_eq!(ours.find(&hash(3)).await.unwrap(), Some(entry(3)));
    // What we write from now on opens without the old key.
    ours.write(&entry(4)).await.unwrap();
    assert_eq!(journal(dir.path(), &[2]).find(&hash(4)).await.unwrap(), Some(entry(4)));
}

#[tokio::test]
async fn an_entry_is_sealed_under_the_newest_key_at_once() {
    let (dir, ours) = fresh();
    let path = dir.path().join("master.key");
    KeySource::create_file(&path).unwrap();
    let source = KeySource::File(path);
    ours.follow(source.clone());
    source.replace(&keyring(&[2, 1])).unwrap();
    ours.write(&entry(1)).await.unwrap();
    assert_eq!(journal(dir.path(), &[2]).find(&hash(1)).await.unwrap(), Some(entry(1)));
}

#[tokio::test]
async fn a_write_whose_caller_leaves_is_finished_all_the_same() {
    let (_dir, journal) = fresh();
    let entry = entry(1);
    let mut write = journal.write(&entry);
    // One look starts the work; then nobody waits for it any more.
    let _ = futures_util::poll!(&mut write);
    drop(write);
    while journal.find(&hash(1)).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_entry_under_a_missing_key_is_not_lost() {
    let (dir, first) = fresh();
    first.write(&entry(1)).await.unwrap();
    let other = journal(dir.path(), &[2]);
    assert!(matches!(other.find(&hash(1)).await, Err(JournalError::Sealed { .. })));
    other.rekey(keyring(&[2, 1]));
    assert_eq!(other.find(&hash(1)).await.unwrap(), Some(entry(1)));
}

#[tokio::test]
async fn room_for_an_answer_is_put_by_before_a_token_is_spent() {
    let (dir, journal) = fresh();
    let reserve = dir.path().join("reserve");
    assert_eq!(journal.find(&hash(1)).await.unwrap(), None);
    assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE_LEN as u64);
    fs::remove_file(&reserve).unwrap();
    journal.find(&hash(1)).await.unwrap();
    assert!(reserve.exists(), "it is put by again once it was used");
}
