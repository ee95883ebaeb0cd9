//! Files that survive: written beside their place, fsynced, then put there in one step.
//!
//! Owns the order of those steps. Readers see a whole file or none, also after a power cut. Never reads a file, and
//! never leaves one that others can read.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
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
    install(path, bytes, None, |unfinished| {
        fs::hard_link(unfinished, path).and_then(|()| fs::remove_file(unfinished))
    })
}

/// Makes a file, or puts it in another one's place. `modified` is the time it will bear, where that is not now.
pub fn replace(path: &Path, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
    install(path, bytes, modified, |unfinished| fs::rename(unfinished, path))
}

/// The same. Until it is finished it lies at [`unfinished_at`], unless somebody else's lies there: so a file that was
/// written whole is found although its writer died before its last step.
pub(crate) fn replace_traceably(path: &Path, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
    let finish = |unfinished: &Path| {
        crash::point("written");
        fs::rename(unfinished, path)
    };
    match install_from(&unfinished_at(path), path, bytes, modified, finish) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => replace(path, bytes, modified),
        done => done,
    }
}

/// Where [`replace_traceably`] leaves a file whose writer died.
pub(crate) fn unfinished_at(path: &Path) -> PathBuf {
    path.with_added_extension(UNFINISHED)
}

/// Takes the last steps for a writer that may have died. One that lives takes its own undisturbed: both names are one
/// file, and putting it in its own place changes nothing.
pub(crate) fn finish_for(unfinished: &Path, path: &Path) -> io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    match fs::hard_link(unfinished, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder_of(path),
    }
}

fn install(
    path: &Path,
    bytes: &[u8],
    modified: Option<SystemTime>,
    finish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    install_from(&unfinished(path)?, path, bytes, modified, finish)
}

fn install_from(
    unfinished: &Path,
    path: &Path,
    bytes: &[u8],
    modified: Option<SystemTime>,
    finish: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(unfinished)?;
    let done = fill(file, bytes, modified).and_then(|()| finish(unfinished));
    if done.is_err() {
        // What cannot be removed either is found by its ending later.
        let _ = fs::remove_file(unfinished);
    }
    done.and_then(|()| sync_folder_of(path))
}

fn fill(mut file: File, bytes: &[u8], modified: Option<SystemTime>) -> io::Result<()> {
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
