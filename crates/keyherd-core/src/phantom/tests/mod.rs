//! The scanner against a reference that reads whole messages character by character; every message in every cut.

mod minting;
mod places;
mod reference;
mod splits;

use std::sync::Arc;

use super::{Claims, Found, Phantom, Piece, Place, Scanner, Seek, Shape, Table, mint};
use crate::fakes::{SeededEntropy, WordSigner};
use crate::ids::Name;
use crate::time::Timestamp;

pub(super) const CLAIMS: Claims = Claims {
    issued_at: Timestamp::from_millis(1_700_000_000_000),
    expires_at: Timestamp::from_millis(2_000_000_000_000),
};

pub(super) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// One phantom of that shape, by its seed.
pub(super) fn phantom(prefix: &str, seed: u64) -> Phantom {
    mint(&Shape::of_prefix(prefix).unwrap(), CLAIMS, &SeededEntropy::new(seed), &WordSigner).unwrap()
}

/// An agent's phantoms: three plain ones, one of them with a lead that another one's ends with, and a JWT; and what the first
/// looked like under other profiles.
pub(super) struct Agent {
    pub(super) plain: Phantom,
    pub(super) former: [Phantom; 3],
    pub(super) bare: Phantom,
    pub(super) tight: Phantom,
    pub(super) jwt: Phantom,
    pub(super) table: Arc<Table>,
}

impl Agent {
    pub(super) fn new() -> Self {
        let (plain, bare) = (phantom("sk-ant-", 1), phantom("", 2));
        let (tight, jwt) = (phantom("t-", 3), phantom("eyJ", 4));
        let former = ["", "old-", "eyJ"].map(|prefix| phantom(prefix, 1));
        let mut agent = Self { plain, former, bare, tight, jwt, table: Arc::new(Table::new([], [])) };
        let all = agent.all().map(|(text, phantom)| (phantom.clone(), name(text)));
        agent.table = Arc::new(Table::new(all.collect::<Vec<_>>(), ["ghu_"]));
        agent
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Phantom)> {
        let current =
            [("plain", &self.plain), ("bare", &self.bare), ("tight", &self.tight), ("jwt", &self.jwt)];
        current.into_iter().chain(self.former.iter().map(|phantom| ("plain", phantom)))
    }
}

/// What a test puts in the place of a hit.
pub(super) fn shown(found: &Found) -> String {
    match found {
        Found::Own(name) => format!("<{name}>"),
        Found::Foreign => "<>".to_owned(),
    }
}

/// The message with hits shown, fed in these pieces.
pub(super) fn scanned<'m, S: Seek>(
    seek: &Arc<S>,
    place: Place,
    pieces: impl IntoIterator<Item = &'m [u8]>,
    show: impl Fn(&S::What) -> String,
) -> Vec<u8> {
    let (mut scanner, mut out) = (Scanner::new(Arc::clone(seek), place), Vec::new());
    let mut drain = |scanner: &mut Scanner<S>| {
        while let Some(piece) = scanner.next_piece() {
            match piece {
                Piece::Plain(bytes) => out.extend_from_slice(&bytes),
                Piece::Hit(what) => out.extend_from_slice(show(&what).as_bytes()),
            }
        }
    };
    for piece in pieces {
        scanner.feed(bytes::Bytes::copy_from_slice(piece));
        drain(&mut scanner);
    }
    scanner.finish();
    drain(&mut scanner);
    out
}
