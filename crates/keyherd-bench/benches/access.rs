//! What does it cost to know an agent by its key and to find the bindings for a host, with few of them and with many?
//!
//! Baselines: the keyed hash of the key alone, which nobody can do without; and asking binding after binding.

use std::hint::black_box;

use keyherd_bench::figures::spread;
use keyherd_bench::{Arguments, Outcome, Report, Row, Stopwatch, ratio};
use keyherd_core::agent::{Agent, Agents, key_hash, new_key};
use keyherd_core::binding::{BindingDraft, Bindings};
use keyherd_core::fakes::SeededEntropy;
use keyherd_core::host::Host;
use keyherd_core::ids::{AgentId, BindingId, Name};
use keyherd_core::secret::{Hasher, Secret};
use keyherd_core::time::Timestamp;

/// The most there may be, unless the configuration says otherwise; and few.
const COUNTS: [u32; 2] = [10, 10_000];

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let rounds = arguments.number("rounds", arguments.size(3, 30))?;
    let calls = arguments.number("calls", arguments.size(2_000, 100_000))?;
    let mut report = Report::begin("access: an agent by its key, bindings by their host");
    for count in COUNTS {
        agents(&mut report, count, rounds, calls)?;
        bindings(&mut report, count, rounds, calls)?;
    }
    report.note(format!("ns a call: the fastest of {rounds} rounds of {calls} calls, alternating."));
    report.print();
    Ok(())
}

fn agents(report: &mut Report, count: u32, rounds: usize, calls: usize) -> Outcome {
    let (entropy, hasher) = (SeededEntropy::new(1), Hasher::new([3; 32]));
    let mut keys = Vec::new();
    let mut all = Vec::new();
    for number in 0..count {
        let key = new_key(&entropy);
        let name = Name::parse(&format!("bot-{number}"))?;
        all.push(Agent {
            id: AgentId::of_random(number.into()),
            actor: Agent::actor_of(&name),
            name,
            key_hash: key_hash(&hasher, key.expose().as_bytes()).ok_or("a key is none")?,
            allowed: Vec::new(),
            may_fetch_tokens: true,
            created_at: Timestamp::from_millis(0),
        });
        keys.push(key);
    }
    let agents = Agents::new(all);
    let key = |call: usize| black_box(keys.get(call % keys.len()).map_or("", Secret::expose)).as_bytes();
    let hash = |call: usize| key_hash(&hasher, key(call)).is_some();
    let found = |call: usize| key_hash(&hasher, key(call)).is_some_and(|hash| agents.of_key(&hash).is_some());
    let (ours, alone) = fastest(rounds, calls, found, hash)?;
    let row = Row::new(format!("an agent of {count}, by its key"));
    report
        .row(row.ours(format!("{ours:.0} ns")).baseline(format!("{alone:.0} ns")).ratio(ratio(ours, alone)));
    Ok(())
}

fn bindings(report: &mut Report, count: u32, rounds: usize, calls: usize) -> Outcome {
    let draft = |number: u32| -> Outcome<BindingDraft> {
        let host = format!("{}.of-{number}.example.com", if number.is_multiple_of(2) { "api" } else { "**" });
        let name = Name::parse(&format!("acme-{number}"))?;
        Ok(BindingDraft { name, host, port: None, header: None, query: None, template: None, upstream: None })
    };
    let made: Outcome<Vec<_>> = (0..count)
        .map(|number| {
            let id = BindingId::of_random(number.into());
            Ok(draft(number)?.check(id, Timestamp::from_millis(0))?)
        })
        .collect();
    let bindings = Bindings::new(made?);
    let hosts: Result<Vec<_>, _> =
        (0..count).map(|number| Host::parse(&format!("api.of-{number}.example.com"))).collect();
    let hosts = hosts?;
    let host = |call: usize| black_box(hosts.get(call % hosts.len()));
    let found = |call: usize| host(call).is_some_and(|host| bindings.at(host, 443).next().is_some());
    let scanned = |call: usize| {
        host(call).is_some_and(|host| bindings.all().iter().any(|binding| binding.covers(host, 443)))
    };
    let (ours, scan) = fastest(rounds, calls.min(2_000), found, scanned)?;
    let row = Row::new(format!("a binding of {count}, by its host"));
    report.row(row.ours(format!("{ours:.0} ns")).baseline(format!("{scan:.0} ns")).ratio(ratio(ours, scan)));
    Ok(())
}

/// ns a call of each, which must find what it asks for.
fn fastest(
    rounds: usize,
    calls: usize,
    ours: impl Fn(usize) -> bool,
    baseline: impl Fn(usize) -> bool,
) -> Outcome<(f64, f64)> {
    let (mut of_ours, mut of_baseline) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        of_ours.push(time(calls, &ours)?);
        of_baseline.push(time(calls, &baseline)?);
    }
    Ok((spread(&of_ours).0, spread(&of_baseline).0))
}

fn time(calls: usize, call: impl Fn(usize) -> bool) -> Outcome<f64> {
    let watch = Stopwatch::start();
    let found = (0..calls).filter(|&number| call(number)).count();
    let took = watch.elapsed();
    if found < calls {
        return Err("not every call found what it asks for".into());
    }
    Ok(took.as_secs_f64() * 1e9 / f64::from(u32::try_from(calls).unwrap_or(u32::MAX)))
}
