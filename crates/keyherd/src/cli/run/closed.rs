//! What the program may not read: the data folder, the store's file, the master key.
//!
//! Where this process may, they are covered in a view of the files that is the program's own, and Landlock keeps the cover on:
//! it forbids mounting, and looking into processes outside. Elsewhere Landlock alone closes them. It can only allow: everything
//! is allowed but these, down to the folders that they are in. So what is made directly in one of those folders after the
//! program began can be written by it, and not read.

use std::fs;
use std::path::{Path, PathBuf};

use keyherd_adapters::seal::KeySource;

use crate::config::{Settings, StoreSettings};

/// What is closed.
pub(super) fn paths(settings: &Settings) -> Vec<PathBuf> {
    let mut paths = vec![settings.data.clone()];
    if let StoreSettings::Sqlite(file) = &settings.store {
        let name = |ending: &str| {
            let mut name = file.path.clone().into_os_string();
            name.push(ending);
            PathBuf::from(name)
        };
        paths.extend(["", "-wal", "-shm", "-journal"].map(name));
    }
    if let KeySource::File(path) = &settings.master_key {
        paths.push(path.clone());
    }
    let mut real: Vec<PathBuf> = paths.into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    real.sort();
    real.dedup();
    let outer = real.clone();
    real.retain(|path| !outer.iter().any(|other| other != path && path.starts_with(other)));
    real
}

/// Closes these to this thread, and to all that it begins. Where it cannot be done, it is said. `covers`: an empty folder and an
/// empty file.
#[cfg(target_os = "linux")]
pub(super) fn close(closed: &[PathBuf], covers: (&Path, &Path)) {
    let allowed = match cover::cover(closed, covers) {
        Ok(()) => Ok(vec![PathBuf::from("/")]),
        Err(error) => {
            tracing::debug!(%error, "no view of the files of the program's own");
            beside(closed)
        }
    };
    match allowed.and_then(|allowed| landlock::restrict(&allowed)) {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("the kernel has no Landlock: the data folder is not closed to the program")
        }
        Err(problem) => tracing::warn!("the data folder is not closed to the program: {problem}"),
    }
}

/// Other kernels have nothing of the kind.
#[cfg(not(target_os = "linux"))]
pub(super) fn close(_closed: &[PathBuf], _covers: (&Path, &Path)) {}

/// The most folders and files that are allowed one by one.
const ALLOWED_MAX: usize = 100_000;

/// All that is to be allowed so that these are not: what lies beside them and beside the folders that they are in.
fn beside(closed: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut allowed = Vec::new();
    look(Path::new("/"), closed, &mut allowed)?;
    Ok(allowed)
}

fn look(folder: &Path, closed: &[PathBuf], allowed: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for entry in entries.flatten() {
        let path = entry.path();
        // What a link leads to is allowed where it is, or closed.
        if entry.file_type().is_ok_and(|kind| kind.is_symlink()) || closed.contains(&path) {
            continue;
        }
        if closed.iter().any(|closed| closed.starts_with(&path)) {
            look(&path, closed, allowed)?;
            continue;
        }
        if allowed.len() >= ALLOWED_MAX {
            return Err(format!("there is more than {ALLOWED_MAX} beside it"));
        }
        allowed.push(path);
    }
    Ok(())
}

#[cfg(target_os = "linux")]
mod cover {
    use std::path::{Path, PathBuf};

    use rustix::io;
    use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
    use rustix::thread::UnshareFlags;

    /// Covers them for this thread and all that it begins.
    pub(super) fn cover(closed: &[PathBuf], (folder, file): (&Path, &Path)) -> io::Result<()> {
        #[expect(deprecated, reason = "unsafe for shared tables of open files, and they stay shared")]
        rustix::thread::unshare(UnshareFlags::NEWNS)?;
        // What is mounted here is nobody else's.
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        closed.iter().try_for_each(|path| mount_bind(if path.is_dir() { folder } else { file }, path))
    }
}

#[cfg(target_os = "linux")]
mod landlock {
    use std::path::PathBuf;

    use landlock::{
        ABI, AccessFs, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus,
    };

    /// Reading; and moving to other folders, which Landlock forbids where nobody allows it.
    fn handled() -> BitFlags<AccessFs> {
        AccessFs::ReadFile | AccessFs::Refer
    }

    /// Allows these, and what is below them. Whether it is in force.
    pub(super) fn restrict(allowed: &[PathBuf]) -> Result<bool, String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        let made = Ruleset::default().handle_access(handled()).and_then(Ruleset::create);
        let mut made = made.map_err(|error| told(&error))?;
        for path in allowed {
            // What is gone, or not ours to open, is not read by the program either.
            let Ok(opened) = PathFd::new(path) else { continue };
            let access = if path.is_dir() { handled() } else { handled() & AccessFs::from_file(ABI::V2) };
            made = made.add_rule(PathBeneath::new(opened, access)).map_err(|error| told(&error))?;
        }
        let status = made.restrict_self().map_err(|error| told(&error))?;
        Ok(status.ruleset != RulesetStatus::NotEnforced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_allowed_but_what_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| fs::canonicalize(folder.path()).unwrap().join(path);
        for path in ["data", "other/deep", "a/b"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        for path in ["data/key", "a/b/key", "a/b/open", "a/open"] {
            fs::write(at(path), "").unwrap();
        }
        std::os::unix::fs::symlink(at("data"), at("link")).unwrap();
        let mut allowed = Vec::new();
        look(&at(""), &[at("data"), at("a/b/key")], &mut allowed).unwrap();
        allowed.sort();
        assert_eq!(allowed, [at("a/b/open"), at("a/open"), at("other")]);
    }
}
