//! What the program may not read: the data folder, the store's files, the master key; and this very process.
//!
//! Where this process may, they are covered in a view of the files that is the program's own, and Landlock keeps the cover on:
//! it forbids mounting, and looking into processes outside. A program that is root loses the powers that lead past it.
//! Elsewhere Landlock alone closes them. It can only allow: everything is allowed but these, down to the folders that they are
//! in. So what is made directly in one of those folders after the program began can be written by it, and not read.

use std::fs;
use std::path::{Path, PathBuf};

use keyherd_adapters::seal::KeySource;

use crate::config::Settings;

/// What is closed.
#[derive(Debug)]
pub(super) struct Closed {
    paths: Vec<PathBuf>,
    /// Files of these that are replaced while programs run, which takes a cover off.
    replaced: Vec<PathBuf>,
}

impl Closed {
    /// These files of the store, and what the settings name.
    pub(super) fn new(settings: &Settings, files: Vec<PathBuf>) -> Self {
        let key = match &settings.master_key {
            KeySource::File(path) => Some(path.clone()),
            KeySource::Text(_) => None,
        };
        let real = |path: PathBuf| fs::canonicalize(path).ok();
        let named = files.into_iter().chain([settings.data.clone()]).chain(key.clone());
        let mut paths: Vec<PathBuf> = named.filter_map(real).collect();
        paths.sort();
        paths.dedup();
        let outer = paths.clone();
        paths.retain(|path| !outer.iter().any(|other| other != path && path.starts_with(other)));
        let replaced = key.and_then(real).filter(|key| paths.contains(key));
        Self { paths, replaced: replaced.into_iter().collect() }
    }

    /// Whether that is closed.
    pub(super) fn holds(&self, path: &Path) -> bool {
        self.paths.iter().any(|closed| path.starts_with(closed))
    }

    /// Closes them to this thread, and to all that it begins. Where it cannot be done, it is said. `covers`: an empty folder and
    /// an empty file.
    #[cfg(target_os = "linux")]
    pub(super) fn close(&self, covers: (&Path, &Path)) {
        let allowed = match cover::cover(&self.paths, covers) {
            Ok(()) if self.replaced.is_empty() => Ok(vec![PathBuf::from("/")]),
            Ok(()) => beside(&self.replaced),
            Err(error) => {
                tracing::debug!(%error, "no view of the files of the program's own");
                beside(&self.paths)
            }
        };
        let in_force = allowed.and_then(|allowed| landlock::restrict(&allowed));
        // Last, since a cover takes some of them.
        let taken = powers::take().map_err(|error| error.to_string());
        match in_force.and_then(|in_force| taken.map(|()| in_force)) {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!("the kernel has no Landlock: the data folder is not closed to the program");
            }
            Err(problem) => tracing::warn!("the data folder is not closed to the program: {problem}"),
        }
    }

    /// Other kernels have nothing of the kind.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn close(&self, _covers: (&Path, &Path)) {}
}

/// Closes this process to all others of the user's, whose memory and environment are secrets. The kernel leaves no core file of it either.
#[cfg(target_os = "linux")]
pub(super) fn close_ourselves() {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::debug!(%error, "this process stays open to others of the user's");
    }
}

/// Other kernels have nothing of the kind.
#[cfg(not(target_os = "linux"))]
pub(super) fn close_ourselves() {}

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
mod powers {
    use rustix::io;
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

    /// Powers of root that lead past Landlock: to what other processes hold (newer kernels let the
    /// first two read an environment), to the kernel's memory, and to files by their numbers.
    const TAKEN: [CapabilitySet; 6] = [
        CapabilitySet::SYS_ADMIN,
        CapabilitySet::PERFMON,
        CapabilitySet::BPF,
        CapabilitySet::SYS_RAWIO,
        CapabilitySet::SYS_MODULE,
        CapabilitySet::DAC_READ_SEARCH,
    ];

    /// Takes them from this thread and all that it begins. No program that it begins gets them back (`no_new_privs`, which Landlock wants).
    pub(super) fn take() -> io::Result<()> {
        let mut sets = capabilities(None)?;
        for taken in TAKEN {
            sets.effective.remove(taken);
            sets.permitted.remove(taken);
            sets.inheritable.remove(taken);
        }
        set_capabilities(None, sets)
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
