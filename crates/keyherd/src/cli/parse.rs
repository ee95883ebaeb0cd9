//! Arguments that do not parse: one line on standard error, like every other failure.

use std::process::ExitCode;

use clap::error::ErrorKind;

use super::failure::{Exit, Failure};
use super::run::OURS;

/// Help and version are what was asked for; all else was called wrongly.
pub(super) fn told(error: &clap::Error, is_run: bool) -> ExitCode {
    let usage = if is_run { OURS } else { Exit::Usage };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is the reader's wish.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Failure::silent(usage).exit_code()
        }
        _ => Failure::new(usage, one_line(&error.to_string())).told().exit_code(),
    }
}

/// clap's message and its tips; its usage is in `--help`.
fn one_line(text: &str) -> String {
    let parts = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("For more"));
    let told: Vec<&str> = parts.take_while(|line| !line.starts_with("Usage:")).collect();
    let told = told.join(" ").replace("error: ", "").replace("tip: ", "; ");
    format!("{}: see --help", told.replace(" ; ", "; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usage_error_is_one_line() {
        let text = "error: unexpected argument '--x' found\n\n  tip: to pass '--x' as a value, use '-- --x'\n\n\
                    Usage: keyherd token <NAME>\n\nFor more information, try '--help'.\n";
        assert_eq!(
            one_line(text),
            "unexpected argument '--x' found; to pass '--x' as a value, use '-- --x': see --help"
        );
    }
}
