//! Who the bench's servers are: a root of its own, a leaf under it, and the configurations that use them.
//!
//! Lies in files, for the bench's processes are many. Nobody else trusts it, and it is gone with the bench.

use std::path::Path;
use std::sync::Arc;

use keyherd_bench::Outcome;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

const ROOT: &str = "root.pem";
const LEAF: &str = "leaf.pem";
const KEY: &str = "leaf.key";
/// What the leaf is good for.
const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

/// HTTP/1.1 by the name that TLS knows it by; and HTTP/2, which is preferred where both are offered.
pub(crate) const HTTP1: &[&[u8]] = &[b"http/1.1"];
pub(crate) const HTTP2: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Where the root's certificate lies.
pub(crate) fn root(folder: &Path) -> std::path::PathBuf {
    folder.join(ROOT)
}

/// Makes root and leaf.
pub(crate) fn make(folder: &Path) -> Outcome {
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256);
    let (root_key, leaf_key) = (key()?, key()?);
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "root of a bench");
    std::fs::write(root(folder), params.self_signed(&root_key)?.pem())?;
    let issuer = Issuer::new(params, root_key);
    let mut params = CertificateParams::new(NAMES.map(str::to_owned))?;
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&leaf_key, &issuer)?;
    std::fs::write(folder.join(LEAF), leaf.pem())?;
    std::fs::write(folder.join(KEY), leaf_key.serialize_pem())?;
    Ok(())
}

/// A server that shows the leaf.
pub(crate) fn server(folder: &Path, protocols: &[&[u8]]) -> Outcome<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(folder.join(LEAF))?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(folder.join(KEY))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// A client that trusts that root alone. Each of its handshakes is a whole one.
pub(crate) fn client(root: &Path, protocols: &[&[u8]]) -> Outcome<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(root)? {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
