//! What a command reads: files, standard input, secrets without an echo. Always bounded.
//!
//! Owns the prompts. A secret never comes from an argument, and its buffers are wiped.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use keyherd_core::secret::Secret;
use zeroize::{Zeroize, Zeroizing};

use super::failure::Failure;

/// The longest secret that is read from a line, in bytes; the domain's own bound is shorter.
const LINE_LEN_MAX: usize = 1024 * 1024;

/// A whole file, or standard input for `-`.
pub(super) fn read(path: &Path, bytes_max: usize) -> Result<Zeroizing<String>, Failure> {
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let wrong = |problem: &str| Failure::failed(format!("{name} cannot be read: {problem}"));
    let bytes = if path == Path::new("-") {
        bounded(io::stdin().lock(), bytes_max)
    } else {
        File::open(path).and_then(|file| bounded(file, bytes_max))
    };
    let bytes = bytes.map_err(|error| wrong(&error.to_string()))?;
    if bytes.len() > bytes_max {
        return Err(wrong(&format!(
            "it is longer than {bytes_max} bytes: raise [command] input_bytes_max, or split it"
        )));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(wrong("it is not UTF-8 text")),
    }
}

/// Up to one byte more than allowed, so that what is too long is noticed.
fn bounded(from: impl Read, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024));
    from.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Secrets as they are asked for, one after the other: from a person without an echo, from a program line by line.
///
/// A program may say which one a line is (`refresh_token=…`), in any order; plain lines are taken in the order of the
/// questions.
#[derive(Default)]
pub(crate) struct Secrets {
    /// What is left of standard input, the next line last. None before the first question, and with a person.
    lines: Option<Vec<Secret>>,
}

impl Secrets {
    /// The next one; none where the line is empty or missing. Standard input is read with the first question.
    pub(super) fn ask(&mut self, field: &str, prompt: &str) -> Result<Option<Secret>, Failure> {
        let secret = if io::stdin().is_terminal() { prompted(prompt)? } else { self.line(field)? };
        Ok(Some(secret).filter(|secret| !secret.is_empty()))
    }

    /// Refuses what was given and not asked for. Does not show it.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.lines.into_iter().flatten().filter(|line| !line.is_empty()).count() {
            0 => Ok(()),
            left => Err(Failure::usage(format!(
                "standard input has more lines than there are secrets to give ({left} too many): see --help for their order"
            ))),
        }
    }

    fn line(&mut self, field: &str) -> Result<Secret, Failure> {
        let lines = match &mut self.lines {
            Some(lines) => lines,
            unread => {
                let text = read(Path::new("-"), LINE_LEN_MAX)?;
                unread.insert(text.lines().rev().map(Secret::from).collect())
            }
        };
        Ok(match labelled(lines, field) {
            Some(labelled) => labelled,
            None => lines.pop_if(|line| label_of(line).is_none()).unwrap_or(Secret::from("")),
        })
    }
}

/// The names that a line may begin with.
const LABELS: [&str; 6] =
    ["access_token", "refresh_token", "client_secret", "secret", "signing_key", "token"];

fn label_of(line: &Secret) -> Option<&'static str> {
    let (label, _) = line.expose().split_once('=')?;
    LABELS.into_iter().find(|known| *known == label)
}

fn labelled(lines: &mut Vec<Secret>, field: &str) -> Option<Secret> {
    let at = lines.iter().position(|line| label_of(line) == Some(field))?;
    let line = lines.remove(at);
    line.expose().split_once('=').map(|(_, value)| Secret::from(value))
}

fn prompted(prompt: &str) -> Result<Secret, Failure> {
    match rpassword::prompt_password(format!("{prompt}: ")) {
        Ok(mut text) => {
            let secret = Secret::from(text.trim_end_matches(['\r', '\n']));
            text.zeroize();
            Ok(secret)
        }
        Err(error) => Err(Failure::failed(format!("the terminal cannot be read: {error}"))),
    }
}

/// One secret on the first line of standard input.
pub(super) fn secret_line() -> Result<Secret, Failure> {
    let mut line = Zeroizing::new(String::with_capacity(4_096));
    let read = io::stdin().lock().take(LINE_LEN_MAX as u64).read_line(&mut line);
    read.map_err(|error| Failure::failed(format!("standard input cannot be read: {error}")))?;
    match line.trim() {
        "" => {
            Err(Failure::usage("standard input is empty: give the rejected access token on its first line"))
        }
        token => Ok(Secret::from(token)),
    }
}

/// A question with a visible answer, on the terminal only.
pub(super) fn visible(prompt: &str) -> Result<Option<String>, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let told = |error: io::Error| Failure::failed(format!("the terminal cannot be read: {error}"));
    write!(io::stderr(), "{prompt}: ").map_err(told)?;
    let mut line = String::new();
    io::stdin().lock().take(LINE_LEN_MAX as u64).read_line(&mut line).map_err(told)?;
    Ok(Some(line.trim().to_owned()).filter(|answer| !answer.is_empty()))
}
