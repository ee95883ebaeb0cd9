//! The installation's certificate authority: a key made from the installation's own secret, so that every process of it
//! is the same authority and none keeps a key in a file.
//!
//! The certificate differs from process to process in its signature only; who trusts one of them trusts all. One that is
//! constrained to some hosts is another certificate of the same key: who trusts that one trusts it for them alone. Never signs
//! for anything but a server's name.

use std::time::Duration;

use keyherd_core::time::Timestamp;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::names::Names;

/// A point in time as rcgen has it, whose type is not ours to name.
macro_rules! moment {
    ($at:expr) => {
        rcgen::date_time_ymd(1970, 1, 1) + Duration::from_millis(u64::try_from($at.as_millis()).unwrap_or(0))
    };
}

/// The DER of a P-256 key in PKCS #8 (RFC 5958, RFC 5915) up to the private key's 32 bytes: no public key follows.
const PKCS8_HEAD: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
    0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01, 0x01, 0x04,
    0x20,
];
/// One secret in 2^32 is no P-256 key. Then the next is taken.
const SECRETS_MAX: u8 = 4;

/// From when to when a certificate is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// The first moment.
    pub from: Timestamp,
    /// The last one.
    pub until: Timestamp,
}

/// Why there is no authority.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// None of the secrets is a key.
    #[error("none of the secrets is a key for the curve P-256")]
    Key,
    /// The certificate cannot be made.
    #[error("the authority's certificate cannot be made: {0}")]
    Certificate(String),
}

/// Signs for servers. Agents trust it, and nobody else should.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Certificate,
    names: Option<Names>,
}

/// Where an authority ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// What it may sign for.
    pub names: Names,
    /// The certificate's own number: no other one of the same key may have it (RFC 5280, section 4.1.2.2).
    pub serial: [u8; 16],
}

impl Authority {
    /// From secrets by number: the first is the one, nearly always. `title` tells authorities apart where people look
    /// at them. Without a `constraint` it is believed for any host.
    ///
    /// # Errors
    /// [`AuthorityError`].
    pub fn new(
        secret: impl Fn(u8) -> Zeroizing<[u8; 32]>,
        title: &str,
        life: Life,
        constraint: Option<Constraint>,
    ) -> Result<Self, AuthorityError> {
        let key = (0..SECRETS_MAX).find_map(|number| key(&secret(number))).ok_or(AuthorityError::Key)?;
        let mut params = params(title, life);
        if let Some(Constraint { names, serial }) = &constraint {
            params.name_constraints = Some(names.constraints());
            params.serial_number = Some(SerialNumber::from_slice(&positive(*serial)));
        }
        let certificate =
            params.self_signed(&key).map_err(|error| AuthorityError::Certificate(error.to_string()))?;
        let names = constraint.map(|constraint| constraint.names);
        Ok(Self { issuer: Issuer::new(params, key), certificate, names })
    }

    /// Whether clients believe what it signs for that host.
    pub fn may_sign(&self, host: &str) -> bool {
        self.names.as_ref().is_none_or(|names| names.hold(host))
    }

    /// Its certificate, for agents to trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.certificate.der()
    }

    /// The same as a file.
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// Signs for a server of that name or address.
    pub(super) fn sign(
        &self,
        host: &str,
        key: &KeyPair,
        serial: &[u8; 16],
        life: Life,
    ) -> Result<CertificateDer<'static>, rcgen::Error> {
        let mut params = CertificateParams::new([host.to_owned()])?;
        (params.not_before, params.not_after) = (moment!(life.from), moment!(life.until));
        // Who saw two certificates of one number from one authority must refuse both (RFC 5280, section 4.1.2.2).
        params.serial_number = Some(SerialNumber::from_slice(&positive(*serial)));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "keyherd");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        Ok(params.signed_by(key, &self.issuer)?.der().clone())
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

fn key(secret: &[u8; 32]) -> Option<KeyPair> {
    let der = Zeroizing::new([PKCS8_HEAD.as_slice(), secret].concat());
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der.as_slice()), &PKCS_ECDSA_P256_SHA256)
        .ok()
}

/// And of one length.
fn positive(mut serial: [u8; 16]) -> [u8; 16] {
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

fn params(title: &str, life: Life) -> CertificateParams {
    let mut params = CertificateParams::default();
    (params.not_before, params.not_after) = (moment!(life.from), moment!(life.until));
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("keyherd {title}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}
