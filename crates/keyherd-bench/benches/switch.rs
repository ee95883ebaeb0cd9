//! A used-up account is reported on one host: when does the next request go to the next account, there and on another
//! host?
//!
//! Ours over PostgreSQL, and with Redis beside it. Baseline: the same engine, whose other host is told nothing and looks at
//! the store every 100 ms.

use std::time::Duration;

use keyherd_adapters::testing::{PostgresOptions, PrivatePostgres, PrivateRedis, RedisOptions};
use keyherd_bench::figures::{millis, quantile};
use keyherd_bench::fleet::{Host, Notices, Place};
use keyherd_bench::pools::{make_pool, member, tell_limit};
use keyherd_bench::{Arguments, Ground, Outcome, Report, Row, Stopwatch, heat, ratio};
use keyherd_core::audit::Actor;
use keyherd_core::broker::Acquired;
use keyherd_core::pool::Strategy;
use keyherd_core::refresh::Ask;

const POLL: Duration = Duration::from_millis(100);
const WAIT: Duration = Duration::from_secs(30);
const ELSEWHERE_MS_MAX: f64 = 100.0;
/// Between two requests of the other host.
const BETWEEN: Duration = Duration::from_micros(200);
/// A switch that is not seen by then never is.
const SEEN_WITHIN: Duration = Duration::from_secs(10);

fn main() -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(bench(&Arguments::of_process()))
}

async fn bench(arguments: &Arguments) -> Outcome {
    let rounds = arguments.number("rounds", arguments.size(5, 100))?;
    let mut report = Report::begin("switch: the next account, seen by the next request");
    let mut postgres = PrivatePostgres::start(PostgresOptions { fsync: true, ..PostgresOptions::default() })?;
    let redis = PrivateRedis::start(RedisOptions::default())?;
    let polled = play(&postgres, None, Notices::Polled(POLL), rounds).await?;
    for (name, redis) in [("PostgreSQL", None), ("with Redis", Some(redis.url()))] {
        let sent = play(&postgres, redis, Notices::Sent, rounds).await?;
        let row = Row::new(format!("{name}: requests on the old account, same host"));
        report.row(row.ours(sent.late).baseline(polled.late).aim("0", sent.late == 0));
        for (what, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let of = |switches: &Switches| millis(quantile(&switches.elsewhere, share));
            let (us, them) = (of(&sent), of(&polled));
            let row = Row::new(format!("{name}: seen on another host, {what}")).ours(format!("{us:.1} ms"));
            let row = row.baseline(format!("{them:.1} ms")).ratio(ratio(us, them));
            let has_aim = what == "p99";
            let aim = format!("<= {ELSEWHERE_MS_MAX:.0} ms");
            report.row(if has_aim { row.aim(aim, us <= ELSEWHERE_MS_MAX) } else { row });
        }
        let reported = millis(quantile(&sent.reported, 0.5));
        let row = Row::new(format!("{name}: the report itself, p50")).ours(format!("{reported:.1} ms"));
        report.row(row.baseline(format!("{:.1} ms", millis(quantile(&polled.reported, 0.5)))));
    }
    report.note(format!(
        "{rounds} switches of each kind, two hosts; counted from the report's return. Baseline: the other host polls every {} ms.",
        POLL.as_millis()
    ));
    report.note("PostgreSQL's commits reach the disk.");
    postgres.stop()?;
    report.print();
    Ok(())
}

#[derive(Default)]
struct Switches {
    /// Requests that were given the old account after the report's return, on the host that reported.
    late: usize,
    reported: Vec<Duration>,
    elsewhere: Vec<Duration>,
}

async fn play(
    postgres: &PrivatePostgres,
    redis: Option<String>,
    notices: Notices,
    rounds: usize,
) -> Outcome<Switches> {
    let ground = Ground::new()?;
    let place = Place { folder: ground.path().into(), database: postgres.database()?, redis, notices };
    let (here, there) = (Host::open(&place, 0).await?, Host::open(&place, 1).await?);
    let (mut switches, ask) = (Switches::default(), Ask::foreground(WAIT));
    for round in 0..rounds {
        let pool = format!("pool-{round}");
        make_pool(&here.broker, &pool, 2, Strategy::Failover).await?;
        for host in [&here, &there] {
            heat(&host.broker, std::slice::from_ref(&pool), &ask).await?;
        }
        let watch = Stopwatch::start();
        tell_limit(&here.broker, &pool, &member(&pool, 0), 600).await?;
        switches.reported.push(watch.elapsed());
        let watch = Stopwatch::start();
        switches.late += usize::from(!is_second(&here, &pool, &ask).await?);
        while !is_second(&there, &pool, &ask).await? {
            if watch.elapsed() > SEEN_WITHIN {
                return Err("the other host never saw it".into());
            }
            tokio::time::sleep(BETWEEN).await;
        }
        switches.elsewhere.push(watch.elapsed());
    }
    here.close().await;
    there.close().await;
    Ok(switches)
}

async fn is_second(host: &Host, pool: &str, ask: &Ask) -> Outcome<bool> {
    match host.broker.acquire(pool, ask, &Actor::new("bench")).await? {
        Acquired::Token(token) => Ok(token.credential() == member(pool, 1)),
        Acquired::Refused(refusal) => Err(format!("{refusal:?}").into()),
    }
}
