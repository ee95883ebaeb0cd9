//! Answers that come at once: one file, and each is its own entry all the same.

use std::os::unix::fs::MetadataExt;

use futures_util::future::join_all;

use super::*;

const SEEDS: std::ops::Range<u8> = 1..100;

/// As many as come at once: the first is written by itself, the others meanwhile wait.
async fn written(journal: &FileJournal) {
    let entries: Vec<_> = SEEDS.map(entry).collect();
    for written in join_all(entries.iter().map(|entry| journal.write(entry))).await {
        written.unwrap();
    }
}

fn names(path: &Path) -> u64 {
    fs::metadata(path).unwrap().nlink()
}

#[tokio::test]
async fn they_share_files_and_each_is_found_by_its_own_name() {
    let (dir, journal) = fresh();
    written(&journal).await;
    for seed in SEEDS {
        assert_eq!(journal.find(&hash(seed)).await.unwrap(), Some(entry(seed)));
    }
    assert!({ SEEDS }.any(|seed| names(&pending_file(&dir, seed)) > 1), "nothing was written together");
    assert!({ SEEDS }.all(|seed| names(&pending_file(&dir, seed)) <= PACK_MAX as u64));
    assert_eq!(
        fs::read_dir(dir.path().join("pending")).unwrap().count(),
        SEEDS.count(),
        "nothing is unfinished"
    );
    assert_eq!(journal.pending(199).await.unwrap().len(), SEEDS.count());
    let reopened = self::journal(dir.path(), &[1]);
    assert_eq!(reopened.find(&hash(20)).await.unwrap(), Some(entry(20)));
}

#[tokio::test]
async fn each_is_committed_aged_and_forgotten_by_itself() {
    let (dir, journal) = fresh();
    written(&journal).await;
    let (done, left): (Vec<u8>, Vec<u8>) = SEEDS.partition(|seed| seed % 2 == 0);
    let spent: Vec<_> = done.iter().map(|seed| hash(*seed)).collect();
    for committed in join_all(spent.iter().map(|spent| journal.committed(spent))).await {
        committed.unwrap();
    }
    assert_eq!(journal.pending(199).await.unwrap().len(), left.len());
    let mut aged = journal.aged(RECEIVED + 2 * HOUR, HOUR, 199).await.unwrap();
    aged.sort_by_key(|aged| aged.spent.to_hex());
    let expected: Vec<_> =
        done.iter().map(|seed| (hash(*seed), entry(*seed).chain, entry(*seed).generation)).collect();
    assert_eq!(
        aged.iter().map(|aged| (aged.spent, aged.chain, aged.generation)).collect::<Vec<_>>(),
        expected
    );
    for spent in &spent {
        journal.forget(spent).await.unwrap();
    }
    for seed in left {
        assert_eq!(
            journal.find(&hash(seed)).await.unwrap(),
            Some(entry(seed)),
            "it was another one's file too"
        );
        assert!(!done_file(&dir, seed).exists());
    }
    for seed in done {
        assert_eq!(journal.find(&hash(seed)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn each_is_put_under_a_new_key() {
    let (_dir, journal) = fresh();
    written(&journal).await;
    journal.rekey(keyring(&[2, 1]));
    let resealed = journal.reseal_all().await.unwrap();
    assert_eq!((resealed.resealed, resealed.unreadable), (SEEDS.count(), Vec::new()));
    journal.rekey(keyring(&[2]));
    for seed in SEEDS {
        assert_eq!(journal.find(&hash(seed)).await.unwrap(), Some(entry(seed)));
    }
}

#[tokio::test]
async fn those_whose_writer_died_before_the_last_step_are_found() {
    let (dir, journal) = fresh();
    written(&journal).await;
    let unfinished = |seed| pending_file(&dir, seed).with_added_extension("tmp");
    for seed in SEEDS {
        fs::rename(pending_file(&dir, seed), unfinished(seed)).unwrap();
    }
    for seed in SEEDS.skip(10) {
        assert_eq!(journal.find(&hash(seed)).await.unwrap(), Some(entry(seed)));
        assert!(!unfinished(seed).exists(), "it has one name of its own");
    }
    // The others are found without being asked for.
    assert_eq!(journal.pending(199).await.unwrap().len(), SEEDS.count());
    assert_eq!(fs::read_dir(dir.path().join("pending")).unwrap().count(), SEEDS.count());
}

#[tokio::test]
async fn what_another_writer_left_under_one_name_stands_in_nobodys_way() {
    let (dir, journal) = fresh();
    for seed in [7, 20, 33] {
        fs::write(pending_file(&dir, seed).with_added_extension("tmp"), "cut off").unwrap();
    }
    written(&journal).await;
    for seed in SEEDS {
        assert_eq!(journal.find(&hash(seed)).await.unwrap(), Some(entry(seed)));
    }
}

#[tokio::test]
async fn answers_for_one_token_that_come_at_once_leave_one() {
    let (_dir, journal) = fresh();
    let same = entry(1);
    for written in join_all((0..9).map(|_| journal.write(&same))).await {
        written.unwrap();
    }
    assert_eq!(journal.pending(9).await.unwrap(), [hash(1)]);
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(same));
}

#[tokio::test]
async fn long_answers_have_files_of_their_own() {
    let (dir, journal) = fresh();
    let long = |seed| {
        let mut entry = entry(seed);
        entry.tokens.access_token = Some("x".repeat(200_000).as_str().into());
        entry
    };
    let entries: Vec<_> = SEEDS.map(long).collect();
    for written in join_all(entries.iter().map(|entry| journal.write(entry))).await {
        written.unwrap();
    }
    for seed in SEEDS {
        assert_eq!(names(&pending_file(&dir, seed)), 1);
        assert_eq!(journal.find(&hash(seed)).await.unwrap(), Some(long(seed)));
    }
}
