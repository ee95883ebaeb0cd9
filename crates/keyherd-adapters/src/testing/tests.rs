//! The launchers, by what their servers do.

use std::net::TcpStream;

use super::*;

fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

#[test]
fn a_database_is_made_and_survives_a_kill() {
    let mut server =
        PrivatePostgres::start(PostgresOptions { fsync: true, password: true, ..Default::default() })
            .unwrap();
    let url = server.database().unwrap();
    let name = url.rsplit('/').next().unwrap().to_owned();
    server.tell(&name, "CREATE TABLE t (n int)").unwrap();
    server.kill();
    assert!(!listens(server.port()));
    server.restart().unwrap();
    server.tell(&name, "INSERT INTO t VALUES (1)").unwrap();
    let without = url.replace(PASSWORD, "wrong");
    assert_ne!(without, url);
    server.stop().unwrap();
    assert!(!listens(server.port()));
}

#[test]
fn redis_forgets_and_comes_back() {
    let mut server = PrivateRedis::start(RedisOptions { password: true, ..Default::default() }).unwrap();
    server.tell(&["SET", "a", "1"]).unwrap();
    server.flush().unwrap();
    server.kill();
    assert!(!listens(server.port()));
    assert!(server.tell(&["PING"]).is_err());
    server.restart().unwrap();
    server.tell(&["PING"]).unwrap();
}

#[test]
fn a_pooler_stands_before_the_shared_server() {
    let server = PrivatePostgres::shared().unwrap();
    let pooler = PrivatePgBouncer::start(server).unwrap();
    let url = pooler.url(&server.database().unwrap());
    process::run(&["psql", "-X", "-q", "-d", &url, "-c", "SELECT 1"], None).unwrap();
}
