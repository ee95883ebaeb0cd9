//! The tables: printed, and written to `target/tmp/crashes/`, from where docs/CRASHES.md is put together.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::load::Seen;
use crate::place::Place;

/// One death and what followed.
pub(super) struct Row {
    pub(super) place: Place,
    pub(super) point: &'static str,
    /// How the process ended, or stood still.
    pub(super) death: String,
    /// What everybody else was told.
    pub(super) callers: String,
    /// From the death to the last answer of those who waited then.
    pub(super) took_over: Option<Duration>,
    pub(super) calls: usize,
    pub(super) reuses: usize,
}

/// Plays all cases, that many at once, and publishes their rows in the cases' order.
pub(super) fn play_all<C: Sync>(
    file: &str,
    title: &str,
    lanes: usize,
    cases: &[C],
    play: impl Fn(&C) -> Row + Sync,
) {
    let rows = std::thread::scope(|scope| {
        let play = &play;
        let lane = |first| cases.iter().enumerate().skip(first).step_by(lanes);
        let lanes: Vec<_> = (0..lanes)
            .map(|first| {
                scope.spawn(move || lane(first).map(|(at, case)| (at, play(case))).collect::<Vec<_>>())
            })
            .collect();
        let mut rows: Vec<_> = lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
        rows.sort_by_key(|(at, _)| *at);
        rows
    });
    publish(file, title, rows.iter().map(|(_, row)| row));
}

/// What a server's death under load did.
pub(super) fn publish_load(file: &str, rows: &[(&str, Seen)]) {
    let mut text = String::from("## A server is killed under load, and started again\n\n");
    text.push_str("| killed | answers under way | got a token | got something else | all served after | provider calls | generations | reuses |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    for (killed, seen) in rows {
        let Seen { under_way, load, healed_in, calls, generations, reuses } = seen;
        let refused: Vec<_> =
            load.refused.iter().map(|(code, count)| format!("{count} × `{code}`")).collect();
        let refused = if refused.is_empty() { "–".into() } else { refused.join(", ") };
        let (served, healed) = (load.served, healed_in.as_millis());
        writeln!(
            text,
            "| {killed} | {under_way} | {served} | {refused} | {healed} ms | {calls} | {generations} | {reuses} |"
        )
        .unwrap();
    }
    write(file, &text);
}

fn publish<'a>(file: &str, title: &str, rows: impl Iterator<Item = &'a Row>) {
    let mut text = format!("## {title}\n\n");
    text.push_str(
        "| crash point | store | how | what the others got | took over in | provider calls | reuses |\n",
    );
    text.push_str("|---|---|---|---|---|---|---|\n");
    for row in rows {
        let took = row.took_over.map_or("–".to_owned(), |took| format!("{} ms", took.as_millis()));
        let Row { point, death, callers, calls, reuses, .. } = row;
        let store = match row.place {
            Place::Sqlite => "SQLite",
            Place::Postgres => "PostgreSQL",
            Place::PostgresAndRedis => "PostgreSQL and Redis",
        };
        writeln!(text, "| `{point}` | {store} | {death} | {callers} | {took} | {calls} | {reuses} |")
            .unwrap();
    }
    write(file, &text);
}

fn write(file: &str, text: &str) {
    println!("\n{text}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("crashes");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(file), text).unwrap();
}
