//! Handshakes with a client that trusts the authority, over a pipe in memory.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use keyherd_core::fakes::{PausedClock, SeededEntropy};
use keyherd_core::host::HostGlob;
use keyherd_core::time::{Timestamp, millis};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Ten years, in which the clients' own clock is too.
fn life() -> Life {
    let from = Timestamp::from_millis(1_750_000_000_000);
    Life { from, until: from + 3_650 * DAY }
}

fn authority(seed: u8) -> Authority {
    Authority::new(|number| Zeroizing::new([seed + number; 32]), "test", life(), None)
        .expect("is an authority")
}

/// The same key, believed for these hosts alone.
fn constrained(seed: u8, hosts: &[&str]) -> Authority {
    let hosts: Vec<_> = hosts.iter().map(|host| HostGlob::parse(host).expect("is one")).collect();
    let names = Names::of(&hosts, 10).expect("can be told");
    let constraint = Constraint { names, serial: [0xff; 16] };
    Authority::new(|number| Zeroizing::new([seed + number; 32]), "test", life(), Some(constraint))
        .expect("is an authority")
}

fn leaves(authority: Authority, clock: Arc<PausedClock>, leaves_max: usize) -> Leaves {
    let limits = LeafLimits {
        leaves_max: NonZeroUsize::new(leaves_max).expect("is some"),
        // The client's clock is the machine's: these leaves are good whatever it says.
        leaf_life: 3_000 * DAY,
        ..LeafLimits::default()
    };
    Leaves::new(authority, clock, Arc::new(SeededEntropy::new(1)), limits).expect("has a key")
}

fn clock() -> Arc<PausedClock> {
    Arc::new(PausedClock::new())
}

fn client(trusted: &CertificateDer<'static>, protocols: &[&[u8]]) -> TlsConnector {
    client_of(aws_lc_rs::default_provider(), trusted, protocols)
}

fn client_of(
    provider: CryptoProvider,
    trusted: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("is a certificate");
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("has versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

/// Connects as a client that means `named` through a tunnel to `dialled`. The protocol that was agreed on.
async fn handshake(
    leaves: &Leaves,
    client: TlsConnector,
    named: &str,
    dialled: &str,
) -> Result<String, String> {
    let (agent, server) = duplex(64 * 1024);
    let name = ServerName::try_from(named.to_owned()).expect("is a name");
    let answering = async {
        let hello = Hello::read(server).await.map_err(|error| error.to_string())?;
        let checked = hello.check(dialled).map_err(|error| error.to_string());
        let protocols = if hello.offers_http2() { Protocols::Http2 } else { Protocols::Http1 };
        let config = leaves.config(named, protocols).map_err(|error| error.to_string())?;
        let mut stream = hello.answer(config).await.map_err(|error| error.to_string())?;
        stream.write_all(b"hi").await.map_err(|error| error.to_string())?;
        stream.shutdown().await.map_err(|error| error.to_string())?;
        checked
    };
    let asking = async {
        let mut stream = client.connect(name, agent).await.map_err(|error| error.to_string())?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await.map_err(|error| error.to_string())?;
        assert_eq!(text, "hi");
        let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default();
        Ok::<_, String>(String::from_utf8_lossy(agreed).into_owned())
    };
    let (answered, asked) = tokio::join!(answering, asking);
    let asked = asked?;
    answered.map(|()| asked)
}

#[tokio::test]
async fn who_trusts_one_process_trusts_all() {
    let trusted = authority(1);
    // Another process: another signature, the same key.
    let leaves = leaves(authority(1), clock(), 8);
    assert_ne!(trusted.certificate(), leaves.authority().certificate());
    for host in ["api.example.com", "127.0.0.1", "::1"] {
        let h2: &[&[u8]] = &[b"h2", b"http/1.1"];
        let agreed = handshake(&leaves, client(trusted.certificate(), h2), host, host).await;
        assert_eq!(agreed.as_deref(), Ok("h2"), "{host}");
        let agreed = handshake(&leaves, client(trusted.certificate(), &[b"http/1.1"]), host, host).await;
        assert_eq!(agreed.as_deref(), Ok("http/1.1"), "{host}");
    }
    let stranger = authority(2);
    let refused = handshake(&leaves, client(stranger.certificate(), &[]), "a.example", "a.example").await;
    assert!(refused.is_err_and(|error| error.contains("invalid peer certificate")));
    assert!(trusted.pem().starts_with("-----BEGIN CERTIFICATE-----"));
}

#[tokio::test]
async fn the_suite_that_costs_least_is_agreed_on_unless_others_alone_are_offered() {
    use rustls::CipherSuite::{self, TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384};
    let leaves = leaves(authority(1), clock(), 8);
    let offers: [&[CipherSuite]; 2] =
        [&[TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256], &[TLS13_AES_256_GCM_SHA384]];
    for offered in offers {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| offered.contains(&suite.suite()));
        let client = client_of(provider, authority(1).certificate(), &[]);
        let (agent, server) = duplex(64 * 1024);
        let config = leaves.config("a.example", Protocols::Http1).expect("has a leaf");
        let answering = async { Hello::read(server).await.expect("is TLS").answer(config).await };
        let name = ServerName::try_from("a.example").expect("is a name");
        let (_answered, asked) = tokio::join!(answering, client.connect(name, agent));
        let agreed = asked.expect("is open").get_ref().1.negotiated_cipher_suite().map(|suite| suite.suite());
        assert_eq!(agreed.as_ref(), offered.last());
    }
}

#[tokio::test]
async fn a_constrained_authority_is_believed_for_its_names_only() {
    // Whoever signs, with the same key, need not be constrained.
    for signs in [constrained(3, &["*.example.com", "localhost"]), authority(3)] {
        let leaves = leaves(signs, clock(), 8);
        for (hosts, good, bad) in [
            (
                &["*.example.com", "localhost"][..],
                &["example.com", "a.b.example.com", "localhost"][..],
                &["example.org", "badexample.com", "10.0.0.1", "::1"][..],
            ),
            (&["10.0.0.1"], &["10.0.0.1"], &["10.0.0.2", "::1", "example.com"]),
            (&["::1", "example.com"], &["::1", "example.com"], &["10.0.0.1", "::2", "localhost"]),
            (&[], &[], &["example.com", "10.0.0.1", "::1"]),
        ] {
            let trusted = constrained(3, hosts);
            let trusting = || client(trusted.certificate(), &[]);
            for host in good {
                assert!(trusted.may_sign(host), "{host}");
                assert_eq!(handshake(&leaves, trusting(), host, host).await, Ok(String::new()), "{host}");
            }
            for host in bad {
                assert!(!trusted.may_sign(host), "{host}");
                let refused = handshake(&leaves, trusting(), host, host).await;
                assert!(refused.is_err_and(|error| error.contains("NameConstraintViolation")), "{host}");
            }
        }
    }
}

#[tokio::test]
async fn tls_names_what_was_dialled() {
    let leaves = leaves(authority(4), clock(), 8);
    let trusting = || client(leaves.authority().certificate(), &[]);
    assert!(handshake(&leaves, trusting(), "API.example", "api.example").await.is_ok());
    let other = handshake(&leaves, trusting(), "evil.example", "api.example").await;
    assert_eq!(other, Err("TLS names 'evil.example', and 'api.example' was dialled".into()));
    // No name is sent for an address.
    assert!(handshake(&leaves, trusting(), "10.0.0.1", "10.0.0.1").await.is_ok());
}

#[test]
fn a_leaf_is_signed_once_and_kept_within_bounds() {
    let leaves = leaves(authority(5), clock(), 2);
    let config = |host: &str| leaves.config(host, Protocols::Http2).expect("is a host");
    let first = config("a.example");
    let all = std::thread::scope(|scope| {
        let running: Vec<_> = (0..8).map(|_| scope.spawn(|| config("b.example"))).collect();
        running.into_iter().map(|thread| thread.join().expect("ends")).collect::<Vec<_>>()
    });
    assert!(all.iter().all(|one| Arc::ptr_eq(one, &all[0])), "signed once, however many ask");
    assert!(Arc::ptr_eq(&first, &config("a.example")));
    // The one that was asked for longest ago makes room.
    config("c.example");
    assert_eq!(leaves.len(), 2);
    assert!(Arc::ptr_eq(&first, &config("a.example")));
    assert!(!Arc::ptr_eq(&all[0], &config("b.example")));
    assert_eq!(leaves.len(), 2);
}

#[test]
fn a_leaf_is_replaced_before_it_ends() {
    let clock = clock();
    let limits = LeafLimits::default();
    let leaves =
        Leaves::new(authority(6), clock.clone(), Arc::new(SeededEntropy::new(1)), limits).expect("has a key");
    let config = || leaves.config("a.example", Protocols::Http1).expect("is a host");
    let first = config();
    clock.skew(millis(6 * DAY) - 60_000);
    assert!(Arc::ptr_eq(&first, &config()));
    clock.skew(millis(6 * DAY));
    let second = config();
    assert!(!Arc::ptr_eq(&first, &second), "an agent's clock may be a day ahead");
    assert!(Arc::ptr_eq(&second, &config()));
    assert_eq!(leaves.len(), 1);
}

#[test]
fn what_is_no_host_has_no_leaf() {
    let leaves = leaves(authority(7), clock(), 2);
    let refused = leaves.config("b\u{fc}cher.example", Protocols::Http1);
    assert!(refused.is_err_and(|error| error.to_string().contains("no certificate")));
}

#[test]
fn secrets_that_are_no_keys_are_passed_over() {
    // Zero is no private key, and neither is a number beyond the curve's order.
    let secret = |number| Zeroizing::new([if number == 0 { 0 } else { 0xff }; 32]);
    assert_eq!(Authority::new(secret, "t", life(), None).err(), Some(AuthorityError::Key));
    let secret = |number| Zeroizing::new([number; 32]);
    assert!(Authority::new(secret, "t", life(), None).is_ok());
}
