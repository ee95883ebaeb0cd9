//! Writers that die between the last byte and the last step.

use super::*;

/// Leaves an entry as a writer does that is killed after it wrote everything, before the file has its name.
async fn die_before_the_last_step(dir: &TempDir, journal: &FileJournal, ending: &str) -> PathBuf {
    journal.write(&entry(1)).await.unwrap();
    let unfinished = dir.path().join("pending").join(format!("{}{ending}", hash(1).to_hex()));
    fs::rename(pending_file(dir, 1), &unfinished).unwrap();
    unfinished
}

#[tokio::test]
async fn an_answer_whose_writer_died_before_the_last_step_is_found() {
    let (dir, journal) = fresh();
    let unfinished = die_before_the_last_step(&dir, &journal, ".tmp").await;
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)));
    assert!(!unfinished.exists(), "it has one name");
    assert_eq!(journal.pending(9).await.unwrap(), [hash(1)]);
    journal.committed(&hash(1)).await.unwrap();
    assert_eq!(journal.pending(9).await.unwrap(), []);
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)));
}

#[tokio::test]
async fn a_writer_that_was_only_slow_may_take_its_last_step_first() {
    let (dir, journal) = fresh();
    let unfinished = die_before_the_last_step(&dir, &journal, ".tmp").await;
    let found = journal.inner.files.unfinished(&hash(1)).unwrap().unwrap();
    fs::rename(&unfinished, pending_file(&dir, 1)).unwrap();
    assert_eq!(journal.inner.finish_for(&hash(1), &found).unwrap(), Some(entry(1)));
    assert_eq!(journal.pending(9).await.unwrap(), [hash(1)]);
}

#[tokio::test]
async fn such_an_answer_is_recovered_without_being_asked_for() {
    for ending in [".tmp", ".0123456789abcdef.tmp"] {
        let (dir, journal) = fresh();
        die_before_the_last_step(&dir, &journal, ending).await;
        assert_eq!(journal.pending(9).await.unwrap(), [hash(1)], "{ending}");
        let (dir, journal) = fresh();
        die_before_the_last_step(&dir, &journal, ending).await;
        trim_by(&journal, RECEIVED + 2 * UNFINISHED_AGE_MAX, HOUR).await;
        assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)), "{ending}: too old to be finished");
    }
}

#[tokio::test]
async fn nothing_of_it_is_left_when_it_was_recovered() {
    for ending in [".tmp", ".0123456789abcdef.tmp"] {
        let (dir, journal) = fresh();
        die_before_the_last_step(&dir, &journal, ending).await;
        assert_eq!(journal.pending(9).await.unwrap(), [hash(1)], "{ending}");
        journal.committed(&hash(1)).await.unwrap();
        assert_eq!(journal.pending(9).await.unwrap(), [], "{ending}: it waits no more");
        assert_eq!(fs::read_dir(dir.path().join("pending")).unwrap().count(), 0, "{ending}: under no name");
        assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)));
    }
}

#[tokio::test]
async fn what_has_a_second_name_is_put_away_whole() {
    let (dir, journal) = fresh();
    journal.write(&entry(1)).await.unwrap();
    journal.committed(&hash(1)).await.unwrap();
    let (pending, done) = (pending_file(&dir, 1), dir.path().join("done").join(hash(1).to_hex()));
    fs::hard_link(&done, &pending).unwrap();
    fs::hard_link(&done, pending.with_added_extension("tmp")).unwrap();
    journal.committed(&hash(1)).await.unwrap();
    assert_eq!(fs::read_dir(dir.path().join("pending")).unwrap().count(), 0);
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)));
}

#[tokio::test]
async fn an_answer_that_was_cut_off_is_none() {
    let (dir, journal) = fresh();
    let unfinished = die_before_the_last_step(&dir, &journal, ".tmp").await;
    let whole = fs::read(&unfinished).unwrap();
    fs::write(&unfinished, &whole[..whole.len() - 1]).unwrap();
    assert_eq!(journal.find(&hash(1)).await.unwrap(), None);
    assert_eq!(journal.pending(9).await.unwrap(), []);
    // Nor is it in the next answer's way.
    journal.write(&entry(1)).await.unwrap();
    assert_eq!(journal.find(&hash(1)).await.unwrap(), Some(entry(1)));
}
