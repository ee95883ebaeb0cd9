//! What passes as it is.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::ForwardLimits;
use super::bed::{AGENT, Bed, HOST, key, nobody, rest, soon};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_tunnel_passes_bytes_and_each_sides_end() {
    let bed = Bed::new().await;
    let mut stream = bed.tunnel(&bed.echo.to_string()).await;
    stream.write_all(b"\x16 whatever").await.expect("is open");
    let mut heard = [0; 10];
    soon(stream.read_exact(&mut heard)).await.expect("is open");
    assert_eq!(&heard, b"\x16 whatever");
    stream.write_all(b"last").await.expect("is open");
    stream.shutdown().await.expect("is open");
    assert_eq!(rest(&mut stream).await, "last", "half a tunnel is closed, the other half ends by itself");
}

#[tokio::test]
async fn bytes_that_come_with_connect_are_not_lost() {
    let bed = Bed::new().await;
    let text = format!("CONNECT {} HTTP/1.1\r\n{}\r\nahead", bed.echo, key(AGENT));
    let mut stream = bed.connect().await;
    stream.write_all(text.as_bytes()).await.expect("is open");
    stream.shutdown().await.expect("is open");
    assert!(rest(&mut stream).await.ends_with("\r\n\r\nahead"));
}

#[tokio::test]
async fn what_is_not_dialled() {
    let bed = Bed::new().await;
    let connect =
        |authority: &str| format!("CONNECT {authority} HTTP/1.1\r\nConnection: close\r\n{}\r\n", key(AGENT));
    let silent = nobody();
    let (ours, nobody) = (bed.address.to_string(), silent.local_addr().expect("is bound").to_string());
    let table = [
        ("127.0.0.1:1", "403", "on this machine: a binding or a rule must name it"),
        ("169.254.169.254:80", "403", "where metadata is served"),
        ("[::ffff:10.0.0.1]:80", "403", "in a private network"),
        ("0x7f.1:1", "403", "on this machine"),
        (&ours, "403", "is keyherd itself"),
        (&nobody, "502", "cannot be reached"),
    ];
    for (authority, status, part) in table {
        let told = bed.told(&connect(authority)).await;
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{authority}: {told}");
        assert!(told.contains(part), "{told}");
    }
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let limits = ForwardLimits { tunnel_idle_timeout: Duration::from_millis(50), ..ForwardLimits::default() };
    let bed = Bed::with(limits).await;
    let mut stream = bed.tunnel(&bed.echo.to_string()).await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn the_door_closes_within_its_time() {
    let limits = ForwardLimits { drain_timeout: Duration::from_millis(50), ..ForwardLimits::default() };
    let bed = Bed::with(limits).await;
    let mut tunnel = bed.tunnel(&bed.echo.to_string()).await;
    let mut idle = bed.connect().await;
    idle.write_all(b"GET http://api.exa").await.expect("is open");
    soon(bed.door.shutdown()).await;
    assert_eq!(rest(&mut tunnel).await, "");
    rest(&mut idle).await;
}

#[tokio::test]
async fn who_has_not_asked_for_anything_is_not_waited_for_when_the_door_closes() {
    let bed =
        Bed::with(ForwardLimits { drain_timeout: HOUR, handshake_timeout: HOUR, ..ForwardLimits::default() })
            .await;
    let mut silent = [bed.connect().await, bed.tunnel(&format!("{HOST}:443")).await];
    soon(bed.door.shutdown()).await;
    for stream in &mut silent {
        assert_eq!(rest(stream).await, "");
    }
}

#[tokio::test]
async fn a_tunnel_keeps_its_place_until_its_end() {
    let bed = Bed::with(ForwardLimits { connections_max: 3, ..ForwardLimits::default() }).await;
    let first = bed.tunnel(&bed.echo.to_string()).await;
    // The other one is the next connection's.
    assert_eq!(bed.door.0.places.available_permits(), 1);
    let second = bed.tunnel("api.example:443").await;
    assert_eq!(bed.door.0.places.available_permits(), 0);
    drop((first, second));
    soon(async {
        while bed.door.0.places.available_permits() < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}
