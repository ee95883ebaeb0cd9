//! How long does it take to get a hot token by name in this process, and do two threads hinder each other?
//!
//! Baseline: a bare `papaya` map (its default hasher) from the name to a string of the handle's size, which is cloned,
//! since a caller must own what it gets. A plain look at the same entry, without the clone, is printed for comparison.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use keyherd_adapters::system::SystemClock;
use keyherd_bench::figures::spread;
use keyherd_bench::{Arguments, Outcome, Report, Row, Stopwatch, credential, heat, ratio};
use keyherd_core::audit::Actor;
use keyherd_core::broker::{Broker, ConnectMode, Options, Ports};
use keyherd_core::credential::{Draft, DraftFields};
use keyherd_core::fakes::{
    FixedProfiles, Installation, MemoryBell, MemoryJournal, RecordingCourier, ScriptedProvider, SeededEntropy,
};
use keyherd_core::ids::OwnerId;
use keyherd_core::ports::Clock;
use keyherd_core::provider::Profile;
use keyherd_core::refresh::Ask;
use keyherd_core::secret::Hasher;

/// As in the binary.
#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const HOUR: Duration = Duration::from_secs(3_600);
/// An opaque token and a JWT of usual sizes, in bytes.
const TOKEN_LENS: [usize; 2] = [100, 1_000];

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let rounds = arguments.number("rounds", arguments.size(3, 50))?;
    let calls = arguments.number("calls", arguments.size(20_000, 200_000))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = Report::begin("hot_path: a hot token in process, by name");
    // One name that everybody asks for, and many.
    let many = arguments.number("names", 1_000)?;
    for token_len in TOKEN_LENS {
        for names in [1, many] {
            let sides = runtime.block_on(Sides::new(token_len, names))?;
            add(&mut report, token_len, names, &sides.measure(rounds, calls)?);
        }
    }
    report.note(format!(
        "ns a call, the slower thread's: the fastest of {rounds} rounds of {calls} calls, alternating."
    ));
    report.print();
    Ok(())
}

/// Both maps with the same names and sizes.
struct Sides {
    names: Vec<String>,
    broker: Broker,
    ask: Ask,
    bare: papaya::HashMap<String, Box<str>>,
}

impl Sides {
    async fn new(token_len: usize, count: usize) -> Outcome<Self> {
        let names: Vec<_> = (0..count).map(|number| format!("acme-{number}")).collect();
        let (broker, ask) = (broker(), Ask::foreground(HOUR));
        for name in &names {
            import(&broker, name, token_len).await?;
        }
        heat(&broker, &names, &ask).await?;
        let bare = papaya::HashMap::new();
        for name in &names {
            let token = broker.hot(name, &ask).ok_or("it is not hot")?;
            // The handle holds the token, its type and the name.
            let text = [token.expose(), token.token_type(), token.credential()].concat();
            bare.pin().insert(name.clone(), text.into_boxed_str());
        }
        Ok(Self { names, broker, ask, bare })
    }

    fn measure(&self, rounds: usize, calls: usize) -> Outcome<Figures> {
        let name =
            |call: usize| black_box(self.names.get(call % self.names.len()).map_or("", String::as_str));
        let ours = |call: usize| black_box(self.broker.hot(name(call), &self.ask)).is_some();
        let bare = |call: usize| black_box(self.bare.pin().get(name(call)).cloned()).is_some();
        let look = |call: usize| black_box(self.bare.pin().get(name(call)).map(|text| text.len())).is_some();
        let mut figures = Figures::default();
        for _ in 0..rounds {
            for threads in [1, 2] {
                let ours = time(threads, calls, &ours)?;
                figures.add(threads, [ours, time(threads, calls, &bare)?, time(threads, calls, &look)?]);
            }
        }
        Ok(figures)
    }
}

/// ns a call: ours, the clone, the look; by threads.
#[derive(Default)]
struct Figures {
    one: Vec<[f64; 3]>,
    two: Vec<[f64; 3]>,
}

impl Figures {
    fn add(&mut self, threads: usize, figures: [f64; 3]) {
        if threads == 1 { self.one.push(figures) } else { self.two.push(figures) }
    }

    /// What other programs take of the machine only ever adds: the fastest round is nearest to the truth.
    fn fastest(rounds: &[[f64; 3]]) -> [f64; 3] {
        [0, 1, 2].map(|side| {
            spread(&rounds.iter().filter_map(|round| round.get(side).copied()).collect::<Vec<_>>()).0
        })
    }
}

fn add(report: &mut Report, token_len: usize, names: usize, figures: &Figures) {
    let (one, two) = (Figures::fastest(&figures.one), Figures::fastest(&figures.two));
    let what = format!("{token_len} B token, {names} name{}", if names == 1 { "" } else { "s" });
    for (threads, [ours, bare, look]) in [(1, one), (2, two)] {
        let row = Row::new(format!("{what}, {threads} thread{}", if threads == 1 { "" } else { "s" }));
        let row = row.ours(format!("{ours:.0} ns")).baseline(format!("{bare:.0} ns (look alone {look:.0})"));
        report.row(row.ratio(ratio(ours, bare)).aim("<= 2 x", ours <= 2.0 * bare));
    }
    let (ours, bare) = (two[0] / one[0], two[1] / one[1]);
    let row = Row::new(format!("{what}, 2 threads over 1"))
        .ours(format!("{ours:.2} x"))
        .baseline(format!("{bare:.2} x"));
    // Two threads share a memory and a clock rate: the bare map says how much of it is the machine's.
    report.row(row.ratio(ratio(ours, bare)).aim("<= 1.1 x, or the baseline's", ours <= bare.max(1.1)));
}

/// ns a call of the slowest of so many threads, all beginning at once. Each call must find what it asks for.
fn time(threads: usize, calls: usize, call: &(impl Fn(usize) -> bool + Sync)) -> Outcome<f64> {
    let barrier = Barrier::new(threads);
    let one = || {
        barrier.wait();
        let watch = Stopwatch::start();
        let found = (0..calls).filter(|&number| call(number)).count();
        (watch.elapsed(), found)
    };
    let ends: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    if ends.len() < threads || ends.iter().any(|(_, found)| *found < calls) {
        return Err("not every call found its token".into());
    }
    let slowest = ends.into_iter().map(|(took, _)| took).max().unwrap_or_default();
    Ok(slowest.as_secs_f64() * 1e9 / f64::from(u32::try_from(calls).unwrap_or(u32::MAX)))
}

/// The engine on fakes, with the machine's own clock.
fn broker() -> Broker {
    let clock = Arc::new(SystemClock);
    let hasher = Hasher::new([3; 32]);
    let installation = Installation::new(clock.clone(), hasher.clone());
    let ports = Ports {
        store: Arc::new(installation.open(OwnerId::from_i64(1))),
        coordinator: Arc::new(MemoryBell::new(&installation)),
        provider: Arc::new(ScriptedProvider::new([])),
        profiles: Arc::new(FixedProfiles::new([Profile::default()])),
        journal: Arc::new(MemoryJournal::default()),
        courier: Arc::new(RecordingCourier::default()),
        clock,
        entropy: Arc::new(SeededEntropy::new(1)),
        hasher,
    };
    Broker::new(ports, Options::default())
}

/// A credential with a long token that lives for a day.
async fn import(broker: &Broker, name: &str, token_len: usize) -> Outcome {
    let fields = DraftFields {
        access_token: Some("x".repeat(token_len).into()),
        expires_at: Some(SystemClock.now() + 24 * HOUR),
        refresh_token: Some(format!("refresh-of-{name}").into()),
        ..credential(name, 0, "https://id.example/token")
    };
    broker.connect(Draft::parse(fields)?, ConnectMode::Create, &Actor::new("bench")).await?;
    Ok(())
}
