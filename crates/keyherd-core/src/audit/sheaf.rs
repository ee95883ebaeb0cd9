//! Lines that came together, bound into one entry: what comes by the thousand costs no entry each.
//!
//! Owns the form in which an entry carries lines, and how it is read: to whoever reads the log they are entries like others,
//! each with its number and its time. Their place and their hash are those of the entry that carries them. Never decides
//! which store binds lines: one that gives a run of numbers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Actor, Entry, TextNote, push_json};
use crate::time::Timestamp;

/// What an entry does that carries lines. Its subject says how many.
const LINES: &str = "lines";
/// What a sheaf takes at first, in bytes.
const TEXT_LEN: usize = 4_096;

/// Lines, the first one first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sheaf {
    /// `{"lines":[["action","actor","subject",{…},milliseconds],…`
    text: String,
    lines: usize,
}

/// One of them: what it says, as [`TextNote`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// What was done.
    pub action: &'a str,
    /// By whom.
    pub actor: &'a str,
    /// To what.
    pub subject: &'a str,
    /// A JSON object's text.
    pub detail: &'a str,
}

/// A line as it is read.
#[derive(Deserialize)]
struct Read<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] &'a RawValue,
    i64,
);

#[derive(Deserialize)]
struct ReadAll<'a> {
    #[serde(borrow)]
    lines: Vec<Read<'a>>,
}

impl Sheaf {
    /// Lines that one entry carries at most: who reads one of them reads them all. Never made less: what was written stays.
    pub const LINES_MAX: usize = 64;
    /// Fewer are not worth it: each is an entry of its own.
    pub const LINES_MIN: usize = 8;

    /// One more line, that came at that time on the store's clock.
    pub fn push(&mut self, at: Timestamp, line: Line<'_>) {
        if self.lines == 0 {
            self.text.reserve(TEXT_LEN);
            self.text.push_str(r#"{"lines":["#);
        } else {
            self.text.push(',');
        }
        self.lines += 1;
        self.text.push('[');
        for part in [line.action, line.actor, line.subject] {
            push_json(&mut self.text, part);
            self.text.push(',');
        }
        self.text.push_str(line.detail);
        self.text.push(',');
        self.text.push_str(&at.as_millis().to_string());
        self.text.push(']');
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines == 0
    }

    /// Whether an entry is to carry them.
    pub fn is_worth_binding(&self) -> bool {
        (Self::LINES_MIN..=Self::LINES_MAX).contains(&self.lines)
    }

    /// Whether the next line wants another one.
    pub fn is_full(&self) -> bool {
        self.lines >= Self::LINES_MAX
    }

    /// The entry that carries them all.
    pub fn bound(&self) -> TextNote {
        TextNote {
            action: LINES.into(),
            actor: Actor::new("keyherd"),
            subject: self.lines.to_string().into(),
            detail: self.whole().into(),
            at: None,
        }
    }

    /// Each as an entry of its own.
    pub fn loose(&self) -> Vec<TextNote> {
        let whole = self.whole();
        let Some(read) = read(&whole) else { return vec![self.unreadable()] };
        let note = |Read(action, actor, subject, detail, at): Read<'_>| TextNote {
            action: action.into_owned().into(),
            actor: Actor::new(actor),
            subject: subject.into(),
            detail: detail.get().into(),
            at: Some(Timestamp::from_millis(at)),
        };
        read.into_iter().map(note).collect()
    }

    /// A detail was no JSON: nothing of it is lost.
    fn unreadable(&self) -> TextNote {
        let detail = serde_json::json!({"text": self.whole()}).to_string().into();
        TextNote { action: "lines.unreadable".into(), detail, ..self.bound() }
    }

    fn whole(&self) -> String {
        if self.lines == 0 { r#"{"lines":[]}"#.to_owned() } else { [&self.text, "]}"].concat() }
    }
}

fn read(text: &str) -> Option<Vec<Read<'_>>> {
    serde_json::from_str::<ReadAll<'_>>(text).ok().map(|read| read.lines)
}

impl Entry {
    /// How many entries of the log it stands for: the last of them has its number.
    pub fn count(&self) -> u64 {
        let lines = if self.action == LINES { self.subject.parse().ok() } else { None };
        lines.filter(|lines| (1..=Sheaf::LINES_MAX as u64).contains(lines)).unwrap_or(1)
    }

    /// The first number that it stands for.
    pub fn first(&self) -> i64 {
        self.seq.saturating_sub_unsigned(self.count() - 1)
    }

    /// The entries that it stands for, as whoever reads the log sees them. One whose text is none of ours stays as it is.
    pub fn unbound(self) -> Vec<Self> {
        if self.action != LINES {
            return vec![self];
        }
        let lines = read(&self.detail).filter(|lines| lines.len() as u64 == self.count());
        let Some(lines) = lines else { return vec![self] };
        let entry = |(seq, Read(action, actor, subject, detail, at)): (i64, Read<'_>)| Self {
            seq,
            chain: self.chain,
            place: self.place,
            at: Timestamp::from_millis(at),
            action: action.into_owned(),
            actor: actor.into_owned(),
            subject: subject.into_owned(),
            detail: detail.get().to_owned(),
            anchors: None,
            hash: self.hash,
        };
        (0..).map(|more| self.first().saturating_add(more)).zip(lines).map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OwnerId;

    const AT: Timestamp = Timestamp::from_millis(-3);

    fn line<'a>(subject: &'a str, detail: &'a str) -> Line<'a> {
        Line { action: "proxy.request", actor: "agent:robot", subject, detail }
    }

    fn entry(seq: i64, note: TextNote) -> Entry {
        Entry {
            seq,
            chain: OwnerId::from_i64(1),
            place: 7,
            at: Timestamp::from_millis(5),
            action: note.action.into_owned(),
            actor: note.actor.0.as_ref().to_owned(),
            subject: note.subject.as_ref().to_owned(),
            detail: note.detail.as_ref().to_owned(),
            anchors: None,
            hash: [9; 32],
        }
    }

    #[test]
    fn lines_are_read_as_they_were_written() {
        let odd = "a\"b\\c\u{7}\u{e9}\u{2028} {}[],";
        let details = ["{}", r#"{"path":"/\"\\","status":200,"n":[{"z":1,"a":2}]}"#, r#"{"b":1,"a":1.50}"#];
        let lines: Vec<_> = [odd, "", "https://api.example"].into_iter().zip(details).collect();
        let mut sheaf = Sheaf::default();
        lines.iter().for_each(|(subject, detail)| sheaf.push(AT, line(subject, detail)));
        assert_eq!((sheaf.len(), sheaf.is_full()), (3, false));
        let bound = entry(12, sheaf.bound());
        assert!(serde_json::from_str::<serde_json::Value>(&bound.detail).unwrap().is_object());
        assert_eq!((bound.count(), bound.first()), (3, 10));
        let unbound = bound.unbound();
        assert_eq!(unbound.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [10, 11, 12]);
        let loose = sheaf.loose();
        for ((entry, note), (subject, detail)) in unbound.iter().zip(&loose).zip(&lines) {
            assert_eq!((entry.action.as_str(), entry.actor.as_str()), ("proxy.request", "agent:robot"));
            assert_eq!((entry.subject.as_str(), entry.detail.as_str()), (*subject, *detail));
            assert_eq!((entry.place, entry.at, entry.hash), (7, AT, [9; 32]));
            assert_eq!(note.at, Some(entry.at));
            let of_note =
                (note.action.as_ref(), note.actor.0.as_ref(), note.subject.as_ref(), note.detail.as_ref());
            assert_eq!(of_note, ("proxy.request", "agent:robot", *subject, *detail));
        }
        assert_eq!((unbound.len(), loose.len()), (3, 3));
    }

    #[test]
    fn what_is_no_json_is_not_lost() {
        let mut sheaf = Sheaf::default();
        sheaf.push(AT, line("s", "{\"a\":"));
        let loose = sheaf.loose();
        assert!(loose.len() == 1 && loose[0].detail.contains(r#"[\"proxy.request\""#), "{loose:?}");
        assert_eq!(entry(1, loose[0].clone()).count(), 1);
    }

    #[test]
    fn none_is_nothing() {
        assert_eq!((Sheaf::default().loose(), Sheaf::default().is_empty()), (vec![], true));
    }

    #[test]
    fn what_carries_no_lines_of_ours_stands_for_itself() {
        let mut sheaf = Sheaf::default();
        (0..3).for_each(|_| sheaf.push(AT, line("s", "{}")));
        let bound = sheaf.bound();
        let plain = TextNote { action: "refresh".into(), ..bound.clone() };
        let more = TextNote { subject: "4".into(), ..bound.clone() };
        let damaged = TextNote { detail: "{\"lines\":[".into(), ..bound };
        for note in [plain, more, damaged] {
            let entry = entry(12, note);
            assert_eq!(entry.clone().unbound(), [entry]);
        }
    }

    #[test]
    fn a_count_that_no_sheaf_has_is_none() {
        for (subject, count) in
            [("64", 64), ("65", 1), ("0", 1), ("-3", 1), ("x", 1), ("18446744073709551615", 1)]
        {
            let mut entry = entry(1, Sheaf::default().bound());
            entry.subject = subject.to_owned();
            assert_eq!(
                (entry.count(), entry.first()),
                (count, 2 - i64::try_from(count).unwrap()),
                "{subject}"
            );
        }
    }
}
