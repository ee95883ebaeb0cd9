//! Small files of our own in the data folder: written beside their place, fsynced, put there in one step, for their
//! owner only.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The largest file that [`read_private`] reads, in bytes.
const PRIVATE_LEN_MAX: u64 = 64 * 1024;

/// Makes a folder for its owner only, where it is missing.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes a file that was not there. Of several who try at once one succeeds; the others get `AlreadyExists`.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A link refuses an existing name, where a rename would replace it.
    install(path, bytes, |unfinished| {
        fs::hard_link(unfinished, path).and_then(|()| fs::remove_file(unfinished))
    })
}

/// Makes a file, or puts it in another one's place.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    install(path, bytes, |unfinished| fs::rename(unfinished, path))
}

/// A small text file's content, and what its permissions are.
pub(crate) fn read_private(path: &Path) -> io::Result<(String, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    let mut text = String::new();
    file.take(PRIVATE_LEN_MAX).read_to_string(&mut text)?;
    Ok((text, mode))
}

fn install(path: &Path, bytes: &[u8], finish: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let unfinished = unfinished(path);
    let done = write_new(&unfinished, bytes).and_then(|()| finish(&unfinished));
    if done.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&unfinished);
    }
    done.and_then(|()| File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all())
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name in the same folder that no other process uses.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    name.into()
}
