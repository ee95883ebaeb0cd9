//! The key file: who may read it, what it may hold, and how it is made.

use std::os::unix::fs::{MetadataExt, symlink};

use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file(dir: &TempDir, text: &str, mode: u32) -> PathBuf {
    let path = dir.path().join("master.key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

fn key_text() -> String {
    MasterKey::from_bytes([3; 32]).to_text().to_string()
}

fn refusal(path: &Path) -> String {
    KeySource::File(path.into()).load().unwrap_err().to_string()
}

#[test]
fn a_made_file_is_its_owners_alone_and_loads() {
    let dir = folder();
    let path = dir.path().join("master.key");
    let made = KeySource::create_file(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(KeySource::File(path).load().unwrap().sealing(), made.sealing());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was left beside it");
}

#[test]
fn a_file_that_is_there_is_never_written_over() {
    let dir = folder();
    let path = file(&dir, "whatever", 0o600);
    assert_eq!(KeySource::create_file(&path).unwrap_err(), KeyError::Exists { path: path.clone() });
    assert_eq!(fs::read_to_string(&path).unwrap(), "whatever");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "something was left beside it");
}

#[test]
fn of_many_who_make_it_at_once_one_does() {
    let dir = folder();
    let path = dir.path().join("master.key");
    let made = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| KeySource::create_file(&path))).collect();
        makers.into_iter().filter_map(|maker| maker.join().unwrap().ok()).collect::<Vec<_>>()
    });
    let [made] = &made[..] else { panic!("{} were made", made.len()) };
    assert_eq!(KeySource::File(path).load().unwrap().sealing(), made.sealing());
}

#[test]
fn replacing_keeps_mode_and_link_and_loses_no_key() {
    let dir = folder();
    let path = dir.path().join("master.key");
    let link = dir.path().join("link");
    let old = KeySource::create_file(&path).unwrap();
    symlink(&path, &link).unwrap();
    let source = KeySource::File(link.clone());
    let new = old.rotated().unwrap();
    source.replace(&new).unwrap();
    let loaded = source.load().unwrap();
    assert!(loaded.ids().eq(new.ids()) && loaded.holds(old.sealing()));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn a_file_that_others_can_open_is_refused_with_the_cure() {
    for mode in [0o640, 0o604, 0o620, 0o601, 0o644] {
        let dir = folder();
        let path = file(&dir, &key_text(), mode);
        let said = refusal(&path);
        assert!(said.contains(&format!("chmod 600 {}", path.display())), "{said}");
        assert!(said.contains(&format!("{mode:04o}")), "{said}");
    }
    for mode in [0o600, 0o400] {
        let dir = folder();
        assert!(KeySource::File(file(&dir, &key_text(), mode)).load().is_ok());
    }
}

#[test]
fn what_is_wrong_is_said_with_the_file() {
    let dir = folder();
    let missing = dir.path().join("nowhere");
    assert_eq!(KeySource::File(missing.clone()).load().unwrap_err(), KeyError::Missing { path: missing });
    for (text, what) in [
        (String::new(), "no master key"),
        ("hunter2 hunter2".to_owned(), "key 1 is not base64"),
        (format!("{}\nAAAA", key_text()), "key 2 is too short"),
        ("#".repeat(KEY_FILE_LEN_MAX + 1), "is no master key file"),
    ] {
        let path = file(&dir, &text, 0o600);
        let said = refusal(&path);
        assert!(said.contains(what) && said.contains(&path.display().to_string()), "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    fs::write(dir.path().join("master.key"), [0xff; 10]).unwrap();
    assert!(refusal(&dir.path().join("master.key")).contains("is no master key file"));
    fs::create_dir(dir.path().join("folder")).unwrap();
    fs::set_permissions(dir.path().join("folder"), fs::Permissions::from_mode(0o700)).unwrap();
    assert!(refusal(&dir.path().join("folder")).contains("cannot be read"));
}

#[test]
fn a_text_works_alike_but_cannot_be_replaced() {
    let source = KeySource::Text(Secret::from(key_text().as_str()));
    let ring = source.load().unwrap();
    assert_eq!(ring.sealing(), MasterKey::from_bytes([3; 32]).id());
    assert_eq!(source.replace(&ring).unwrap_err(), KeyError::NotAFile);
    let bad = KeySource::Text(Secret::from("hunter2")).load().unwrap_err().to_string();
    assert!(bad.contains("KEYHERD_MASTER_KEY") && !bad.contains("hunter2"), "{bad}");
}
