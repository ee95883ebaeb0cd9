//! The wire to a real PostgreSQL, directly and through a pooler, and with the connection cut at bad moments.

mod names;
pub(crate) mod relay;

use std::path::Path;

use self::relay::Relay;
use super::*;
use crate::testing::{PostgresOptions, PrivatePgBouncer, PrivatePostgres, ServerCertificate};

fn wire_to(url: &str, options: WireOptions) -> Wire {
    Wire::new(Target::parse(url, None).unwrap(), options)
}

fn one_lane() -> WireOptions {
    WireOptions { lanes_max: 1, ..WireOptions::default() }
}

async fn table(wire: &Wire) {
    let tx = wire.begin().await.unwrap();
    tx.batch("CREATE TABLE t (id bigint PRIMARY KEY, name text); CREATE UNIQUE INDEX t_name ON t (name)")
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

async fn ready(options: WireOptions) -> Wire {
    let wire = wire_to(&PrivatePostgres::shared().unwrap().database().unwrap(), options);
    table(&wire).await;
    wire
}

const INSERT: &str = "INSERT INTO t (id, name) VALUES ($1, $2)";

fn inserting<'a>(id: &'a i64, name: &'a &'a str) -> Last<'a> {
    Last::Change(INSERT, vec![(id, Type::INT8), (name, Type::TEXT)])
}

async fn insert(tx: &Tx, id: i64, name: &str) -> Result<u64, WireError> {
    tx.execute(INSERT, &[(&id, Type::INT8), (&name, Type::TEXT)]).await
}

async fn ids(wire: &Wire) -> Vec<i64> {
    let rows = wire.read("SELECT id FROM t ORDER BY id", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What everything else builds on, once for each way to the server.
async fn check_transactions(wire: &Wire) {
    table(wire).await;
    let tx = wire.begin().await.unwrap();
    assert_eq!(insert(&tx, 1, "a").await, Ok(1));
    let rows = tx.query("SELECT name FROM t WHERE id = $1", &[(&1_i64, Type::INT8)]).await.unwrap();
    assert_eq!(rows[0].get::<_, String>(0), "a");
    tx.commit().await.unwrap();

    let timeout = "SELECT current_setting('statement_timeout')";
    // What a transaction set went with it, although it was committed.
    assert_eq!(wire.read(timeout, &[]).await.unwrap()[0].get::<_, &str>(0), "0");
    let tx = wire.begin_within(Duration::from_secs(90)).await.unwrap();
    assert_eq!(tx.query(timeout, &[]).await.unwrap()[0].get::<_, &str>(0), "90s");
    insert(&tx, 2, "b").await.unwrap();
    tx.rollback().await.unwrap();
    let tx = wire.begin().await.unwrap();
    insert(&tx, 3, "c").await.unwrap();
    drop(tx);
    assert_eq!(ids(wire).await, [1]);

    let tx = wire.begin().await.unwrap();
    let (fourth, fifth) = tokio::join!(insert(&tx, 4, "d"), insert(&tx, 5, "e"));
    assert_eq!((fourth, fifth), (Ok(1), Ok(1)));
    let update = "UPDATE t SET name = name || $1";
    let last = vec![
        Last::Change(update, vec![(&"!", Type::TEXT)]),
        Last::Look("SELECT id FROM t WHERE name = $1", vec![(&"e!", Type::TEXT)]),
        Last::Change("DELETE FROM t WHERE id = $1", vec![(&5_i64, Type::INT8)]),
    ];
    let done: Vec<_> = tx.commit_with(last).await.unwrap();
    assert_eq!(done.iter().map(|done| done.changed).collect::<Vec<_>>(), [3, 0, 1]);
    assert_eq!(done[1].rows.iter().map(|row| row.get(0)).collect::<Vec<i64>>(), [5]);
    assert_eq!(ids(wire).await, [1, 4]);
}

#[tokio::test]
async fn transactions_commit_roll_back_and_are_rolled_back_when_dropped() {
    let shared = PrivatePostgres::shared().unwrap();
    check_transactions(&wire_to(&shared.database().unwrap(), one_lane())).await;
}

#[tokio::test]
async fn the_same_behind_a_pooler_in_transaction_mode() {
    let shared = PrivatePostgres::shared().unwrap();
    let pooler = PrivatePgBouncer::start(shared).unwrap();
    check_transactions(&wire_to(&pooler.url(&shared.database().unwrap()), one_lane())).await;
}

#[tokio::test]
async fn errors_say_what_may_be_concluded() {
    let wire = ready(one_lane()).await;
    let tx = wire.begin().await.unwrap();
    insert(&tx, 1, "planted").await.unwrap();
    let clash = insert(&tx, 2, "planted").await.unwrap_err();
    assert_eq!(clash, WireError::Unique("t_name".into()));
    // What failed is not committed, although the server would say that COMMIT succeeded.
    assert!(matches!(tx.commit().await, Err(WireError::Other { code, .. }) if code == "25P02"));
    assert_eq!(ids(&wire).await, [] as [i64; 0]);

    let tx = wire.begin().await.unwrap();
    insert(&tx, 1, "a").await.unwrap();
    let clash = tx.commit_with(vec![inserting(&2, &"a")]).await;
    assert_eq!(clash.unwrap_err(), WireError::Unique("t_name".into()));
    assert_eq!(ids(&wire).await, [] as [i64; 0]);

    let tx = wire.begin().await.unwrap();
    tx.batch("SET TRANSACTION READ ONLY").await.unwrap();
    assert_eq!(insert(&tx, 1, "a").await, Err(WireError::ReadOnly));
    drop(tx);
    let wrong = wire.read("SELECT 'planted'::text::bigint", &[]).await.unwrap_err();
    assert!(!wrong.to_string().contains("planted"), "{wrong}");
    let missing = wire.read("SELECT 1 FROM missing", &[]).await.unwrap_err();
    assert!(missing.to_string().contains("missing"), "{missing}");
}

#[tokio::test]
async fn two_transactions_in_each_other_s_way_are_told_so() {
    let wire = ready(WireOptions::default()).await;
    let tx = wire.begin().await.unwrap();
    tx.commit_with(vec![inserting(&1, &"a"), inserting(&2, &"b")]).await.unwrap();
    let (one, two) = (wire.begin().await.unwrap(), wire.begin().await.unwrap());
    assert_ne!(one.lane(), two.lane());
    let both = tokio::sync::Barrier::new(2);
    let lock = async |tx: Tx, first: i64, second: i64| {
        let sql = "UPDATE t SET name = name WHERE id = $1";
        tx.execute(sql, &[(&first, Type::INT8)]).await?;
        both.wait().await;
        tx.execute(sql, &[(&second, Type::INT8)]).await?;
        tx.commit().await
    };
    let (one, two) = tokio::join!(lock(one, 1, 2), lock(two, 2, 1));
    let fates = [one, two];
    assert!(fates.contains(&Ok(())), "{fates:?}");
    assert!(fates.contains(&Err(WireError::Serialization)), "{fates:?}");
}

#[tokio::test]
async fn a_slow_statement_is_ended_by_the_server_and_a_silent_server_by_us() {
    let slow = Duration::from_millis(500);
    let mut server = PrivatePostgres::start(PostgresOptions::default()).unwrap();
    let options = WireOptions { statement_timeout: slow, answer_margin: slow * 3, ..one_lane() };
    let wire = wire_to(&server.url("postgres"), options);
    let tx = wire.begin().await.unwrap();
    let session = tx.session();
    let ended = tx.query("SELECT pg_sleep(600)", &[]).await.unwrap_err();
    assert!(matches!(ended, WireError::TimedOut(why) if why.contains("statement_timeout")), "{ended}");
    tx.rollback().await.unwrap();
    let tx = wire.begin().await.unwrap();
    assert!(tx.session() > session);
    server.pause();
    assert!(matches!(tx.query("SELECT 1", &[]).await, Err(WireError::TimedOut(_))));
    drop(tx);
    server.resume();
    wire.read("SELECT 1", &[]).await.unwrap();
    server.kill();
    assert!(matches!(wire.read("SELECT 1", &[]).await, Err(WireError::Unavailable(_))));
    server.restart().unwrap();
    wire.read("SELECT 1", &[]).await.unwrap();
    // Every connection is lost once more, and nobody notices who only reads.
    server.restart().unwrap();
    wire.read("SELECT 1", &[]).await.unwrap();
    let tx = wire.begin().await.unwrap();
    tx.query("SELECT 1", &[]).await.unwrap();
}

#[tokio::test]
async fn the_server_ends_a_transaction_whose_host_was_stopped() {
    let usual = WireOptions::default();
    assert!(usual.idle_in_transaction_timeout < usual.statement_timeout, "who waits would fail first");
    let idle_in_transaction_timeout = Duration::from_secs(1);
    let wire = ready(WireOptions { idle_in_transaction_timeout, ..WireOptions::default() }).await;
    let stopped = wire.begin().await.unwrap();
    insert(&stopped, 1, "a").await.unwrap();
    let other = wire.begin().await.unwrap();
    // Waits for the lock on the name until the server ends the other one.
    assert_eq!(insert(&other, 2, "a").await, Ok(1));
    other.commit().await.unwrap();
    assert!(stopped.commit().await.is_err());
    assert_eq!(ids(&wire).await, [2]);
}

#[tokio::test]
async fn a_lane_is_waited_for_no_longer_than_said() {
    let wire = ready(WireOptions { queue_timeout: Duration::from_millis(500), ..one_lane() }).await;
    let tx = wire.begin().await.unwrap();
    assert!(matches!(wire.read("SELECT 1", &[]).await, Err(WireError::TimedOut(_))));
    drop(tx);
    wire.read("SELECT 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_commit_whose_reply_is_lost_is_of_unknown_outcome() {
    let server = PrivatePostgres::shared().unwrap();
    let relay = Relay::before(server.port()).await;
    let url = server.database().unwrap();
    let through = url.replace(&server.port().to_string(), &relay.port.to_string());
    let wire = wire_to(&through, one_lane());
    table(&wire).await;
    let tx = wire.begin().await.unwrap();
    insert(&tx, 1, "a").await.unwrap();
    let session = tx.session();
    relay.lose_the_next_answer();
    assert!(matches!(tx.commit().await, Err(WireError::UnknownOutcome(_))));
    assert_eq!(ids(&wire).await, [1]);
    let tx = wire.begin().await.unwrap();
    assert!(tx.session() > session);
    insert(&tx, 2, "b").await.unwrap();
    relay.cut();
    let closed = async {
        while tx.client_is_open() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), closed).await.unwrap();
    assert!(matches!(tx.commit().await, Err(WireError::Unavailable(_))));
    assert_eq!(ids(&wire).await, [1]);
}

#[tokio::test]
async fn a_transaction_of_three_statements_takes_two_round_trips() {
    let server = PrivatePostgres::shared().unwrap();
    let relay = Relay::before(server.port()).await;
    let url = server.database().unwrap();
    let wire = wire_to(&url.replace(&server.port().to_string(), &relay.port.to_string()), one_lane());
    table(&wire).await;
    let before = relay.round_trips();
    wire.read("SELECT 1", &[]).await.unwrap();
    assert_eq!(relay.round_trips() - before, 1);
    let before = relay.round_trips();
    let tx = wire.begin().await.unwrap();
    insert(&tx, 1, "a").await.unwrap();
    tx.commit_with(vec![inserting(&2, &"b"), inserting(&3, &"c")]).await.unwrap();
    assert_eq!(relay.round_trips() - before, 2);
}

/// A certificate for `localhost`, signed by itself.
fn certificate(folder: &Path) -> ServerCertificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let files = ServerCertificate { certificate: folder.join("crt.pem"), key: folder.join("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    files
}

#[tokio::test]
async fn certificates_are_verified_as_far_as_sslmode_says() {
    let folder = tempfile::tempdir().unwrap();
    let files = certificate(folder.path());
    let options = PostgresOptions { password: true, tls: Some(files.clone()), ..Default::default() };
    let server = PrivatePostgres::start(options).unwrap();
    let address = server.url("postgres");
    let named = address.replace("127.0.0.1", "localhost");
    let encrypted = async |url: &str, mode: &str, bundle: Option<&Path>| {
        let url = format!("{url}?sslmode={mode}&application_name=a%20b");
        let wire = Wire::new(Target::parse(&url, bundle.map(Path::to_path_buf)).unwrap(), one_lane());
        let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        wire.read(sql, &[]).await.map(|rows| rows[0].get::<_, bool>(0))
    };
    let bundle = Some(&*files.certificate);
    assert_eq!(encrypted(&address, "disable", None).await, Ok(false));
    assert_eq!(encrypted(&address, "prefer", None).await, Ok(true));
    assert_eq!(encrypted(&address, "require", None).await, Ok(true));
    assert_eq!(encrypted(&address, "require", bundle).await, Ok(true));
    assert_eq!(encrypted(&address, "verify-ca", bundle).await, Ok(true));
    assert_eq!(encrypted(&named, "verify-full", bundle).await, Ok(true));
    for refused in [
        encrypted(&address, "verify-full", bundle).await,
        encrypted(&named, "verify-full", None).await,
        encrypted(&named, "verify-ca", None).await,
    ] {
        let problem = refused.unwrap_err().to_string();
        assert!(problem.contains("certificate"), "{problem}");
    }
    let wrong = named.replace(crate::testing::PASSWORD, "planted");
    let refused = encrypted(&wrong, "require", None).await.unwrap_err();
    assert!(matches!(&refused, WireError::Login(why) if !why.contains("planted")), "{refused}");
}

#[test]
fn a_target_is_shown_without_its_password_and_refused_by_its_part() {
    let target = Target::parse("postgres://me:planted@a,b:6000/keys?connect_timeout=3", None).unwrap();
    assert!(!format!("{target} {target:?}").contains("planted"));
    assert!(target.to_string().ends_with("/keys"), "{target}");
    for url in [
        "postgres://me:planted@h/d?sslmode=verify",
        "postgres://me:planted@h:x/d",
        "postgres://me:with?planted=@h/d",
        "postgres://me:with@planted@h/d",
        "postgres://me:with@planted/word@h/d",
        "postgres://me:with@h/planted@h/d",
        "postgres:///d",
    ] {
        let problem = Target::parse(url, None).unwrap_err().to_string();
        assert!(!problem.contains("planted"), "{problem}");
    }
}

#[test]
fn what_a_server_does_not_acknowledge_is_given_up_in_time() {
    let timeout = |url| Target::parse(url, None).unwrap().config.get_tcp_user_timeout().copied();
    assert_eq!(timeout("postgres://me@h/d"), Some(Duration::from_secs(5)));
    assert_eq!(timeout("postgres://me@h/d?tcp_user_timeout=9"), Some(Duration::from_secs(9)));
}

#[tokio::test]
async fn a_connection_to_what_became_a_standby_is_not_kept() {
    let url = PrivatePostgres::shared().unwrap().database().unwrap();
    let wire = wire_to(&url, one_lane());
    table(&wire).await;
    let pid = async |wire: &Wire| {
        let rows = wire.read("SELECT pg_backend_pid()", &[]).await.unwrap();
        rows[0].get::<_, i32>(0)
    };
    let before = pid(&wire).await;
    assert_eq!(pid(&wire).await, before);
    let tx = wire.begin().await.unwrap();
    tx.batch("SET TRANSACTION READ ONLY").await.unwrap();
    assert_eq!(insert(&tx, 1, "a").await, Err(WireError::ReadOnly));
    tx.rollback().await.unwrap();
    assert_ne!(pid(&wire).await, before);
    // And none is opened to one, unless the URL says so.
    let admin = wire.begin().await.unwrap();
    let name = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
    admin.batch(&format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on")).await.unwrap();
    admin.commit().await.unwrap();
    let refused = wire_to(&url, one_lane()).read("SELECT 1", &[]).await;
    assert_eq!(refused.map(drop), Err(WireError::ReadOnly));
    let any = format!("{url}{}target_session_attrs=any", if url.contains('?') { '&' } else { '?' });
    wire_to(&any, one_lane()).read("SELECT 1", &[]).await.unwrap();
}

/// What a role's or a database's settings were when a session began stays with it, also when they were corrected.
#[tokio::test]
async fn a_session_that_sees_no_tables_is_not_used_again() {
    let wire = ready(one_lane()).await;
    let tx = wire.begin().await.unwrap();
    tx.batch("CREATE TABLE seen (value BIGINT)").await.unwrap();
    tx.commit().await.unwrap();
    let (look, spoilt) = ("SELECT value FROM seen", "SET search_path = 'nowhere'");
    let spoil = async |setting: &str| {
        let loan = wire.0.take().await.unwrap();
        loan.client().unwrap().batch_execute(setting).await.unwrap();
    };
    spoil(spoilt).await;
    assert!(matches!(wire.read(look, &[]).await, Err(WireError::Missing(_))));
    wire.read(look, &[]).await.unwrap();
    spoil(spoilt).await;
    let tx = wire.begin().await.unwrap();
    assert!(matches!(tx.query(look, &[]).await, Err(WireError::Missing(_))));
    drop(tx);
    wire.read(look, &[]).await.unwrap();
}

#[tokio::test]
async fn an_old_connection_is_replaced() {
    let wire = ready(WireOptions { connection_age_max: Duration::ZERO, ..one_lane() }).await;
    let tx = wire.begin().await.unwrap();
    let session = tx.session();
    let first = tx.query("SELECT pg_backend_pid()", &[]).await.unwrap()[0].get::<_, i32>(0);
    tx.commit().await.unwrap();
    // It is old as soon as its own task has been at work.
    let replaced = async {
        loop {
            let tx = wire.begin().await.unwrap();
            let next = tx.query("SELECT pg_backend_pid()", &[]).await.unwrap()[0].get::<_, i32>(0);
            if next != first {
                return tx.session();
            }
        }
    };
    let later = tokio::time::timeout(Duration::from_secs(20), replaced).await.unwrap();
    assert!(later > session, "what was remembered of the lane is looked up again");
}

#[tokio::test]
async fn what_travels_ahead_has_its_own_time() {
    let slow = Duration::from_secs(2);
    let options = WireOptions { statement_timeout: slow, answer_margin: slow / 4, ..one_lane() };
    let wire = ready(options).await;
    let tx = wire.begin().await.unwrap();
    tx.send_ahead(2);
    let sleep = "SELECT pg_sleep(1)";
    let (one, two, three) = tokio::join!(tx.query(sleep, &[]), tx.query(sleep, &[]), tx.query(sleep, &[]));
    one.and(two).and(three).unwrap();
}
