//! What the scanner must do, written as plainly as can be: the whole message, one character after another.

use super::super::place::{Escapes, Unit};
use super::super::shape::{KEY_LEN, MARKER};
use super::{Agent, Found, Place, name, shown};

/// A message's characters: what each means, and its raw bytes.
pub(super) fn characters(place: Place, message: &[u8]) -> Vec<(u8, &[u8])> {
    let escapes = place.escapes();
    let (mut characters, mut rest) = (Vec::new(), message);
    while let Some(first) = rest.first() {
        let (byte, len) = match escapes.intro() {
            Some(intro) if intro == *first && escapes != Escapes::None => match escapes.unit(rest) {
                Unit::Whole(byte, len) => (byte, len),
                // An escape that the message's end cuts means nothing.
                Unit::Cut => (0, rest.len()),
            },
            _ => (*first, 1),
        };
        characters.push((byte, &rest[..len]));
        rest = &rest[len..];
    }
    characters
}

/// The message with the agent's phantoms shown.
pub(super) fn expected(agent: &Agent, place: Place, message: &[u8]) -> Vec<u8> {
    let all = characters(place, message);
    let text: Vec<u8> = all.iter().map(|(byte, _)| *byte).collect();
    let (mut out, mut done, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        match at_marker(agent, &text, done, at) {
            None => at += 1,
            Some((from, to, found)) => {
                all[done..from].iter().for_each(|(_, raw)| out.extend_from_slice(raw));
                out.extend_from_slice(shown(&found).as_bytes());
                (done, at) = (to, to);
            }
        }
    }
    all[done..].iter().for_each(|(_, raw)| out.extend_from_slice(raw));
    out
}

/// The phantom whose marker stands at that character.
fn at_marker(agent: &Agent, text: &[u8], done: usize, at: usize) -> Option<(usize, usize, Found)> {
    let key_at = at + MARKER.len();
    let core_end = key_at + KEY_LEN;
    let key = text.get(key_at..core_end)?;
    if !text[at..].starts_with(MARKER.as_bytes()) || !key.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let own = agent.all().filter_map(|(name, phantom)| {
        let from = at.checked_sub(phantom.lead().len()).filter(|from| *from >= done)?;
        text[from..].starts_with(phantom.as_str().as_bytes()).then_some((from, phantom, name))
    });
    // Of the looks that stand there, the one that begins first.
    let own = own.min_by_key(|(from, _, _)| *from);
    if let Some((from, phantom, text)) = own {
        return Some((from, from + phantom.as_str().len(), Found::Own(name(text))));
    }
    let leads = agent.all().map(|(_, phantom)| phantom.lead()).chain(["ghu_"]);
    let lead = leads.filter(|lead| text[done..at].ends_with(lead.as_bytes())).map(str::len).max();
    Some((at - lead.unwrap_or(0), core_end, Found::Foreign))
}
