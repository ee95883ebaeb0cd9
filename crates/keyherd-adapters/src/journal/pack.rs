//! Several documents in one file, which has a name for each: one fsync keeps them all.
//!
//! Owns the file's form: a mark, how many there are, then of each the spent token's hash, where it begins and how long it
//! is (4 bytes each, big-endian), then the documents. A file without the mark is one document. Never looks into a document.

use std::ops::Range;

use keyherd_core::secret::TokenHash;

/// What such a file begins with. No document does: it would be of a chain that has these bytes as its id.
const MARK: [u8; 8] = *b"\xffkhpack\x01";

const COUNT_AT: usize = MARK.len();
const PLACES_AT: usize = COUNT_AT + 4;
const PLACE_LEN: usize = 32 + 4 + 4;

/// The most documents in a file.
pub(super) const PACK_MAX: usize = 64;

/// Where all places end in a file of as many as there may be.
pub(super) const PLACES_END_MAX: usize = PLACES_AT + PACK_MAX * PLACE_LEN;

/// `None`: they are too long together.
pub(super) fn packed<'a>(
    documents: impl ExactSizeIterator<Item = (&'a TokenHash, &'a [u8])> + Clone,
) -> Option<Vec<u8>> {
    let begin = PLACES_AT + documents.len() * PLACE_LEN;
    let len = documents.clone().try_fold(begin, |len, (_, document)| len.checked_add(document.len()))?;
    let mut file = Vec::with_capacity(len);
    file.extend(MARK);
    file.extend(u32::try_from(documents.len()).ok()?.to_be_bytes());
    let mut at = begin;
    for (spent, document) in documents.clone() {
        file.extend(spent.as_bytes());
        file.extend(u32::try_from(at).ok()?.to_be_bytes());
        file.extend(u32::try_from(document.len()).ok()?.to_be_bytes());
        at += document.len();
    }
    documents.for_each(|(_, document)| file.extend(document));
    Some(file)
}

/// Where a token's document is in a file that begins so. `None`: the file is cut off, or has none for it. What lies there
/// may be cut off all the same.
pub(super) fn place_of(beginning: &[u8], spent: &TokenHash) -> Option<Range<usize>> {
    let Some(rest) = beginning.strip_prefix(&MARK) else { return Some(0..usize::MAX) };
    let (count, places) = rest.split_first_chunk()?;
    let count = usize::try_from(u32::from_be_bytes(*count)).ok().filter(|count| *count <= PACK_MAX)?;
    let place =
        places.chunks_exact(PLACE_LEN).take(count).find(|place| place.starts_with(spent.as_bytes()))?;
    let (_, numbers) = place.split_at(32);
    let (at, rest) = numbers.split_first_chunk()?;
    let (len, _) = rest.split_first_chunk()?;
    let number = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).ok();
    let (at, len) = (number(at)?, number(len)?);
    Some(at..at.checked_add(len)?)
}

/// A token's document in a whole file. `None`: the file is cut off, or has none for it.
pub(super) fn part_of(mut file: Vec<u8>, spent: &TokenHash) -> Option<Vec<u8>> {
    let place = place_of(&file, spent)?;
    if place.end == usize::MAX {
        return Some(file);
    }
    if place.end > file.len() {
        return None;
    }
    file.truncate(place.end);
    Some(file.split_off(place.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(seed: u8) -> TokenHash {
        TokenHash::from_bytes([seed; 32])
    }

    fn file_of(documents: &[(TokenHash, Vec<u8>)]) -> Vec<u8> {
        packed(documents.iter().map(|(spent, document)| (spent, document.as_slice()))).unwrap()
    }

    #[test]
    fn each_document_is_found_again() {
        for count in 0..=u8::try_from(PACK_MAX).unwrap() {
            let documents: Vec<_> = (0..count).map(|n| (hash(n), vec![n; usize::from(n) * 7])).collect();
            let file = file_of(&documents);
            for (spent, document) in &documents {
                assert_eq!(part_of(file.clone(), spent).as_ref(), Some(document));
                assert!(file.len() < PLACES_END_MAX || place_of(&file[..PLACES_END_MAX], spent).is_some());
            }
            assert_eq!(part_of(file, &hash(99)), None);
        }
    }

    #[test]
    fn a_single_document_is_the_file() {
        assert_eq!(part_of(b"document".to_vec(), &hash(1)).unwrap(), b"document");
        assert_eq!(part_of(Vec::new(), &hash(1)).unwrap(), b"");
    }

    #[test]
    fn nothing_is_found_in_a_file_that_is_cut_off() {
        let file = file_of(&[(hash(1), vec![1; 9]), (hash(2), vec![2; 9])]);
        for len in MARK.len()..file.len() {
            assert_eq!(part_of(file[..len].to_vec(), &hash(2)), None, "{len}");
        }
        assert!(part_of(file[..file.len() - 1].to_vec(), &hash(1)).is_some());
    }

    #[test]
    fn no_number_in_it_leads_outside() {
        let whole = file_of(&[(hash(1), vec![1; 9])]);
        for at in COUNT_AT..PLACES_AT + PLACE_LEN {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut file = whole.clone();
                file[at] = byte;
                // Whatever is found lies in the file.
                let _ = part_of(file, &hash(1));
            }
        }
    }
}
