//! Passwords of PostgreSQL and Redis, right and wrong: in no output, no answer and no file.

use keyherd_adapters::testing::{PASSWORD, PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};

use crate::provider::Provider;
use crate::sandbox::{Ran, Sandbox, in_seconds, until};
use crate::server::Server;

#[track_caller]
fn searched(ran: Ran) -> Ran {
    assert!(!format!("{ran:?}").contains(PASSWORD), "{ran:?}");
    ran
}

#[test]
fn no_password_turns_up_anywhere() {
    let options = PostgresOptions { password: true, ..PostgresOptions::default() };
    let mut postgres = PrivatePostgres::start(options).unwrap();
    let mut redis = PrivateRedis::start(RedisOptions { password: true, ..RedisOptions::default() }).unwrap();
    let (sandbox, provider) = (Sandbox::new(), Provider::new());
    let (database, redis_url) = (postgres.database().unwrap(), redis.url());
    assert!(database.contains(PASSWORD) && redis_url.contains(PASSWORD));
    sandbox.set("KEYHERD_LOG", "trace");
    sandbox.set("KEYHERD_DATABASE_URL", &database);
    sandbox.set("KEYHERD_LISTEN_URL", &database);
    sandbox.set("KEYHERD_REDIS_URL", &redis_url);
    let quiet = |args: &[&str]| searched(sandbox.run_unchecked(args, ""));
    let import = provider.document("a", &in_seconds(-60)).to_string();
    assert_eq!(searched(sandbox.run_unchecked(&["cred", "import", "-"], &import)).code, 0);
    assert_eq!(quiet(&["token", "a"]).code, 0);
    for args in
        [&["doctor"][..], &["--json", "doctor"], &["migrate"], &["audit", "export"], &["cred", "list"]]
    {
        assert_eq!(quiet(args).code, 0);
    }
    // What is wrong with a URL is said without it.
    let missing = format!("{}-missing", database);
    let no_user = database.replace("keyherd:", "nobody:");
    let no_port = database.replace("127.0.0.1:", "127.0.0.1:x");
    let mode = format!("{database}?sslmode=verify-full");
    let odd = format!("{database}?{PASSWORD}={PASSWORD}");
    let cut = database.replace("postgres://", "postgres:/");
    let http = database.replace("postgres", "http");
    for url in [&missing, &no_user, &no_port, &mode, &odd, &cut, &http] {
        let ran = quiet(&["--database-url", url, "cred", "list"]);
        assert!(ran.code != 0 && ran.err.lines().any(|line| line.starts_with("keyherd: ")), "{ran:?}");
        assert_ne!(quiet(&["--database-url", url, "doctor"]).code, 0);
    }
    for url in [redis_url.replace("127.0.0.1:", "127.0.0.1:x"), redis_url.replace("redis:", "http:")] {
        assert_eq!(quiet(&["--redis-url", &url, "cred", "list"]).code, 2);
    }
    let wrong = redis_url.replace(PASSWORD, &format!("not-{PASSWORD}"));
    assert_eq!(quiet(&["--redis-url", &wrong, "doctor"]).code, 0);

    let server = Server::start(&sandbox);
    let look = |what: &str| {
        for path in ["/readyz", "/metrics", "/v1/audit", "/openapi.json"] {
            let (_, body) = server.ask("GET", path, "");
            assert!(!body.contains(PASSWORD), "{what}: {path}: {body}");
        }
    };
    look("all is well");
    redis.kill();
    until("Redis is missed", || server.ask("GET", "/readyz", "").1.contains("Redis at"));
    look("without Redis");
    postgres.kill();
    until("PostgreSQL is missed", || server.ask("GET", "/readyz", "").0 == 503);
    look("without PostgreSQL");
    searched(quiet(&["token", "a"]));
    searched(quiet(&["doctor"]));
    server.signal(rustix::process::Signal::TERM);
    searched(server.end());
    for (path, bytes) in sandbox.files() {
        let is_there = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
        assert!(!is_there, "a password lies open in {}", path.display());
    }
}
