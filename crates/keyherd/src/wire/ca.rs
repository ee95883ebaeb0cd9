//! The file of the authority's certificate: is it this installation's?
//!
//! Owns the comparison. Never writes the file: see `forward`.

use std::path::{Path, PathBuf};
use std::{fs, io};

use keyherd_core::secret::Hasher;
use keyherd_proxy::tls::Authority;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use super::forward::{CA_FILE, authority, title};

/// How a point of P-256 begins in a certificate (RFC 5480, section 2.2): a bit string of 66 bytes, no bit unused, uncompressed.
const POINT_HEAD: [u8; 4] = [0x03, 0x42, 0x00, 0x04];
/// Its two coordinates, in bytes.
const POINT_LEN: usize = 64;

/// How the data folder's file of the authority's certificate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CaState {
    /// Agents that trust it trust this installation's authority.
    Good(PathBuf),
    /// It is made when it is needed.
    Missing(PathBuf),
    /// Agents that trust it trust nobody, or somebody else.
    Foreign(PathBuf),
}

/// Looks at the file; changes nothing.
pub(crate) fn ca_state(data: &Path, hasher: &Hasher) -> Result<CaState, String> {
    let path = data.join(CA_FILE);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(CaState::Missing(path)),
        Err(error) => Err(format!("{} cannot be read: {error}", path.display())),
        Ok(found) if names(&found, &authority(hasher)?, hasher) => Ok(CaState::Good(path)),
        Ok(_) => Ok(CaState::Foreign(path)),
    }
}

/// Whether a file holds one certificate, of that authority's key and name. Every process signs it anew, so that its
/// signature is none to compare.
pub(super) fn names(file: &[u8], authority: &Authority, hasher: &Hasher) -> bool {
    let mut found = CertificateDer::pem_slice_iter(file);
    let (Some(Ok(certificate)), None) = (found.next(), found.next()) else { return false };
    let own = authority.certificate();
    let key = own.windows(POINT_HEAD.len()).position(|head| *head == POINT_HEAD);
    let Some(key) = key.and_then(|at| own.get(at..at + POINT_HEAD.len() + POINT_LEN)) else { return false };
    let has = |part: &[u8]| certificate.windows(part.len()).any(|window| window == part);
    has(key) && has(title(hasher).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_of_another_process_is_ours_and_another_installations_is_not() {
        let (own, other) = (Hasher::new([1; 32]), Hasher::new([2; 32]));
        let made = |hasher: &Hasher| authority(hasher).unwrap();
        let pem = |hasher: &Hasher| made(hasher).pem();
        let check = |file: &str, expected: bool| {
            assert_eq!(names(file.as_bytes(), &made(&own), &own), expected, "{file}");
        };
        check(&pem(&own), true);
        check(&format!("# {}\n{}", title(&own), pem(&own)), true);
        check(&pem(&other), false);
        check(&format!("# {}\n{}", title(&own), pem(&other)), false);
        check(&format!("{}{}", pem(&own), pem(&other)), false);
        check(&format!("# {}\ngarbage\n", title(&own)), false);
        check("", false);
    }
}
