//! Questions as people read them: bounded, and without what would make a text look like another one.

use keyherd_core::approval::{Approval, Asked};
use keyherd_core::time::Timestamp;

/// How much of a question from outside a person is shown in a chat, in characters.
pub const QUESTION_SHOWN_MAX: usize = 2_000;
/// How much of a path is shown, in characters.
pub const TARGET_SHOWN_MAX: usize = 1_000;
/// Of a key.
const KEY_SHOWN_MAX: usize = 200;

/// Who asks for what, in lines.
pub(super) fn question(approval: &Approval) -> String {
    let agent = &approval.question.agent;
    match &approval.question.asked {
        Asked::Target { host, port, method, path } => {
            let method =
                method.as_deref().map_or_else(String::new, |method| format!("{} ", plain(method, 32)));
            let path = path.as_deref().map_or_else(String::new, |path| plain(path, TARGET_SHOWN_MAX));
            format!("'{agent}' asks for permission:\n\n{method}{}:{port}{path}", plain(host, 300))
        }
        Asked::Outside { key, text } => {
            let key =
                key.as_deref().map_or_else(String::new, |key| format!("\n\n{}", plain(key, KEY_SHOWN_MAX)));
            format!("'{agent}' asks for permission:{key}\n\n{}", plain(text, QUESTION_SHOWN_MAX))
        }
    }
}

/// A text in one line, no longer than that: what is left out is said. Controls and marks that turn the direction of
/// writing are left out.
pub(super) fn plain(text: &str, chars_max: usize) -> String {
    let is_turning = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}');
    let mut shown = String::new();
    for (count, c) in text.chars().filter(|c| !c.is_control() && !is_turning(*c)).enumerate() {
        if count == chars_max {
            shown.push_str(" […]");
            break;
        }
        shown.push(c);
    }
    shown
}

/// RFC 3339, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.as_millis()).unwrap_or(jiff::Timestamp::MAX);
    if at.subsec_millisecond() == 0 { format!("{at:.0}") } else { format!("{at:.3}") }
}
