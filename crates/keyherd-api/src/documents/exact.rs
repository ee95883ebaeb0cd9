//! JSON of any shape that is read without loss, or refused: a human consents to what is shown, and what is asked about must be
//! just that.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Decimal digits that a number of 64 bits keeps, whatever they are (IEEE 754, DBL_DIG).
const DIGITS_MAX: usize = 15;
/// How much of a number is repeated in an error, in characters.
const SHOWN_LEN_MAX: usize = 40;

/// The value, where no other text that is worth a difference would be the same value.
///
/// # Errors
/// What is in it that would be lost, in words.
pub(super) fn exactly(raw: &RawValue) -> Result<Value, String> {
    if let Some(number) = numbers(raw.get()).find(|number| !is_kept(number)) {
        let shown: String = number.chars().take(SHOWN_LEN_MAX).collect();
        return Err(format!(
            "the number {shown} has more digits than are kept: send it as a string, in quotes"
        ));
    }
    serde_json::from_str::<Once>(raw.get()).map_err(|error| error.to_string())?;
    serde_json::from_str(raw.get()).map_err(|error| error.to_string())
}

/// The numbers in a text that is JSON.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let at = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            let (first, from) = (rest.as_bytes().get(at)?, rest.get(at..)?);
            if *first == b'"' {
                rest = from.get(text_len(from)..)?;
                continue;
            }
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
            let end = from.find(|c| !is_part(c)).unwrap_or(from.len());
            rest = from.get(end..)?;
            return from.get(..end);
        }
    })
}

/// The length of the string that a text begins with, with its quotes.
fn text_len(json: &str) -> usize {
    let mut is_escaped = true;
    for (at, byte) in json.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    json.len()
}

fn is_kept(number: &str) -> bool {
    if !number.contains(['.', 'e', 'E']) {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    let digits: String = number.split(['e', 'E']).next().unwrap_or_default().replace(['-', '.'], "");
    let digits = digits.trim_matches('0');
    // What is nothing, or without end, to 64 bits may be something.
    let is_within =
        number.parse().is_ok_and(|value: f64| value.is_finite() && (value != 0.0) != digits.is_empty());
    digits.len() <= DIGITS_MAX && is_within
}

/// Reads on as long as no object has a field twice: of which others might read the other one.
struct Once;

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Once {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self, A::Error> {
        let mut names = HashSet::new();
        while let Some(name) = fields.next_key::<String>()? {
            if names.contains(&name) {
                fields.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom("an object in it has a field twice"));
            }
            fields.next_value::<Self>()?;
            names.insert(name);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Result<&str, &str>) {
        let raw = serde_json::from_str::<Box<RawValue>>(json).expect("is JSON");
        match (exactly(&raw), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value.to_string(), expected),
            (Err(problem), Err(expected)) => assert!(problem.contains(expected), "{problem}"),
            (got, _) => panic!("{json}: {got:?}"),
        }
    }

    #[test]
    fn what_is_kept_is_read() {
        for json in ["0", "-1", "18446744073709551615", "-9223372036854775808", "1.5", "0.1", "0.0", "1e-7"] {
            check(json, Ok(json));
        }
        check(
            r#"{"a":["1e999 \" 99999999999999999999",{"\\":"2","b":null,"a":true}]}"#,
            Ok(r#"{"a":["1e999 \" 99999999999999999999",{"\\":"2","a":true,"b":null}]}"#),
        );
        check("[1.50,100.000]", Ok("[1.5,100.0]"));
    }

    #[test]
    fn what_would_be_lost_is_refused() {
        for number in [
            "12345678901234567890123",
            "18446744073709551616",
            "-9223372036854775809",
            "9007199254740993.0",
            "0.30000000000000000001",
            "1e-400",
        ] {
            check(&format!(r#"{{"pay":[{number}]}}"#), Err(number));
        }
        check(r#"{"a":1,"b":{"c":1,"\u0063":2}}"#, Err("a field twice"));
    }
}
