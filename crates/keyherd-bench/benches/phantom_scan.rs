//! How fast is a body looked through for phantoms, and for real secrets on the way back?
//!
//! Baseline: one `memchr` pass for a byte that is not there, over the same chunks: what looking at every byte costs at
//! least. Beside it, for choosing: `aho-corasick` over the agent's own phantoms, without the marker, and without any
//! escapes being read.

use std::hint::black_box;
use std::sync::Arc;

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use keyherd_bench::figures::spread;
use keyherd_bench::{Arguments, Outcome, Report, Row, Stopwatch, ratio};
use keyherd_core::fakes::{SeededEntropy, WordSigner};
use keyherd_core::ids::Name;
use keyherd_core::phantom::{Claims, Needle, Needles, Phantom, Place, Scanner, Seek, Shape, Table, mint};
use keyherd_core::ports::Entropy;
use keyherd_core::secret::Secret;
use keyherd_core::time::Timestamp;

/// As hyper hands bodies on.
const CHUNK: usize = 16 * 1_024;
const MIB: usize = 1_024 * 1_024;

fn main() -> Outcome {
    let arguments = Arguments::of_process();
    let rounds = arguments.number("rounds", arguments.size(2, 15))?;
    let size = MIB * arguments.number("mib", arguments.size(4, 64))?;
    let sides = Sides::new(arguments.number("phantoms", 4)?)?;
    let mut report = Report::begin("phantom_scan: bodies looked through in chunks of 16 KiB, one thread");
    for (what, place, unit) in bodies() {
        let chunks = chunks(&unit, size);
        let mut figures = [(); 4].map(|()| Vec::new());
        for _ in 0..rounds {
            for (list, rate) in figures.iter_mut().zip(sides.measure(place, &chunks, size)) {
                list.push(rate);
            }
        }
        let [bare, ours, back, automaton] = figures.map(|rates| spread(&rates).1);
        let line = |question: String, rate: f64| {
            Row::new(question).ours(gigabytes(rate)).baseline(gigabytes(bare)).ratio(ratio(rate, bare))
        };
        report.row(line(format!("{what}: phantoms"), ours).aim(">= 1 GB/s", ours >= 1e9));
        report.row(line(format!("{what}: secrets, on the way back"), back));
        report.row(line(format!("{what}: aho-corasick over the phantoms alone"), automaton));
    }
    report.note(format!("The fastest of {rounds} rounds, alternating. Nothing is found in these bodies."));
    report.print();
    Ok(())
}

/// Typical bodies: a unit that is repeated.
fn bodies() -> [(&'static str, Place, Vec<u8>); 4] {
    let entropy = SeededEntropy::new(7);
    let base64: String =
        (0..60_000).map(|_| char::from(b'A' + u8::try_from(entropy.id() % 26).unwrap_or(0))).collect();
    let chat = r#"{"role":"user","content":"Look at the code:\n\n```rust\nlet a = \"b\";\n\tprintln!(\"{a}\");\n```\nand at caf\u00e9, naïve \u2014 what does it do?"},"#;
    let form =
        "grant=refresh&redirect=https%3A%2F%2Fexample.com%2Fback%3Fa%3Db%26c%3Dd&text=some+words+here&";
    [
        ("plain text", Place::Text, b"The quick brown fox jumps over the lazy dog. ".repeat(100)),
        ("JSON, an image in it", Place::Json, format!(r#"{{"image":"{base64}"}}"#).into_bytes()),
        ("JSON, a chat with escapes", Place::Json, chat.as_bytes().repeat(50)),
        ("form, every third field escaped", Place::Form, form.as_bytes().repeat(50)),
    ]
}

fn chunks(unit: &[u8], size: usize) -> Vec<Bytes> {
    let body: Bytes = unit.iter().copied().cycle().take(size.min(8 * MIB)).collect();
    let whole: Vec<_> =
        (0..body.len()).step_by(CHUNK).map(|at| body.slice(at..body.len().min(at + CHUNK))).collect();
    whole.iter().cycle().take(size / CHUNK).cloned().collect()
}

struct Sides {
    table: Arc<Table>,
    needles: Arc<Needles>,
    automaton: AhoCorasick,
}

impl Sides {
    fn new(count: u64) -> Outcome<Self> {
        let prefixes = ["sk-ant-oat01-", "ghu_", "xoxb-", "eyJ"];
        let held: Vec<(Phantom, Name)> = (0..count)
            .zip(prefixes.iter().cycle())
            .map(|(seed, prefix)| {
                let claims = Claims { issued_at: Timestamp::default(), expires_at: Timestamp::NEVER };
                let made = mint(&Shape::of_prefix(prefix)?, claims, &SeededEntropy::new(seed), &WordSigner)?;
                Ok((made, Name::parse(&format!("account-{seed}"))?))
            })
            .collect::<Outcome<_>>()?;
        let random = Random(SeededEntropy::new(99));
        let needles = held.iter().map(|(phantom, name)| {
            // As long as the phantom, and as random.
            let text: String = random.text(phantom.as_str().len() - phantom.lead().len());
            Needle { secret: Secret::new([phantom.lead(), &text].concat()), instead: name.as_str().into() }
        });
        Ok(Self {
            needles: Arc::new(Needles::new(needles)),
            automaton: AhoCorasick::new(held.iter().map(|(phantom, _)| phantom.as_str()))?,
            table: Arc::new(Table::new(held, prefixes)),
        })
    }

    /// Bytes a second: bare, phantoms, secrets, the automaton alone.
    fn measure(&self, place: Place, chunks: &[Bytes], size: usize) -> [f64; 4] {
        [
            rate(size, || chunks.iter().filter(|chunk| memchr::memchr(0, chunk).is_some()).count()),
            rate(size, || scan(&self.table, place, chunks)),
            rate(size, || scan(&self.needles, place, chunks)),
            rate(size, || chunks.iter().filter(|chunk| self.automaton.is_match(&chunk[..])).count()),
        ]
    }
}

fn scan<S: Seek>(seek: &Arc<S>, place: Place, chunks: &[Bytes]) -> usize {
    let mut scanner = Scanner::new(Arc::clone(seek), place);
    let mut pieces = 0;
    for chunk in chunks {
        scanner.feed(chunk.clone());
        while let Some(piece) = scanner.next_piece() {
            black_box(&piece);
            pieces += 1;
        }
    }
    scanner.finish();
    pieces
}

fn rate(size: usize, work: impl Fn() -> usize) -> f64 {
    let watch = Stopwatch::start();
    black_box(work());
    f64::from(u32::try_from(size).unwrap_or(u32::MAX)) / watch.elapsed().as_secs_f64()
}

/// Letters and digits.
struct Random(SeededEntropy);

impl Random {
    fn text(&self, len: usize) -> String {
        const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let draw =
            || ALPHABET.get(usize::try_from(self.0.id() % 62).unwrap_or(0)).map(|byte| char::from(*byte));
        (0..len).filter_map(|_| draw()).collect()
    }
}

fn gigabytes(rate: f64) -> String {
    format!("{:.2} GB/s", rate / 1e9)
}
