//! Which address wins, and who counts as this machine.

use super::*;

const SLOW: Duration = Duration::from_secs(60);

fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Port 1 fails at once, port 2 never answers, any other one answers with itself.
async fn connect(address: SocketAddr) -> io::Result<u16> {
    match address.port() {
        1 => Err(io::ErrorKind::ConnectionRefused.into()),
        2 => std::future::pending().await,
        3 => {
            tokio::time::sleep(ATTEMPT_DELAY * 3 / 2).await;
            Ok(3)
        }
        port => Ok(port),
    }
}

#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "measures paused time")]
async fn the_first_address_that_answers_wins() {
    let check = async |texts: &[&str], port: u16, delays: u32| {
        let start = tokio::time::Instant::now();
        let won = race(addresses(texts), connect).await.unwrap();
        assert_eq!(won, port, "{texts:?}");
        let took = start.elapsed();
        assert!(
            took >= ATTEMPT_DELAY * delays && took < ATTEMPT_DELAY * (delays + 1),
            "{texts:?} took {took:?}"
        );
    };
    check(&["127.0.0.1:80"], 80, 0).await;
    check(&["127.0.0.1:1", "127.0.0.1:80"], 80, 0).await;
    check(&["127.0.0.1:2", "127.0.0.1:80"], 80, 1).await;
    check(&["127.0.0.1:2", "127.0.0.1:1", "127.0.0.1:80"], 80, 1).await;
    check(&["127.0.0.1:2", "127.0.0.1:2", "127.0.0.1:80"], 80, 2).await;
    // Slow, but not given up: it answers while a later one still hangs.
    check(&["127.0.0.1:3", "127.0.0.1:2"], 3, 1).await;
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_the_last_reason_is_told() {
    let refused = race(addresses(&["127.0.0.1:1", "127.0.0.1:1"]), connect).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert!(race(Vec::new(), connect).await.is_err());
    let hangs = tokio::time::timeout(SLOW, race(addresses(&["127.0.0.1:2", "127.0.0.1:1"]), connect)).await;
    assert!(hangs.is_err(), "one of them may still answer");
}

#[test]
fn families_take_turns() {
    let mixed = addresses(&["[::1]:1", "[::1]:2", "[::1]:3", "127.0.0.1:4", "127.0.0.1:5"]);
    let ports: Vec<u16> = interleaved(mixed).iter().map(SocketAddr::port).collect();
    assert_eq!(ports, [1, 4, 2, 5, 3]);
    let many = vec!["127.0.0.1:4".parse().unwrap(); ADDRESSES_MAX + 1];
    assert_eq!(interleaved(many).len(), ADDRESSES_MAX);
    assert_eq!(interleaved(Vec::new()), []);
}
