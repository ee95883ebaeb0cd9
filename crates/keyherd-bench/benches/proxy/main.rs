//! What does the forward proxy cost: CPU, time, memory?
//!
//! Baselines: hudsucker with one header swapped, mitmdump where it is there, and relays that read nothing. The proxies, the
//! upstream and the load are processes of their own: this program, started again with a word. Each question can be asked
//! alone, by its name.

mod identity;
mod interceptor;
mod load;
mod mitmdump;
mod place;
mod questions;
mod relays;
mod streams;
mod upstream;
mod wire;

use keyherd_bench::{Arguments, Outcome, Report, cli};
use tokio::runtime::Builder;

use self::questions::{Question, Sizes};

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let one_thread = || Builder::new_current_thread().enable_all().build();
    let threads = || Builder::new_multi_thread().enable_all().build();
    if let Some(words) = arguments.worker(load::LOAD) {
        return one_thread()?.block_on(load::run(words));
    }
    if let Some(words) = arguments.worker(upstream::UPSTREAM) {
        return one_thread()?.block_on(upstream::serve(words));
    }
    if arguments.worker(upstream::ECHO).is_some() {
        return one_thread()?.block_on(upstream::echo());
    }
    if let Some(words) = arguments.worker(interceptor::INTERCEPTOR) {
        return threads()?.block_on(interceptor::serve(words));
    }
    if arguments.worker(relays::TUNNEL).is_some() {
        return threads()?.block_on(relays::tunnel());
    }
    match arguments.worker(relays::RELAY) {
        Some(words) => threads()?.block_on(relays::relay(words)),
        None => threads()?.block_on(bench(&arguments)),
    }
}

async fn bench(arguments: &Arguments) -> Outcome {
    let sizes = Sizes {
        binary: cli::binary(arguments).await?,
        mitmdump: mitmdump::found(arguments),
        millis: arguments.number("millis", arguments.size(500, 3_000))?,
        rounds: arguments.number("rounds", arguments.size(1, 7))?,
        body_len: arguments.number("body", arguments.size(32 << 20, 1 << 30))?,
        tunnels: arguments.number("tunnels", arguments.size(200, 5_000))?,
    };
    let asked: Vec<_> = Question::ALL.into_iter().filter(|one| arguments.has(one.name())).collect();
    let asked = if asked.is_empty() { Question::ALL.to_vec() } else { asked };
    let mut report = Report::begin("proxy: HTTPS that is read, a header swapped, 1 KiB answers");
    for question in asked {
        question.ask(&sizes, &mut report).await?;
    }
    report.note(format!(
        "{} rounds of {} ms for each side, in turns; medians, and the least and the most of the pairs.",
        sizes.rounds, sizes.millis
    ));
    report.note(
        "the proxies, the upstream and the load share the same cores; CPU and memory are the proxy's alone.",
    );
    report.print();
    Ok(())
}
