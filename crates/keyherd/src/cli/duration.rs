//! Durations as people write and read them: `10m`, `1h30m`, `45s`.

use std::time::Duration;

/// Reads numbers with units (`ms`, `s`, `m`, `h`, `d`), added up.
pub(super) fn parse(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is no duration: write it as in 90s, 10m, 1h30m or 2d");
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let number: u64 = rest.get(..digits).and_then(|digits| digits.parse().ok()).ok_or_else(bad)?;
        let after = rest.get(digits..).unwrap_or_default();
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let unit = milliseconds(after.get(..unit_len).unwrap_or_default()).ok_or_else(bad)?;
        let part = number.checked_mul(unit).map(Duration::from_millis).ok_or_else(bad)?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = after.get(unit_len..).unwrap_or_default();
    }
    if total.is_zero() { Err(bad()) } else { Ok(total) }
}

/// The two largest units, for people: `2d 3h`, `4m 10s`, `350ms`.
pub(super) fn brief(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    let two = |big: u64, unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big}{unit}"),
        _ => format!("{big}{unit} {small}{small_unit}"),
    };
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{seconds}s"),
        60..3_600 => two(minutes, "m", seconds % 60, "s"),
        3_600..86_400 => two(hours, "h", minutes, "m"),
        _ => two(days, "d", hours, "h"),
    }
}

fn milliseconds(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, milliseconds: Option<u64>) {
        assert_eq!(parse(text).ok(), milliseconds.map(Duration::from_millis), "{text}");
    }

    #[test]
    fn durations_are_read() {
        check("10m", Some(600_000));
        check("1h30m", Some(5_400_000));
        check("2d", Some(172_800_000));
        check("250ms", Some(250));
        for bad in
            ["", "10", "m", "0s", "-1s", "1.5h", "1y", "10 m", "99999999999999999999s", "9999999999999999d"]
        {
            check(bad, None);
        }
    }

    #[test]
    fn durations_are_shown() {
        let shown = |seconds| brief(Duration::from_secs(seconds));
        assert_eq!(
            [shown(0), shown(59), shown(60), shown(3_725), shown(90_000)],
            ["0ms", "59s", "1m", "1h 2m", "1d 1h"]
        );
    }
}
