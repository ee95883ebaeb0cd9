//! Requests in absolute form, and those that are none.

use keyherd_core::workers::Workers;
use tokio::net::{TcpListener, TcpStream};

use super::super::ForwardLimits;
use super::bed::{AGENT, Bed, TEAMMATE, key, soon};

fn request(target: &str, headers: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")
}

#[tokio::test]
async fn requests_in_absolute_form() {
    let bed = Bed::new().await;
    let table = [
        ("http://api.example/a?b=c", "api.example", "robot Http api.example:80 GET /a?b=c "),
        ("http://API.example.:8080", "api.example:8080", "robot Http api.example:8080 GET / "),
        ("https://api.example/", "api.example", "robot Https api.example:443 GET / "),
        ("http://other.example/x", "other.example", "robot Http other.example:80 GET /x "),
    ];
    for (target, host, wanted) in table {
        let told = bed.told(&request(target, &format!("Host: {host}\r\n{}", key(AGENT)))).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        assert!(told.ends_with(wanted), "{told}");
    }
    let headers = format!("Host: api.example\r\n{}", key(TEAMMATE));
    let told = bed.told(&request("http://api.example/", &headers)).await;
    assert!(told.ends_with("team:robot Http api.example:80 GET / "), "{told}");
}

#[tokio::test]
async fn what_agents_are_told() {
    let bed = Bed::new().await;
    let with_key = |host: &str| format!("Host: {host}\r\n{}", key(AGENT));
    let table = [
        (request("http://api.example/", "Host: api.example\r\n"), "407", "an agent's name and key"),
        (request("http://api.example/", &key(("robot", "wrong"))), "407", ""),
        (request("http://api.example/", "Proxy-Authorization: Bearer kha_right\r\n"), "407", ""),
        (request("http://api.example/", &with_key("evil.example")), "421", "names 'evil.example'"),
        (request("/", &with_key("api.example")), "400", "this is a proxy"),
        (request("ftp://api.example/", &with_key("api.example")), "400", "this is a proxy"),
        (request("http://me:hush@api.example/", &with_key("api.example")), "400", "nobody's name"),
        (request("http://api.example/", &with_key("me:hush@api.example")), "421", "nobody's name"),
        (format!("CONNECT api.example HTTP/1.1\r\nConnection: close\r\n{}\r\n", key(AGENT)), "400", ""),
        (
            format!("CONNECT denied.example:443 HTTP/1.1\r\n{}Connection: close\r\n\r\n", key(AGENT)),
            "403",
            "a rule says no",
        ),
        ("CONNECT api.example:443 HTTP/1.1\r\nConnection: close\r\n\r\n".into(), "407", ""),
    ];
    for (said, status, part) in table {
        let told = bed.told(&said).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{said}{told}");
        assert!(told.contains(part), "{told}");
        assert!(!told.contains("kha_") && !told.contains("hush"), "{told}");
    }
    let lines = [
        r#"robot api.example:80 Some((GET, "/")) misdirected"#,
        r#"robot  Some((GET, "/")) refused"#,
        r#"robot  Some((GET, "/")) refused"#,
        r#"robot  Some((GET, "/")) refused"#,
        r#"robot api.example:80 Some((GET, "/")) misdirected"#,
        "robot  None refused",
    ];
    assert_eq!(bed.away(), lines, "what is turned away is told of, once it is known whose it is");
}

#[tokio::test]
async fn what_is_neither_http_nor_socks_is_closed() {
    let bed = Bed::new().await;
    for said in ["\x04\x01\x00\x50", "\x16\x03\x01", "get / HTTP/1.1\r\n\r\n", "\n\n"] {
        assert_eq!(bed.told(said).await, "");
    }
}

#[tokio::test]
async fn nobody_accepts_once_nobody_serves() {
    let bed = Bed::new().await;
    let another = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = another.local_addr().expect("is bound");
    let workers = Workers::default();
    tokio::select! {
        () = bed.door.serve(another, &workers) => panic!("the door is open"),
        stream = soon(TcpStream::connect(address)) => drop(stream.expect("is open")),
    }
    soon(bed.door.shutdown()).await;
    for closed in [address, bed.address] {
        assert!(soon(TcpStream::connect(closed)).await.is_err());
    }
}

/// The default is what hyper has room for by itself: should that become another number, it is told here.
#[tokio::test]
async fn so_many_header_lines_and_no_more() {
    let usual = ForwardLimits::default().headers_max;
    for max in [usual, 7] {
        let bed = Bed::with(ForwardLimits { headers_max: max, ..ForwardLimits::default() }).await;
        for (count, status) in [(max, "200"), (max + 1, "431")] {
            // Three are there already.
            let lines = "X: y\r\n".repeat(count - 3);
            let headers = format!("Host: api.example\r\n{}{lines}", key(AGENT));
            let told = bed.told(&request("http://api.example/", &headers)).await;
            assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{max} {count}: {told}");
        }
    }
}
