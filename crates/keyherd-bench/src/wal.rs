//! Counts the commits in a SQLite write-ahead log: what was really written, whoever says what.

use std::fs;
use std::path::Path;

use crate::Outcome;

const HEADER_LEN: usize = 32;
const FRAME_HEADER_LEN: usize = 24;
const SALTS_LEN: usize = 8;

/// Write transactions that stand in the log of this database since it was last begun anew: frames that end one bear the
/// database's size (<https://www.sqlite.org/fileformat2.html#walformat>). Frames of an earlier log have other salts.
///
/// # Errors
/// The log cannot be read, or is none.
pub fn wal_commits(database: &Path) -> Outcome<u64> {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    let bytes = fs::read(&name).map_err(|error| format!("{}: {error}", Path::new(&name).display()))?;
    if bytes.is_empty() {
        return Ok(0);
    }
    let broken = || format!("{} is no write-ahead log", Path::new(&name).display());
    let page_len = number(&bytes, 8).ok_or_else(broken)? as usize;
    let salts = bytes.get(16..16 + SALTS_LEN).ok_or_else(broken)?;
    let frames = bytes.get(HEADER_LEN..).unwrap_or_default().chunks_exact(FRAME_HEADER_LEN + page_len);
    let live = frames.take_while(|frame| frame.get(8..8 + SALTS_LEN) == Some(salts));
    Ok(live.filter(|frame| number(frame, 4).is_some_and(|size| size > 0)).count() as u64)
}

/// Big-endian, as SQLite writes it.
fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
