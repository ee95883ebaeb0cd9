//! Files that survive: written beside their place, fsynced, then put there in one step.
//!
//! Owns the order of those steps. Readers see a whole file or none, also after a power cut. Never reads a file, and
//! never leaves one that others can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use keyherd_core::crash;

use crate::system::random;

/// How the name of a file ends that is not finished yet.
pub(crate) const UNFINISHED: &str = "tmp";

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

/// Makes a folder, and those above it, for its owner only. One that exists is left as it is.
pub fn create_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)
}

/// Makes a file that was not there. Of several who try at once one succeeds; the others get `AlreadyExists`.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link refuses an existing name, where a rename would replace it.
    install(path, bytes, None, |_, unfinished| {
        fs::hard_link(unfinished, path).and_then(|()| fs::remove_file(unfinished))
    })
}

/// Makes a file, or puts it in another one's place. `modified` is the time it will bear, where that is not now.
pub fn replace(path: &Path, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
    install(path, bytes, modified, |_, unfinished| fs::rename(unfinished, path))
}

/// The same. Until it is finished it lies at [`unfinished_at`], unless somebody else's lies there: so a file that was
/// written whole is found although its writer died before its last step.
pub(crate) fn replace_traceably(path: &Path, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
    let finish = |file: &File, unfinished: &Path| {
        crash::point("written");
        take_last_step(file, unfinished, path)
    };
    match install_from(&unfinished_at(path), path, bytes, modified, finish) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => install(path, bytes, modified, finish),
        done => done,
    }
}

/// The same of one file that is to have several names, in one folder. An error: some may not have theirs; what was written
/// whole is found all the same, and the caller writes each by itself.
pub(crate) fn replace_together(
    paths: &[PathBuf],
    bytes: &[u8],
    modified: Option<SystemTime>,
) -> io::Result<()> {
    together(paths, bytes, modified, || crash::point("written"))
}

fn together(
    paths: &[PathBuf],
    bytes: &[u8],
    modified: Option<SystemTime>,
    written: impl FnOnce(),
) -> io::Result<()> {
    let Some((first, others)) = paths.split_first() else { return Ok(()) };
    let mut begun = Vec::with_capacity(paths.len());
    let filled = begin_together(first, others, &mut begun)
        .and_then(|file| fill(&file, bytes, modified).map(|()| file));
    let file = match filled {
        Ok(file) => file,
        Err(error) => {
            for unfinished in begun {
                let _ = fs::remove_file(unfinished);
            }
            return Err(error);
        }
    };
    written();
    // From here on nothing is removed that has no other name: it may be all there is of an answer.
    let named = begun.iter().zip(paths).map(|(unfinished, path)| name(&file, unfinished, path));
    let named = named.fold(Ok(()), Result::and);
    sync_folder_of(first).and(named)
}

/// The last step of one of several names. One that was taken for us has left this very file there.
fn name(file: &File, unfinished: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(unfinished, path) {
        Ok(()) => remove_twin(unfinished, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let (ours, there) = (file.metadata()?, fs::metadata(path)?);
            if (ours.dev(), ours.ino()) == (there.dev(), there.ino()) { Ok(()) } else { Err(error) }
        }
        failed => failed,
    }
}

/// One empty file under all the names that it has while it is unfinished: so whoever looks for one of them finds it.
fn begin_together(first: &Path, others: &[PathBuf], begun: &mut Vec<PathBuf>) -> io::Result<File> {
    let one = unfinished_at(first);
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&one)?;
    begun.push(one.clone());
    for other in others {
        let other = unfinished_at(other);
        fs::hard_link(&one, &other)?;
        begun.push(other);
    }
    Ok(file)
}

/// Where [`replace_traceably`] leaves a file whose writer died.
pub(crate) fn unfinished_at(path: &Path) -> PathBuf {
    path.with_added_extension(UNFINISHED)
}

/// The writer's own last step, which somebody else may have taken for it: both names are one file then, and a rename leaves
/// both; or the file was put elsewhere since, under a name that it still has.
fn take_last_step(file: &File, unfinished: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(unfinished, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.metadata()?.nlink() > 0 => Ok(()),
        Ok(()) => remove_twin(unfinished, path),
        failed => failed,
    }
}

/// Removes a name of a file that has this other one too.
pub(crate) fn remove_twin(name: &Path, other: &Path) -> io::Result<()> {
    let removed = fs::metadata(name).and_then(|one| {
        let two = fs::metadata(other)?;
        if (one.dev(), one.ino()) == (two.dev(), two.ino()) { fs::remove_file(name) } else { Ok(()) }
    });
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Takes the last step for a writer that may have died. One that lives finds it taken.
pub(crate) fn finish_for(unfinished: &Path, path: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    match fs::hard_link(unfinished, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => remove_twin(unfinished, path).and_then(|()| sync_folder_of(path)),
    }
}

fn install(
    path: &Path,
    bytes: &[u8],
    modified: Option<SystemTime>,
    finish: impl FnOnce(&File, &Path) -> io::Result<()>,
) -> io::Result<()> {
    install_from(&unfinished(path)?, path, bytes, modified, finish)
}

fn install_from(
    unfinished: &Path,
    path: &Path,
    bytes: &[u8],
    modified: Option<SystemTime>,
    finish: impl FnOnce(&File, &Path) -> io::Result<()>,
) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(unfinished)?;
    let done = fill(&file, bytes, modified).and_then(|()| finish(&file, unfinished));
    if done.is_err() {
        // What cannot be removed either is found by its ending later.
        let _ = fs::remove_file(unfinished);
    }
    done.and_then(|()| sync_folder_of(path))
}

fn fill(mut file: &File, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
    file.write_all(bytes)?;
    modified.map_or(Ok(()), |time| file.set_modified(time))?;
    file.sync_all()
}

/// A name in the same folder that nobody else uses.
fn unfinished(path: &Path) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    let mut unique = [0; 8];
    random(&mut unique).map_err(io::Error::other)?;
    name.push(format!(".{:016x}.{UNFINISHED}", u64::from_be_bytes(unique)));
    Ok(path.with_file_name(name))
}

/// A rename is durable when its folder is.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// What a writer's file is called that was helped by somebody between its last byte and its last step.
    fn helped(help: impl FnOnce(&Path, &Path)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        let finish = |file: &File, unfinished: &Path| {
            help(unfinished, &path);
            take_last_step(file, unfinished, &path)
        };
        install_from(&unfinished_at(&path), &path, b"whole", None, finish).unwrap();
        for name in names(dir.path()) {
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"whole");
        }
        names(dir.path())
    }

    #[test]
    fn a_writer_that_was_helped_leaves_one_name() {
        assert_eq!(helped(|_, _| {}), ["entry"]);
        assert_eq!(helped(|unfinished, path| finish_for(unfinished, path).unwrap()), ["entry"]);
        let put_away = |unfinished: &Path, path: &Path| {
            finish_for(unfinished, path).unwrap();
            fs::rename(path, path.with_file_name("done")).unwrap();
        };
        assert_eq!(helped(put_away), ["done"]);
        let half_helped = |unfinished: &Path, path: &Path| fs::hard_link(unfinished, path).unwrap();
        assert_eq!(helped(half_helped), ["entry"]);
    }

    /// What is there after one of three was helped between the last byte and the last step, and whether all have a name.
    fn helped_together(help: impl FnOnce(&Path, &Path)) -> (Vec<String>, bool) {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["one", "two", "zoo"].map(|name| dir.path().join(name));
        let done = together(&paths, b"whole", None, || help(&unfinished_at(&paths[1]), &paths[1]));
        for name in names(dir.path()) {
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"whole");
        }
        (names(dir.path()), done.is_ok())
    }

    #[test]
    fn a_writer_of_several_that_was_helped_with_one_gives_each_a_name() {
        let all = || ["one", "two", "zoo"].map(String::from).to_vec();
        assert_eq!(helped_together(|_, _| {}), (all(), true));
        assert_eq!(helped_together(|unfinished, path| finish_for(unfinished, path).unwrap()), (all(), true));
        let half_helped = |unfinished: &Path, path: &Path| fs::hard_link(unfinished, path).unwrap();
        assert_eq!(helped_together(half_helped), (all(), true));
        let put_away = |unfinished: &Path, path: &Path| {
            finish_for(unfinished, path).unwrap();
            fs::rename(path, path.with_file_name("done")).unwrap();
        };
        let others = ["done", "one", "zoo"].map(String::from).to_vec();
        assert_eq!(helped_together(put_away), (others, false), "it is told, and the others are there");
    }

    #[test]
    fn what_cannot_be_begun_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let paths = ["one", "two"].map(|name| dir.path().join(name));
        fs::write(unfinished_at(&paths[1]), b"another's").unwrap();
        assert!(replace_together(&paths, b"whole", None).is_err());
        assert_eq!(names(dir.path()), ["two.tmp"]);
    }

    #[test]
    fn a_writer_whose_file_was_removed_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("entry");
        let finish = |file: &File, unfinished: &Path| {
            fs::remove_file(unfinished).unwrap();
            take_last_step(file, unfinished, &path)
        };
        let lost = install_from(&unfinished_at(&path), &path, b"whole", None, finish);
        assert_eq!(lost.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn only_another_name_of_the_same_file_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::write(&one, b"same").unwrap();
        remove_twin(&one, &two).unwrap();
        fs::write(&two, b"same").unwrap();
        remove_twin(&one, &two).unwrap();
        assert_eq!(names(dir.path()), ["one", "two"]);
    }
}
