//! What is drawn rather than written: a token's life, shares of a whole, counts over time. SVG by attributes alone.

use maud::{Markup, html};

use super::words;

/// Width of every drawing in its own units.
const WIDTH: f64 = 300.0;
/// What remains of a life when it is called short.
const SHORT: f64 = 0.15;

/// A life from `from` to `until`: what is over, what remains, and now. Times in milliseconds.
pub(super) fn timeline(from: i64, until: i64, now: i64, label: &str) -> Markup {
    let at = share(from, until, now) * WIDTH;
    let left = 1.0 - at / WIDTH;
    let tone = if left <= 0.0 {
        "over"
    } else if left < SHORT {
        "short"
    } else {
        "left"
    };
    // What is over is drawn whole: nothing of it remains to be drawn.
    let x = if left <= 0.0 { 0.0 } else { at };
    html! {
        svg.timeline viewBox="0 0 300 10" preserveAspectRatio="none" role="img" aria-label=(label) {
            rect.track x="0" y="3" width="300" height="4" rx="2" {}
            rect.(tone) x=(x) y="3" width=(WIDTH - x) height="4" rx="2" {}
            rect.now x=(at.clamp(1.0, WIDTH - 2.0) - 1.0) y="0" width="3" height="10" rx="1.5" {}
        }
    }
}

/// How much of a time is over, 0 to 1.
fn share(from: i64, until: i64, now: i64) -> f64 {
    let (whole, passed) = (until.saturating_sub(from), now.saturating_sub(from));
    if whole <= 0 { 1.0 } else { (float(passed) / float(whole)).clamp(0.0, 1.0) }
}

/// Shares of a whole, side by side, with their names below.
pub(super) fn shares(parts: &[(String, u64)]) -> Markup {
    let whole: u64 = parts.iter().map(|(_, count)| count).sum();
    let mut at = 0.0;
    let drawn: Vec<_> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| {
            let (x, width) = (at, unsigned(*count) / unsigned(whole.max(1)) * WIDTH);
            at += width;
            (name, *count, x, width)
        })
        .collect();
    html! {
        svg.shares viewBox="0 0 300 12" preserveAspectRatio="none" role="img" aria-label="Credentials by state" {
            rect.track x="0" y="0" width="300" height="12" {}
            @for (name, _, x, width) in &drawn {
                rect.(words::tone(name)) x=(x) y="0" width=((width - 1.0).max(1.0)) height="12" {}
            }
        }
        ul.legend {
            @for (name, count, ..) in &drawn {
                li { span.dot.(words::tone(name)) {} b { (words::count(*count)) } " " (name.replace('_', " ")) }
            }
            @if drawn.is_empty() { li.muted { "none yet" } }
        }
    }
}

/// Counts over time, the newest at the right.
pub(super) fn bars(counts: &[u64], label: &str) -> Markup {
    let max = counts.iter().copied().max().unwrap_or(0).max(1);
    let step = WIDTH / unsigned(counts.len().max(1) as u64);
    html! {
        svg.bars viewBox="0 0 300 64" preserveAspectRatio="none" role="img" aria-label=(label) {
            line.rule x1="0" x2="300" y1="63.5" y2="63.5" {}
            @for (at, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
                @let height = (unsigned(*count) / unsigned(max) * 58.0).max(2.0);
                rect x=(unsigned(at as u64) * step) y=(63.0 - height) width=((step - 1.5).max(0.5)) height=(height) rx="1" {}
            }
        }
    }
}

fn unsigned(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Milliseconds as seconds: nobody sees the difference.
fn float(millis: i64) -> f64 {
    f64::from(i32::try_from(millis / 1_000).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_drawn_to_its_end() {
        let check = |now, class: &str, x: &str| {
            let text = timeline(0, 100_000, now, "token").into_string();
            assert!(text.contains(&format!("<rect class=\"{class}\" x=\"{x}\"")), "{text}");
        };
        check(-5_000, "left", "0");
        check(50_000, "left", "150");
        check(90_000, "short", "270");
        check(100_000, "over", "0");
        check(500_000, "over", "0");
        assert!(timeline(7, 7, 7, "none").into_string().contains("over"));
    }

    #[test]
    fn counts_are_drawn_beside_each_other() {
        let text = bars(&[0, 5, 10], "calls").into_string();
        assert_eq!(text.matches("<rect").count(), 2, "{text}");
        assert!(text.contains("height=\"58\"") && text.contains("height=\"29\""), "{text}");
        let text =
            shares(&[("active".into(), 3), ("cooling".into(), 1), ("blocked".into(), 0)]).into_string();
        assert_eq!(text.matches("<rect").count(), 3, "{text}");
        assert!(text.contains("width=\"224\""), "{text}");
    }
}
