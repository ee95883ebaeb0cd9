//! Whom we trust: the system's roots, Mozilla's where the system has none, and the operator's own beside them.
//!
//! Owns the one TLS configuration: TLS 1.2 and 1.3 on aws-lc-rs, HTTP/1.1 only, certificates verified, always. Loads
//! the system's roots when they are first needed: that takes milliseconds, which most command lines never spend.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio::sync::OnceCell;

use super::Failure;

/// The largest CA bundle, in bytes: several times the bundle of a whole operating system.
pub const CA_BUNDLE_LEN_MAX: u64 = 4 << 20;

/// A CA bundle that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CA bundle {path} cannot be used: {problem}")]
pub struct BadCaBundle {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub problem: String,
}

/// Roots, and the configuration made of them on first use.
#[derive(Debug)]
pub(super) struct Tls {
    extra: RootCertStore,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Tls {
    pub(super) fn new(ca_bundle: Option<&Path>) -> Result<Self, BadCaBundle> {
        Ok(Self { extra: extra_roots(ca_bundle)?, config: OnceCell::new() })
    }

    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>, Failure> {
        self.config.get_or_try_init(|| self.load()).await.map(Arc::clone)
    }

    /// Reads some hundred files: kept off the runtime's own threads.
    async fn load(&self) -> Result<Arc<ClientConfig>, Failure> {
        let extra = self.extra.clone();
        let loaded = tokio::task::spawn_blocking(move || configure(extra)).await;
        let config = loaded.map_err(|error| Failure::new("tls_failed", error.to_string()))?;
        config.map(Arc::new).map_err(|error| Failure::new("tls_failed", error.to_string()))
    }
}

/// The operator's own roots: none where there is no bundle.
pub(crate) fn extra_roots(ca_bundle: Option<&Path>) -> Result<RootCertStore, BadCaBundle> {
    let Some(path) = ca_bundle else { return Ok(RootCertStore::empty()) };
    let parsed = read(path).and_then(|text| parse(&text));
    parsed.map_err(|problem| BadCaBundle { path: path.into(), problem })
}

fn configure(extra: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(extra))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Everyone whom we trust, the operator's own included. Reads some hundred files.
pub(crate) fn roots(extra: RootCertStore) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let (known, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if known == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots.extend(extra.roots);
    roots
}

/// The system's roots and the operator's own as one PEM text, for a client that wants them so.
pub(crate) fn roots_as_pem(ca_bundle: &Path) -> Result<Vec<u8>, BadCaBundle> {
    let bad = |problem| BadCaBundle { path: ca_bundle.into(), problem };
    let own = read(ca_bundle).map_err(bad)?;
    parse(&own).map_err(bad)?;
    Ok([system_as_pem().as_bytes(), &own].concat())
}

/// The same, also where the operator has none.
///
/// # Errors
/// [`BadCaBundle`].
pub fn trusted_as_pem(ca_bundle: Option<&Path>) -> Result<Vec<u8>, BadCaBundle> {
    ca_bundle.map_or_else(|| Ok(system_as_pem().into_bytes()), roots_as_pem)
}

/// In lines of 64 characters (RFC 7468, section 2), which OpenSSL insists on.
fn system_as_pem() -> String {
    let mut text = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = STANDARD.encode(&certificate);
        for line in encoded.as_bytes().chunks(64) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    match file.take(CA_BUNDLE_LEN_MAX + 1).read_to_end(&mut text) {
        Ok(len) if len as u64 > CA_BUNDLE_LEN_MAX => {
            Err(format!("it is larger than {CA_BUNDLE_LEN_MAX} bytes"))
        }
        Ok(_) => Ok(text),
        Err(error) => Err(error.to_string()),
    }
}

fn parse(text: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for (certificate, number) in CertificateDer::pem_slice_iter(text).zip(1..) {
        let said = |error: &dyn std::fmt::Display| format!("certificate {number}: {error}");
        let certificate = certificate.map_err(|error| said(&error))?;
        roots.add(certificate).map_err(|error| said(&error))?;
    }
    if roots.is_empty() { Err("it holds no certificate in PEM form".to_owned()) } else { Ok(roots) }
}
