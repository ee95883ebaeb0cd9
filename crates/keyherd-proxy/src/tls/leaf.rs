//! Leaves: a certificate a host, signed when it is first asked for, once however many ask, and kept within bounds.
//!
//! All of them have one key, which lives as long as the process. Never signs for a host that nobody connects to.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use keyherd_core::ports::{Clock, Entropy};
use keyherd_core::time::Timestamp;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, ProducesTickets};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{CipherSuite, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::authority::{Authority, Life};

/// Bounds of leaves. Each is a configuration value of the same name.
#[derive(Debug, Clone, Copy)]
pub struct LeafLimits {
    /// Leaves that are kept. Default 1,024.
    pub leaves_max: NonZeroUsize,
    /// How long each is good; clients refuse more than 398 days. Default 7 days.
    pub leaf_life: Duration,
    /// How far an agent's clock may be off: leaves begin that long ago, and are replaced that long before their end.
    /// Default 1 day.
    pub clock_slack: Duration,
    /// How many names an authority is constrained to. Default 1,000.
    pub names_max: usize,
}

impl Default for LeafLimits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        const LEAVES: NonZeroUsize = NonZeroUsize::new(1_024).unwrap();
        Self { leaves_max: LEAVES, leaf_life: 7 * DAY, clock_slack: DAY, names_max: 1_000 }
    }
}

/// Why a host has no leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no certificate can be made for '{host}': {problem}")]
pub struct LeafError {
    host: String,
    problem: String,
}

/// What an agent may speak, once its connection is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/1.1 alone: upstream speaks nothing else.
    Http1,
    /// HTTP/2, or HTTP/1.1.
    Http2,
}

/// The leaves of one process.
pub struct Leaves {
    authority: Authority,
    key: KeyPair,
    signing: Arc<dyn SigningKey>,
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: LeafLimits,
    slots: Mutex<HashMap<Box<str>, Arc<Slot>, foldhash::fast::RandomState>>,
    uses: AtomicU64,
}

/// A host's place: whoever comes first signs, the others wait for it.
#[derive(Default)]
struct Slot {
    leaf: OnceLock<Result<Leaf, LeafError>>,
    /// When it was last asked for, in uses of all.
    used: AtomicU64,
}

struct Leaf {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
    good: Life,
}

impl Leaves {
    /// None yet.
    ///
    /// # Errors
    /// There are no random bytes.
    pub fn new(
        authority: Authority,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: LeafLimits,
    ) -> Result<Self, LeafError> {
        let told = |problem: String| LeafError { host: "any host".into(), problem };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| told(error.to_string()))?;
        let der = PrivatePkcs8KeyDer::from(key.serialized_der()).into();
        let signing = aws_lc_rs::sign::any_ecdsa_type(&der).map_err(|error| told(error.to_string()))?;
        let tickets = aws_lc_rs::Ticketer::new().map_err(|error| told(error.to_string()))?;
        let provider = Arc::new(provider());
        let (slots, uses) = (Mutex::default(), AtomicU64::new(0));
        Ok(Self { authority, key, signing, provider, tickets, clock, entropy, limits, slots, uses })
    }

    /// Whose leaves they are.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How to be that host to an agent. Signing takes some ten microseconds, and happens here.
    ///
    /// # Errors
    /// [`LeafError`]: it is no host's name.
    pub fn config(&self, host: &str, protocols: Protocols) -> Result<Arc<ServerConfig>, LeafError> {
        let slot = self.slot(host);
        let leaf = slot.leaf.get_or_init(|| self.sign(host));
        let leaf = leaf.as_ref().map_err(Clone::clone)?;
        Ok(Arc::clone(match protocols {
            Protocols::Http1 => &leaf.http1,
            Protocols::Http2 => &leaf.http2,
        }))
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn slot(&self, host: &str) -> Arc<Slot> {
        let (now, use_number) = (self.clock.now(), self.uses.fetch_add(1, Ordering::Relaxed));
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(host).filter(|slot| slot.is_good(now)) {
            slot.used.store(use_number, Ordering::Relaxed);
            return Arc::clone(slot);
        }
        if !slots.contains_key(host) && slots.len() >= self.limits.leaves_max.get() {
            let oldest = slots.iter().min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
            let oldest = oldest.map(|(host, _)| host.clone());
            oldest.and_then(|host| slots.remove(&host));
        }
        let slot = Arc::new(Slot { leaf: OnceLock::new(), used: AtomicU64::new(use_number) });
        slots.insert(host.into(), Arc::clone(&slot));
        slot
    }

    fn sign(&self, host: &str) -> Result<Leaf, LeafError> {
        let mut serial = [0; 16];
        self.entropy.fill(&mut serial);
        let (now, LeafLimits { leaf_life, clock_slack, .. }) = (self.clock.now(), self.limits);
        let life = Life { from: now - clock_slack, until: now + leaf_life };
        if !self.authority.may_sign(host) {
            tracing::warn!(
                "'{host}' is none of the hosts that the program's certificate is believed for: if it was bound, or a rule was made \
                 for it, after the program began, begin the program anew"
            );
        }
        let told = |problem: String| LeafError { host: host.to_owned(), problem };
        let signed =
            self.authority.sign(host, &self.key, &serial, life).map_err(|error| told(error.to_string()))?;
        // Who trusts the authority has its certificate, which may be a constrained one: none other is shown.
        let certified = Arc::new(CertifiedKey::new(vec![signed], Arc::clone(&self.signing)));
        let config = |protocols: &[&[u8]]| {
            self.server(Arc::clone(&certified), protocols).map_err(|error| told(error.to_string()))
        };
        let good = Life { from: life.from, until: life.until - clock_slack };
        Ok(Leaf { http1: config(&[b"http/1.1"])?, http2: config(&[b"h2", b"http/1.1"])?, good })
    }

    fn server(
        &self,
        key: Arc<CertifiedKey>,
        protocols: &[&[u8]],
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.ignore_client_order = true;
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        // Nothing is kept for an agent that may come back: it keeps that itself.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::clone(&self.tickets);
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

/// TLS as rustls has it, with AES-128 first: it is as strong as the curves that keys are agreed and signed on (RFC 8446,
/// section 9.1, wants it of all), and its hash is done by the processor itself, which the other one's is not: that is a
/// tenth of a handshake. Who wants another one offers none but that.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    let is_first = |suite: &SupportedCipherSuite| {
        use CipherSuite::{
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 as TLS12, TLS13_AES_128_GCM_SHA256 as TLS13,
        };
        matches!(suite.suite(), TLS13 | TLS12)
    };
    provider.cipher_suites.sort_by_key(|suite| !is_first(suite));
    provider
}

impl Slot {
    /// Whether what is there, or will be, can still be shown.
    fn is_good(&self, now: Timestamp) -> bool {
        match self.leaf.get() {
            Some(Ok(leaf)) => leaf.good.from <= now && now < leaf.good.until,
            Some(Err(_)) | None => true,
        }
    }
}

impl std::fmt::Debug for Leaves {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leaves({})", self.len())
    }
}
