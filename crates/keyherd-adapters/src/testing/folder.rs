//! Folders of private servers: below one folder of this process, which goes with it, however it ends.
//!
//! Owns names, owners and clearing away. Never looks into a folder.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Waits for the end of its standard input, which comes when this process ends, then removes its folder. A server that
/// dies at the same moment may still write a file: it is tried a few times.
const JANITOR: &str = r#"cat; for _ in 1 2 3 4 5; do rm -rf -- "$1" && break; sleep 1; done"#;

/// The folder of this process, and what keeps its janitor waiting.
struct Root {
    path: PathBuf,
    _janitor: ChildStdin,
}

fn root() -> io::Result<&'static Path> {
    static ROOT: OnceLock<Result<Root, String>> = OnceLock::new();
    match ROOT.get_or_init(|| found_root().map_err(|error| error.to_string())) {
        Ok(root) => Ok(&root.path),
        Err(problem) => Err(io::Error::other(problem.as_str())),
    }
}

fn found_root() -> io::Result<Root> {
    let path = std::env::temp_dir().join(format!("keyherd-servers-{}", std::process::id()));
    // Whoever had this process id before is gone.
    let _ = fs::remove_dir_all(&path);
    // Servers under another user have to pass through.
    DirBuilder::new().mode(0o711).create(&path)?;
    let mut janitor = Command::new("sh");
    janitor.args(["-c", JANITOR, "sh"]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::null());
    // Not in the terminal's group: an interrupt there must not end it before its work.
    let mut janitor = janitor.process_group(0).spawn()?;
    let stdin = janitor.stdin.take().ok_or_else(|| io::Error::other("the janitor has no standard input"))?;
    Ok(Root { path, _janitor: stdin })
}

/// A folder that is removed when this is dropped, or else with the process.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// A name that is free, with nothing there.
    pub(super) fn unmade() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        Ok(Self(root()?.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string())))
    }

    /// Made for its owner only; `owner` is a user and its group, by number.
    pub(super) fn new(owner: Option<(u32, u32)>) -> io::Result<Self> {
        let folder = Self::unmade()?;
        DirBuilder::new().mode(0o700).create(&folder.0)?;
        give(&folder.0, owner)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now is the janitor's.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes somebody else the owner of a file or folder.
pub(super) fn give(path: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    match owner {
        Some((user, group)) => chown(path, Some(user), Some(group)),
        None => Ok(()),
    }
}

/// The user that PostgreSQL's servers run as, where this process is root, which they refuse to be.
pub(super) fn postgres_user() -> io::Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = fs::read_to_string("/etc/passwd")?;
    let fields = users.lines().find_map(|line| line.strip_prefix("postgres:x:"));
    let number = |field: Option<&str>| field.and_then(|text| text.parse().ok());
    let ids = fields.and_then(|fields| {
        let mut fields = fields.split(':');
        Some((number(fields.next())?, number(fields.next())?))
    });
    ids.map(Some).ok_or_else(|| io::Error::other("there is no user postgres: install postgresql"))
}
