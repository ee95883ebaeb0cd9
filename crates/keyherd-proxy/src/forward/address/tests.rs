//! Addresses as tables.

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

#[test]
fn kinds() {
    let table: [(Kind, &[&str]); 6] = [
        (
            Kind::Public,
            &[
                "1.1.1.1",
                "8.8.8.8",
                "172.15.0.1",
                "172.32.0.1",
                "100.63.0.1",
                "100.128.0.1",
                "192.0.1.1",
                "192.169.0.1",
                "198.17.0.1",
                "223.255.255.255",
                "2606:4700::1111",
                "2001:4860::8888",
                "64:ff9b::808:808",
                "2002:808:808::1",
                "::ffff:8.8.8.8",
            ],
        ),
        (
            Kind::Loopback,
            &[
                "127.0.0.1",
                "127.255.0.9",
                "0.0.0.0",
                "0.1.2.3",
                "::1",
                "::",
                "::ffff:127.0.0.1",
                "::7f00:1",
                "64:ff9b::7f00:1",
                "2002:7f00:1::",
            ],
        ),
        (
            Kind::Private,
            &[
                "10.0.0.1",
                "172.16.0.1",
                "172.31.255.255",
                "192.168.1.1",
                "100.64.0.1",
                "fc00::1",
                "fd12:3456::1",
                "fec0::1",
                "::ffff:10.0.0.1",
                "64:ff9b::a00:1",
                "2002:c0a8:1::",
            ],
        ),
        (
            Kind::LinkLocal,
            &[
                "169.254.169.254",
                "169.254.0.1",
                "fe80::1",
                "febf::1",
                "::ffff:169.254.169.254",
                "64:ff9b::a9fe:a9fe",
            ],
        ),
        (Kind::Metadata, &["100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"]),
        (
            Kind::Special,
            &[
                "192.0.0.1",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.1",
                "198.19.255.1",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.1.1.1",
                "240.0.0.1",
                "255.255.255.255",
                "2001:db8::1",
                "2001::1",
                "2001:20::1",
                "3fff::1",
                "ff02::1",
                "100::1",
                "5f00::1",
                "64:ff9b:1::1",
                "4000::1",
            ],
        ),
    ];
    for (kind, addresses) in table {
        for address in addresses {
            assert_eq!(Kind::of(ip(address)), kind, "{address}");
        }
    }
}

#[test]
fn what_may_be_dialled() {
    let listeners: Vec<SocketAddr> =
        ["127.0.0.1:8484", "0.0.0.0:8485"].map(|text| text.parse().unwrap()).into();
    let check = |dialled: &str, addresses: &[&str], named: &str, wanted: Result<&[&str], &str>| {
        let dialled = Dialled::parse(dialled, None).unwrap();
        let found = dialable(
            &dialled,
            addresses.iter().map(|text| ip(text)),
            &|address| address.to_string().starts_with(named) && !named.is_empty(),
            &listeners,
        );
        match (found, wanted) {
            (Ok(found), Ok(wanted)) => {
                let found: Vec<_> = found.iter().map(ToString::to_string).collect();
                assert_eq!(found, wanted);
            }
            (Err(error), Err(wanted)) => assert!(error.to_string().contains(wanted), "{error}"),
            (found, wanted) => panic!("{dialled:?}: {found:?}, not {wanted:?}"),
        }
    };
    check("a.example:443", &["1.1.1.1", "1.0.0.1"], "", Ok(&["1.1.1.1:443", "1.0.0.1:443"]));
    check("a.example:443", &["10.0.0.1"], "", Err("a.example is 10.0.0.1, which is in a private network"));
    // A name that has both is led to the public one only.
    check("a.example:443", &["10.0.0.1", "1.1.1.1"], "", Ok(&["1.1.1.1:443"]));
    check("a.example:443", &["10.0.0.1"], "10.", Ok(&["10.0.0.1:443"]));
    check("a.example:443", &["10.0.0.1"], "11.", Err("a rule must name it"));
    check("a.example:443", &["10.0.0.1"], "10.0.0.", Ok(&["10.0.0.1:443"]));
    check("a.example:443", &["10.0.1.1"], "10.0.0.", Err("10.0.1.1"));
    check("127.0.0.1:80", &["127.0.0.1"], "127.", Ok(&["127.0.0.1:80"]));
    check("[::1]:80", &["::1"], "::1", Ok(&["[::1]:80"]));
    check("169.254.169.254:80", &["169.254.169.254"], "", Err("where metadata is served"));
    check("a.example:443", &[], "", Err("has no address"));
    // Ourselves, whoever names us.
    check("127.0.0.1:8484", &["127.0.0.1"], "127.", Err("keyherd itself"));
    check("x.example:8484", &["::ffff:127.0.0.1"], "127.", Err("keyherd itself"));
    check("x.example:8485", &["127.9.9.9"], "127.", Err("keyherd itself"));
    check("x.example:8484", &["127.0.0.2"], "127.", Ok(&["127.0.0.2:8484"]));
    // Another machine's port of the same number is not ours; whether it is ours, the connection tells.
    check("x.example:8485", &["1.1.1.1"], "", Ok(&["1.1.1.1:8485"]));
}

#[test]
fn a_connection_to_ourselves_is_seen() {
    let listeners: Vec<SocketAddr> =
        ["192.168.0.5:8484", "[::]:8485"].map(|text| text.parse().unwrap()).into();
    let table = [
        ("192.168.0.5:8484", "192.168.0.5", true),
        ("192.168.0.5:8484", "192.168.0.9", true),
        ("192.168.0.5:8485", "192.168.0.5", true),
        ("[::ffff:192.168.0.5]:8485", "192.168.0.5", true),
        ("192.168.0.6:8485", "192.168.0.5", false),
        ("192.168.0.5:8486", "192.168.0.5", false),
        ("127.0.0.2:8485", "127.0.0.1", true),
    ];
    for (peer, own, wanted) in table {
        assert_eq!(is_ours(peer.parse().unwrap(), ip(own), &listeners), wanted, "{peer} from {own}");
    }
}
