//! A folder that is gone when the demo is.

use std::fmt::Write;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use keyherd_adapters::system::OsEntropy;
use keyherd_core::ports::Entropy;

/// A data folder under the system's temporary one, for its owner only.
pub(super) struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    pub(super) fn make() -> io::Result<Self> {
        let mut name = String::from("keyherd-demo-");
        let entropy = OsEntropy::new().map_err(io::Error::other)?;
        // Writing to a String cannot fail.
        let _ = write!(name, "{:016x}", entropy.id());
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary folder: the system's to clear.
        let _ = fs::remove_dir_all(&self.0);
    }
}
