//! The certificates that the program's clients read, in a folder that is gone with the run. No secret is in it.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::super::failure::Failure;
use super::lease::{self, Lease};
use super::truststore;
use crate::config::Environment;
use crate::wire::Wired;

/// Removed when it is dropped, or by a later run where this one could not.
pub(super) struct Folder(Lease);

impl Folder {
    /// `own`: the authority's certificate; `trusted`: everybody else who is trusted, both as PEM.
    pub(super) fn new(
        environment: &Environment,
        wired: &Wired,
        own: &str,
        trusted: &[u8],
    ) -> Result<Self, Failure> {
        let parent = environment.path("TMPDIR").unwrap_or_else(|| PathBuf::from("/tmp"));
        let told = |error: io::Error| {
            Failure::failed(format!(
                "no folder can be made for certificates in {}: {error}",
                parent.display()
            ))
        };
        let swept = lease::sweep(&parent);
        if swept > 0 {
            tracing::debug!("removed {swept} folders of runs that were killed");
        }
        let folder = Self(Lease::new(&parent, || wired.broker.ports().entropy.id()).map_err(told)?);
        fs::write(folder.certificate(), own).map_err(told)?;
        fs::write(folder.covers().1, "").map_err(told)?;
        DirBuilder::new().mode(0o500).create(folder.covers().0).map_err(told)?;
        let all = [trusted, own.as_bytes()].concat();
        // What is no certificate is in nobody's way.
        let certificates = CertificateDer::pem_slice_iter(&all).filter_map(Result::ok);
        fs::write(folder.truststore(), truststore::of(certificates)).map_err(told)?;
        fs::write(folder.bundle(), all).map_err(told)?;
        Ok(folder)
    }

    /// Ours alone.
    pub(super) fn certificate(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    /// Everybody's.
    pub(super) fn bundle(&self) -> PathBuf {
        self.path().join("bundle.pem")
    }

    /// The same, for Java.
    pub(super) fn truststore(&self) -> PathBuf {
        self.path().join("bundle.p12")
    }

    /// An empty folder and an empty file, for the program to see in others' places.
    pub(super) fn covers(&self) -> (PathBuf, PathBuf) {
        (self.path().join("empty"), self.path().join("nothing"))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}
