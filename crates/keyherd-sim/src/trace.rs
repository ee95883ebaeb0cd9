//! What happened, line by line: virtual time, host, step, outcome. Shortened to the chain at fault when it is shown.

use std::fmt::Write;
use std::time::Duration;

use keyherd_core::ids::ChainId;

/// Lines shown of a failing run.
const SHOWN_MAX: usize = 160;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Virtual time since the start.
    pub at: Duration,
    /// Which host, where it is one host's.
    pub host: Option<usize>,
    /// Which chain it is about; `None`: it may concern all.
    pub chain: Option<ChainId>,
    /// What happened.
    pub text: String,
}

/// The lines that concern `chain`, the last ones where there are too many.
pub fn shown(lines: &[Line], chain: Option<ChainId>, whole: bool) -> String {
    let concerns = |line: &&Line| whole || chain.is_none() || line.chain.is_none() || line.chain == chain;
    let lines: Vec<&Line> = lines.iter().filter(concerns).collect();
    let left_out = if whole { 0 } else { lines.len().saturating_sub(SHOWN_MAX) };
    let mut text = String::new();
    if left_out > 0 {
        let _ = writeln!(text, "  … {left_out} earlier lines: see --trace");
    }
    for line in lines.iter().skip(left_out) {
        let host = line.host.map_or_else(|| "world".to_owned(), |host| format!("host{host}"));
        let _ = writeln!(text, "{:>10.3}s  {host:<6} {}", line.at.as_secs_f64(), line.text);
    }
    text
}
