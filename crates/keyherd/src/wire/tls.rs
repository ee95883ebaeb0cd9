//! The server's own certificate: TLS 1.2 and 1.3 on aws-lc-rs, HTTP/2 and HTTP/1.1.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::DoorError;
use crate::config::TlsFiles;

/// Reads certificate and key. A key that everybody can read is refused.
pub(super) fn server_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, DoorError> {
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(&files.cert, format!("is no certificate in PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(&files.cert, "holds no certificate in PEM".into()));
    }
    check_closed(&files.key)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| wrong(&files.key, format!("is no private key in PEM: {error}")))?;
    let unfit = |error: rustls::Error| wrong(&files.cert, format!("does not do with its key: {error}"));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unfit)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unfit)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A group may read it: that is how systems share certificates among their servers.
fn check_closed(key: &Path) -> Result<(), DoorError> {
    let found = fs::metadata(key).map_err(|error| wrong(key, format!("cannot be read: {error}")))?;
    match found.permissions().mode() & 0o7777 {
        mode if mode & 0o007 != 0 => {
            let shown = key.display();
            Err(wrong(
                key,
                format!("is a private key open to everybody (mode {mode:04o}): run 'chmod 600 {shown}'"),
            ))
        }
        _ => Ok(()),
    }
}

fn wrong(path: &Path, problem: String) -> DoorError {
    DoorError::Tls { path: path.into(), problem }
}
