//! The same door by SOCKS5.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::bed::{AGENT, Bed, nobody, rest, soon};

fn greeting((name, key): (&str, &str)) -> Vec<u8> {
    let len = |text: &str| u8::try_from(text.len()).expect("is short");
    [&[5, 1, 2, 1, len(name)], name.as_bytes(), &[len(key)], key.as_bytes()].concat()
}

fn request(host: &str, port: u16) -> Vec<u8> {
    let len = u8::try_from(host.len()).expect("is short");
    [&[5, 1, 0, 3, len], host.as_bytes(), &port.to_be_bytes()].concat()
}

/// A connection, and what the door answered to the request.
async fn dialled(bed: &Bed, host: &str, port: u16) -> (TcpStream, u8) {
    let mut stream = bed.connect().await;
    stream.write_all(&greeting(AGENT)).await.expect("is open");
    stream.write_all(&request(host, port)).await.expect("is open");
    let mut heard = [0; 14];
    soon(stream.read_exact(&mut heard)).await.expect("is answered");
    assert_eq!(heard[..4], [5, 2, 1, 0], "the agent is known");
    (stream, heard[5])
}

#[tokio::test]
async fn tunnels_and_refusals() {
    let bed = Bed::new().await;
    let (mut stream, answer) = dialled(&bed, "127.0.0.1", bed.echo.port()).await;
    assert_eq!(answer, 0);
    stream.write_all(b"hello").await.expect("is open");
    stream.shutdown().await.expect("is open");
    assert_eq!(rest(&mut stream).await, "hello");
    let silent = nobody();
    let nobody = silent.local_addr().expect("is bound");
    for (host, port, wanted) in
        [("127.0.0.1", 1, 2), ("denied.example", 443, 2), ("127.0.0.1", nobody.port(), 4)]
    {
        assert_eq!(dialled(&bed, host, port).await.1, wanted, "{host}");
    }
}

#[tokio::test]
async fn what_is_read() {
    let bed = Bed::new().await;
    let (mut stream, answer) = dialled(&bed, "api.example", 80).await;
    assert_eq!(answer, 0);
    let text = "GET /s HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\n\r\n";
    stream.write_all(text.as_bytes()).await.expect("is open");
    assert!(rest(&mut stream).await.ends_with("robot Http api.example:80 GET /s "));
}

#[tokio::test]
async fn a_stranger_is_turned_away() {
    let bed = Bed::new().await;
    let mut stream = bed.connect().await;
    stream.write_all(&greeting(("robot", "wrong"))).await.expect("is open");
    let mut heard = Vec::new();
    let _ = soon(stream.read_to_end(&mut heard)).await;
    assert_eq!(heard, [5, 2, 1, 1]);
}

#[tokio::test]
async fn what_is_no_destination_leaves_a_line() {
    let bed = Bed::new().await;
    assert_eq!(dialled(&bed, "no host", 80).await.1, 8);
    assert_eq!(dialled(&bed, "api.example", 0).await.1, 8);
    assert_eq!(bed.away(), ["robot  None refused"; 2]);
}
