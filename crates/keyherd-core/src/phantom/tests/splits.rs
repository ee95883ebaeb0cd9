//! Every cut gives what the whole message gives, which is what the reference gives.

use std::sync::Arc;

use super::super::{Needle, Needles, hits};
use super::reference::{characters, expected};
use super::{Agent, Place, phantom, scanned, shown};
use crate::fakes::SeededEntropy;
use crate::ports::Entropy;
use crate::secret::Secret;

const PLACES: [Place; 6] = [Place::Header, Place::Path, Place::Query, Place::Form, Place::Json, Place::Text];

/// A message, whole, in every two pieces, byte by byte, and in every three of a short one.
fn check(agent: &Agent, place: Place, message: &[u8]) {
    let wanted = expected(agent, place, message);
    let told = |pieces: &[&[u8]]| {
        let out = scanned(&agent.table, place, pieces.iter().copied(), shown);
        assert!(
            out == wanted,
            "{place:?} in {} pieces\n {}\n gave\n {}\n for\n {}",
            pieces.len(),
            message.escape_ascii(),
            out.escape_ascii(),
            wanted.escape_ascii()
        );
    };
    told(&[message]);
    told(&message.chunks(1).collect::<Vec<_>>());
    for at in 0..=message.len() {
        let (one, two) = message.split_at(at);
        told(&[one, two]);
        if message.len() < 60 {
            (0..=two.len()).for_each(|at| told(&[one, &two[..at], &two[at..]]));
        }
    }
}

/// Every character as `%XX`.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

/// Every character as `\u00XX`.
fn unicode(text: &str) -> String {
    text.bytes().map(|byte| format!("\\u00{byte:02X}")).collect()
}

#[test]
fn phantoms_are_found_however_they_are_written() {
    let agent = Agent::new();
    let foreign = phantom("ghu_", 9);
    for phantom in agent.all().map(|(_, phantom)| phantom).chain([&foreign]) {
        let text = phantom.as_str();
        let (half, rest) = text.split_at(text.len() / 2);
        let spelled = [
            (PLACES.as_slice(), format!("Bearer {text}")),
            (&PLACES, text.to_owned()),
            (&PLACES, format!("{text}{text}")),
            (&PLACES, format!("a={text}&b=%2{text}%")),
            (&PLACES, format!(r#"{{"a":"\\{text}","b":"\u00{text}\"#)),
            (&[Place::Form, Place::Path, Place::Query], format!("a%20{}%2", percent(text))),
            (&[Place::Form], format!("{half}{}&c=%%{text}", percent(rest))),
            (&[Place::Json], format!(r#"["\n{}\"","\u00e9{half}{}"]"#, unicode(text), unicode(rest))),
        ];
        for (places, message) in spelled {
            places.iter().for_each(|place| check(&agent, *place, message.as_bytes()));
        }
    }
}

/// A phantom that was handed out under another profile stands for the same.
#[test]
fn former_looks_are_swapped_whole() {
    let agent = Agent::new();
    for phantom in [&agent.plain].into_iter().chain(&agent.former) {
        let message = format!("Bearer {}, {}", phantom.as_str(), phantom.as_str());
        let out = scanned(&agent.table, Place::Header, [message.as_bytes()], shown);
        assert_eq!(String::from_utf8(out).unwrap(), "Bearer <plain>, <plain>", "{message}");
    }
}

#[test]
fn what_only_begins_like_a_phantom_passes() {
    let agent = Agent::new();
    let (plain, jwt) = (agent.plain.as_str(), agent.jwt.as_str());
    for end in [1, 5, 8, 12, 20, plain.len() - 1] {
        check(&agent, Place::Text, &plain.as_bytes()[..end]);
        check(&agent, Place::Json, format!("{} {}", &plain[..end], &plain[end..]).as_bytes());
    }
    for end in [3, jwt.len() / 2, jwt.len() - 1] {
        check(&agent, Place::Text, format!("{}!", &jwt[..end]).as_bytes());
    }
    check(&agent, Place::Text, b"sk-ant-sk-ant-t-a2V5aHJka2V5aHJk");
    check(&agent, Place::Form, b"%a2V5aHJk0123456789012345678901234567");
    check(&agent, Place::Json, br"\u00a2V5aHJk0123456789012345678901234567");
    check(&agent, Place::Json, br"\\u0061\\\u0061\");
}

/// Messages put together at random from parts that are apt to confuse.
#[test]
fn random_messages_in_random_cuts() {
    let agent = Agent::new();
    let foreign = phantom("ghu_", 9);
    let texts: Vec<_> =
        agent.all().map(|(_, phantom)| phantom).chain([&foreign]).map(super::Phantom::as_str).collect();
    for seed in 0..300 {
        let dice = Dice(SeededEntropy::new(seed));
        let message: String = (0..dice.below(9)).map(|_| part(&dice, &texts)).collect();
        for place in PLACES {
            let wanted = expected(&agent, place, message.as_bytes());
            let mut pieces = Vec::new();
            let mut rest = message.as_bytes();
            while !rest.is_empty() {
                let (one, behind) = rest.split_at(rest.len().min(1 + dice.below(40)));
                pieces.push(one);
                rest = behind;
            }
            let out = scanned(&agent.table, place, pieces, shown);
            assert!(out == wanted, "seed {seed}, {place:?}: {message}");
        }
    }
}

struct Dice(SeededEntropy);

impl Dice {
    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.0.id()).unwrap() % bound
    }
}

/// A phantom, or a piece of one, spelled somehow; or what surrounds them.
fn part(dice: &Dice, texts: &[&str]) -> String {
    const NOISE: [&str; 16] = [
        "\\", "\\\\", "\\u00", "\\u0", "\\u", "%", "%a", "%2", "sk-", "t-", "a2V5", "aHJk", "é", "\"", "eyJ",
        "0",
    ];
    let text = texts[dice.below(texts.len())];
    let cut = &text[..dice.below(text.len() + 1)];
    match dice.below(9) {
        0 | 1 => text.to_owned(),
        2 => cut.to_owned(),
        3 => percent(text),
        4 => unicode(text),
        5 => format!("{cut}{}", percent(&text[cut.len()..])),
        6 => format!("{cut}{}", unicode(&text[cut.len()..])),
        _ => NOISE[dice.below(NOISE.len())].to_owned(),
    }
}

#[test]
fn little_is_kept_back() {
    let agent = Agent::new();
    let mut scanner = super::Scanner::new(Arc::clone(&agent.table), Place::Json);
    // An event of a stream passes on to its last byte.
    for event in ["{\"text\":\"Hello\"}\n", "data: {\"a\":[1,2,3]}\n\n", "{}"] {
        scanner.feed(event.into());
        assert_eq!(scanner.kept(), 0, "{event}");
    }
    let long = format!("{{\"t\":\"{}\"}}", unicode(agent.jwt.as_str()));
    for byte in long.repeat(20).bytes() {
        scanner.feed(vec![byte].into());
        assert!(scanner.kept() <= 6 * agent.jwt.as_str().len());
        while scanner.next_piece().is_some() {}
    }
}

/// These, which become their marks; and the same among many others.
fn needles(secrets: &[(&str, &str)]) -> [Arc<Needles>; 2] {
    let needle = |(text, mark): &(&str, &str)| Needle {
        secret: Secret::from(*text),
        instead: format!("<{mark}>").into(),
    };
    let others = (0..30).map(|number| needle(&(&format!("something-else-{number}"), "other")));
    let few = Needles::new(secrets.iter().map(needle));
    let many = Needles::new(secrets.iter().map(needle).chain(others));
    [Arc::new(few), Arc::new(many)]
}

fn marked(needles: &Arc<Needles>, place: Place, pieces: &[&[u8]]) -> Vec<u8> {
    scanned(needles, place, pieces.iter().copied(), |mark| mark.to_string())
}

#[test]
fn secrets_are_found_on_the_way_back() {
    // One that begins like another, one with what URLs and JSON escape, one that is too short to look for.
    let secrets =
        [("real-token", "one"), ("real-token-2/a+b=\"\\", "two"), ("short", "short"), ("%41bcdefgh", "odd")];
    let table: [(Place, &str, &str); 10] = [
        (Place::Text, "a real-token b", "a <one> b"),
        (Place::Text, r#"areal-token-2/a+b="\b"#, "a<two>b"),
        (Place::Text, "real-token-2/a+b= short", "<one>-2/a+b= short"),
        (Place::Text, "?t=real-token-2%2Fa%2Bb%3D%22%5C", "?t=<two>"),
        (Place::Header, "?t=real-token-2%2fa%2bb%3d%22%5c", "?t=<two>"),
        (Place::Json, r#"{"t":"real-token-2\/a\u002bb=\"\\"}"#, r#"{"t":"<two>"}"#),
        (
            Place::Json,
            r#"{"t":"real-token-2/a+b=\"\\","u":"\u0072eal-token"}"#,
            r#"{"t":"<two>","u":"<one>"}"#,
        ),
        (Place::Json, r#"["real-tok\u0065n","\real-token"]"#, r#"["<one>","\real-token"]"#),
        (Place::Form, "t=real-token-2%2fa%2Bb%3d%22%5C&u=real%2Dtoken", "t=<two>&u=<one>"),
        (Place::Form, "t=%41bcdefgh&u=%2541bcdefgh", "t=%41bcdefgh&u=<odd>"),
    ];
    for (place, message, wanted) in table {
        for at in 0..=message.len() {
            let (one, two) = message.as_bytes().split_at(at);
            for needles in needles(&secrets) {
                let out = marked(&needles, place, &[one, two]);
                assert_eq!(String::from_utf8(out).unwrap(), wanted, "cut at {at}");
            }
        }
    }
}

/// A hit that is final hides a place where, seen alone, another one might have begun.
#[test]
fn hits_that_hide_an_open_place_are_followed_by_others() {
    let secrets = [("12345678ab", "one"), ("ab12345678ab--", "two")];
    let message = b"12345678ab12345678ab12345678ab!";
    for at in 0..=message.len() {
        let (one, two) = message.split_at(at);
        for needles in needles(&secrets) {
            let out = marked(&needles, Place::Text, &[one, two]);
            assert_eq!(out, b"<one><one><one>!", "cut at {at}");
        }
    }
}

/// At each place the longest that stands there, written as plainly as can be.
fn plainly(secrets: &[String], text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let longest = secrets.iter().filter(|secret| rest.starts_with(*secret)).max_by_key(|one| one.len());
        out.push_str(&longest.map_or(first.to_string(), |secret| format!("<{secret}>")));
        rest = &rest[longest.map_or(1, String::len)..];
    }
    out
}

#[test]
fn any_secrets_are_found_in_any_text_in_any_pieces() {
    let dice = Dice(SeededEntropy::new(42));
    let word = |len: usize| -> String { (0..len).map(|_| ["a", "b"][dice.below(2)]).collect() };
    for _ in 0..400 {
        let secrets: Vec<String> = (0..=dice.below(12)).map(|_| word(8 + dice.below(40))).collect();
        let pairs: Vec<(&str, &str)> = secrets.iter().map(|secret| (&**secret, &**secret)).collect();
        let part = |_| match dice.below(2) {
            0 => word(dice.below(12)),
            _ => secrets[dice.below(secrets.len())].clone(),
        };
        let text: String = (0..10).map(part).collect();
        let (first, rest) = text.split_at(dice.below(text.len() + 1));
        let (second, third) = rest.split_at(dice.below(rest.len() + 1));
        let pieces = [first, second, third].map(str::as_bytes);
        for needles in needles(&pairs) {
            let wanted = plainly(&secrets, &text);
            assert_eq!(marked(&needles, Place::Text, &pieces), wanted.as_bytes(), "{pieces:?} {secrets:?}");
        }
    }
}

#[test]
fn secrets_are_found_in_utf16() {
    let wide = |text: &str, to: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(to).collect::<Vec<u8>>();
    let [few, _] = needles(&[("real-token", "one"), ("tokens-that-end", "two")]);
    let needles = Arc::new(few.in_utf16());
    for to in [u16::to_le_bytes, u16::to_be_bytes] {
        for text in ["real-token", "x real-token\u{e9}", "real-tokens-that-end real-token"] {
            let message = wide(text, to);
            let wanted = wide(&text.replace("real-token", "<one>"), to);
            for at in 0..=message.len() {
                let (one, two) = message.split_at(at);
                assert_eq!(marked(&needles, Place::Text, &[one, two]), wanted, "{text} cut at {at}");
            }
        }
    }
}

#[test]
fn what_stands_instead_is_known() {
    let [few, _] = needles(&[("real-token", "one"), ("short", "short")]);
    assert_eq!(few.instead_of("real-token").map(|mark| &**mark), Some("<one>"));
    for other in ["real-toke", "real-token-", "short", ""] {
        assert_eq!(few.instead_of(other), None, "{other}");
    }
    let none = Arc::new(Needles::new([]));
    assert_eq!(marked(&none, Place::Json, &[b"any", b"thing"]), b"anything");
}

#[test]
fn hits_of_a_whole_message_stand_where_they_stood() {
    let agent = Agent::new();
    let message = format!("/v1/{}/x?k={}", agent.plain.as_str(), percent(agent.bare.as_str()));
    let found = hits(&*agent.table, Place::Path, message.as_bytes());
    let spans: Vec<_> = found.iter().map(|hit| &message[hit.span.clone()]).collect();
    assert_eq!(spans, [agent.plain.as_str(), &percent(agent.bare.as_str())]);
}

#[test]
fn the_reference_reads_escapes() {
    let read = |place, text: &str| -> Vec<u8> {
        characters(place, text.as_bytes()).into_iter().map(|(byte, _)| byte).collect()
    };
    assert_eq!(read(Place::Form, "%41%4g%%42"), b"A%4g%B");
    assert_eq!(read(Place::Json, r"\u0041\/\\u0041\n\ug"), b"A/\\u0041\0\0g");
}
