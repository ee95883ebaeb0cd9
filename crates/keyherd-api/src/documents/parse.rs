//! Reading a document: errors that name the field and its place, and never repeat a value, which may be a secret.

use std::fmt;

use keyherd_core::credential::{SCOPES_MAX, TEXT_LEN_MAX};
use keyherd_core::secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::CredentialDocument;

/// The longest scope, in bytes.
const SCOPE_LEN_MAX: usize = 1024;
/// How much of a field's name is repeated in an error, in characters.
const SHOWN_LEN_MAX: usize = 64;

/// Why a text is no such document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDocument {
    /// The path of the field, where one can be blamed.
    pub field: Option<String>,
    /// What is wrong with it. Never the value itself.
    pub problem: String,
    /// Line and column, from 1, where they are known.
    pub place: Option<(usize, usize)>,
}

impl std::error::Error for BadDocument {}

impl fmt::Display for BadDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "'{field}': ")?;
        }
        f.write_str(&self.problem)?;
        match self.place {
            Some((line, column)) => write!(f, " (line {line}, column {column})"),
            None => Ok(()),
        }
    }
}

impl BadDocument {
    /// A field that was read, and does not do.
    pub fn field(field: &str, problem: impl Into<String>) -> Self {
        Self { field: Some(field.into()), problem: problem.into(), place: None }
    }

    /// A document that does not do as a whole.
    pub fn whole(problem: impl Into<String>) -> Self {
        Self { field: None, problem: problem.into(), place: None }
    }
}

/// Reads one document: a JSON object and nothing after it.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, BadDocument> {
    match first_byte(json) {
        Some(b'{') => serde_json::from_slice(json).map_err(|_| diagnose::<T>(json)),
        Some(_) => Err(BadDocument::whole("this is no JSON object: it must begin with '{'")),
        None => Err(BadDocument::whole("there is nothing here: a JSON object is needed")),
    }
}

/// Reads one credential document, or a JSON array of them.
pub fn parse_credentials(json: &[u8]) -> Result<Vec<CredentialDocument>, BadDocument> {
    match first_byte(json) {
        Some(b'[') => serde_json::from_slice(json).map_err(|_| diagnose::<Vec<CredentialDocument>>(json)),
        Some(b'{') => parse(json).map(|one| vec![one]),
        Some(_) => Err(BadDocument::whole(
            "this is neither a JSON object nor an array of them: it must begin with '{' or '['",
        )),
        None => {
            Err(BadDocument::whole("there is nothing here: a JSON object is needed, or an array of them"))
        }
    }
}

/// A number within its bound, or the field's error.
pub(super) fn at_most(field: &str, value: u64, max: u64) -> Result<u64, BadDocument> {
    if value > max {
        return Err(BadDocument::field(field, format!("is {value}, and at most {max} is possible")));
    }
    Ok(value)
}

/// A text that is there, short enough and without control characters.
pub(super) fn check_text(field: &str, text: &str) -> Result<(), BadDocument> {
    check_text_within(field, text, TEXT_LEN_MAX)
}

pub(super) fn check_text_within(field: &str, text: &str, len_max: usize) -> Result<(), BadDocument> {
    let problem = if text.is_empty() {
        "is empty: leave it out, or give its value".to_owned()
    } else if text.len() > len_max {
        format!("is longer than {len_max} bytes")
    } else if text.chars().any(char::is_control) {
        "has a control character in it, such as a line break: paste it anew".to_owned()
    } else {
        return Ok(());
    };
    Err(BadDocument::field(field, problem))
}

pub(super) fn check_secret(field: &str, secret: Option<&Secret>) -> Result<(), BadDocument> {
    secret.map_or(Ok(()), |secret| check_text(field, secret.expose()))
}

pub(super) fn check_scopes(scopes: &[String]) -> Result<(), BadDocument> {
    if scopes.len() > SCOPES_MAX {
        return Err(BadDocument::field("scopes", format!("are more than {SCOPES_MAX}")));
    }
    scopes.iter().try_for_each(|scope| check_text_within("scopes", scope, SCOPE_LEN_MAX))
}

/// A name of somebody else's making, fit to be repeated: short, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(SHOWN_LEN_MAX).collect()
}

fn first_byte(json: &[u8]) -> Option<u8> {
    json.iter().copied().find(|byte| !byte.is_ascii_whitespace())
}

/// Reads once more, slowly, to find the field that is wrong.
fn diagnose<'de, T: Deserialize<'de>>(json: &'de [u8]) -> BadDocument {
    let mut reader = serde_json::Deserializer::from_slice(json);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => {
            let path = error.path().to_string();
            // A path ends in '?' where the text does, or where a key stands that is none.
            let path = path.trim_end_matches(['.', '?']);
            let field = Some(shown(path)).filter(|path| !path.is_empty());
            bad(field, error.inner())
        }
        Ok(_) => match reader.end() {
            Err(error) => bad(None, &error),
            Ok(()) => BadDocument::whole("cannot be read"),
        },
    }
}

fn bad(field: Option<String>, error: &serde_json::Error) -> BadDocument {
    let whole = error.to_string();
    let message = whole.rfind(" at line ").map_or(whole.as_str(), |at| &whole[..at]);
    let problem = plain(message);
    // An unknown or missing field names itself.
    let field = if problem.contains(" field `") { None } else { field };
    let place = (error.line() > 0).then(|| (error.line(), error.column()));
    BadDocument { field, problem, place }
}

/// serde's message without the value it would repeat, in words that need no Rust.
pub fn plain(message: &str) -> String {
    if let Some(inside) = message.strip_prefix("EOF while parsing ") {
        return format!("the text ends too early, within {}", inner(inside));
    }
    let Some((what, rest)) = message.split_once(": ").filter(|(what, _)| what.starts_with("invalid ")) else {
        return match message.strip_prefix("unknown variant ").and(message.rfind(", expected ")) {
            Some(at) => format!("unknown word{}", &message[at..]),
            None => message.to_owned(),
        };
    };
    let (found, expected) = match rest.rfind(", expected ") {
        Some(at) => (&rest[..at], &rest[at + ", expected ".len()..]),
        None => (rest, "something else"),
    };
    let kind = found.split(" \"").next().and_then(|head| head.split(" `").next()).unwrap_or_default();
    format!("{what}: {kind}, expected {}", expectation(expected))
}

fn inner(inside: &str) -> &str {
    match inside {
        "an object" | "a string" => inside,
        "a list" => "an array",
        _ => "a value",
    }
}

fn expectation(expected: &str) -> &str {
    match expected {
        "u128" | "u64" | "u32" | "u16" | "u8" | "usize" => "a whole number from 0",
        "i128" | "i64" | "i32" => "a whole number",
        "f64" | "f32" => "a number",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        "a sequence" => "a list",
        "a map" => "an object",
        other if other.starts_with("struct ") => "an object",
        other => other,
    }
}
