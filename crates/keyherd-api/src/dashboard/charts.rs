//! The three charts of what this server did of late.

use maud::{Markup, html};

use super::samples::{Charted, Series};
use super::{draw, words};

/// All three, side by side.
pub(super) fn charts(charted: &Charted) -> Markup {
    html! {
        section #charts .charts data-live="5000" aria-label="The last 15 minutes of this server" {
            (chart("Refreshes saved", "callers who joined another's refresh", &charted.joined))
            (chart("Provider calls", "refreshes that reached a provider", &charted.calls))
            (chart("Proxy traffic", "requests to upstreams", &charted.requests))
        }
    }
}

fn chart(title: &str, meaning: &str, series: &Series) -> Markup {
    let lately: u64 = series.bars.iter().sum();
    let label = format!("{title}: {} in the last 15 minutes", words::count(lately));
    html! {
        .card.chart {
            h3 { (title) }
            p.big { (words::count(series.total)) }
            p.muted.small { (meaning) }
            (draw::bars(&series.bars, &label))
            p.axis.muted.small { span { "15 min ago" } span { (words::count(lately)) " since then" } span { "now" } }
        }
    }
}
