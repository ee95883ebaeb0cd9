//! How numbers are read from the configuration file: durations with their unit, counts, sizes; each within its bounds.
//!
//! Refuses what no installation can mean (zero, negative, years) where it stands, so that the error has its line.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use super::proxy::OFF;

/// A duration written as seconds, whole or with a decimal fraction; bounds in milliseconds.
pub(super) fn seconds<'de, D, const MIN_MS: u64, const MAX_MS: u64>(from: D) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    duration::<D, MIN_MS, MAX_MS>(from, 1_000)
}

/// A duration written as milliseconds; bounds in milliseconds.
pub(super) fn milliseconds<'de, D, const MIN_MS: u64, const MAX_MS: u64>(
    from: D,
) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    duration::<D, MIN_MS, MAX_MS>(from, 1)
}

/// A whole number within bounds.
pub(super) fn count<'de, D, T, const MIN: u64, const MAX: u64>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    counted::<_, _, MIN, MAX>(u64::deserialize(from)?)
}

fn counted<E: Error, T: TryFrom<u64>, const MIN: u64, const MAX: u64>(number: u64) -> Result<T, E> {
    match T::try_from(number) {
        Ok(fits) if (MIN..=MAX).contains(&number) => Ok(fits),
        _ => Err(E::custom(format!("{number} is out of bounds: use {MIN} to {MAX}"))),
    }
}

/// As [`seconds`], or the word `off`.
pub(super) fn seconds_or_off<'de, D, const MIN_MS: u64, const MAX_MS: u64>(
    from: D,
) -> Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    match from.deserialize_any(OrOff)? {
        Figure::Off => Ok(None),
        Figure::Whole(number) => within::<_, MIN_MS, MAX_MS>(Decimal.visit_i64(number)?, 1_000).map(Some),
        Figure::Fraction(number) => within::<_, MIN_MS, MAX_MS>(number, 1_000).map(Some),
    }
}

/// As [`count`], or the word `off`.
pub(super) fn count_or_off<'de, D, const MIN: u64, const MAX: u64>(from: D) -> Result<Option<u64>, D::Error>
where
    D: Deserializer<'de>,
{
    match from.deserialize_any(OrOff)? {
        Figure::Off => Ok(None),
        Figure::Whole(number) => counted::<_, _, MIN, MAX>(u64::try_from(number).unwrap_or(0)).map(Some),
        Figure::Fraction(number) => Err(D::Error::custom(format!("{number} is no whole number"))),
    }
}

fn duration<'de, D, const MIN_MS: u64, const MAX_MS: u64>(from: D, unit_ms: u32) -> Result<Duration, D::Error>
where
    D: Deserializer<'de>,
{
    within::<_, MIN_MS, MAX_MS>(from.deserialize_any(Decimal)?, unit_ms)
}

fn within<E: Error, const MIN_MS: u64, const MAX_MS: u64>(units: f64, unit_ms: u32) -> Result<Duration, E> {
    let milliseconds = units * f64::from(unit_ms);
    let (min, max) = (Duration::from_millis(MIN_MS), Duration::from_millis(MAX_MS));
    let read = Duration::try_from_secs_f64(milliseconds / 1_000.0).ok();
    match read.filter(|duration| (min..=max).contains(duration)) {
        Some(duration) => Ok(duration),
        None => {
            let in_units = |bound: Duration| bound.as_secs_f64() * 1_000.0 / f64::from(unit_ms);
            let (min, max) = (in_units(min), in_units(max));
            Err(E::custom(format!("{units} is out of bounds: use {min} to {max}")))
        }
    }
}

/// A number with or without a fraction.
struct Decimal;

impl Visitor<'_> for Decimal {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        Ok(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        // Beyond 2^53 it is out of every bound anyway.
        i32::try_from(number).map(f64::from).map_err(|_| E::custom(format!("{number} is out of bounds")))
    }
}

/// What stands where a bound may be left out.
enum Figure {
    Off,
    Whole(i64),
    Fraction(f64),
}

/// A number, or the word `off`.
struct OrOff;

impl Visitor<'_> for OrOff {
    type Value = Figure;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or \"off\"")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Figure, E> {
        match word {
            OFF => Ok(Figure::Off),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Figure, E> {
        Ok(Figure::Fraction(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Figure, E> {
        Ok(Figure::Whole(number))
    }
}
