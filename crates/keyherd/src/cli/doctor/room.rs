//! Whether the disks have room for what must not be lost.

use std::path::Path;

use rustix::fs::statvfs;

use super::super::peer::Context;
use super::{Finding, Verdict};
use crate::config::StoreSettings;

const CHECK: &str = "room";
/// Less than this fills up within days, or with one large answer; in bytes.
const FREE_NOTED: u64 = 256 << 20;
/// Less than this is as good as none: some commits, and a few of a provider's answers; in bytes.
const FREE_NEEDED: u64 = 2 << 20;

/// Of the data folder, and of the store's, where that is another one.
pub(super) fn room(context: &Context) -> Finding {
    let mut folders = vec![context.settings.data.clone()];
    if let StoreSettings::Sqlite(file) = &context.settings.store {
        folders.extend(file.path.parent().map(Path::to_path_buf));
    }
    // Where there is none yet, the first command that needs it says why it cannot be made.
    let rooms = folders.into_iter().filter_map(|folder| Some((free(&folder)?, folder)));
    match rooms.min() {
        Some((free, folder)) => judged(free, &folder),
        None => Finding::new(CHECK, Verdict::Note, "cannot be told here"),
    }
}

/// Bytes that this user may still write there.
fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn judged(free: u64, folder: &Path) -> Finding {
    let shown = format!("{} MiB free in {}", free >> 20, folder.display());
    if free < FREE_NEEDED {
        let problem =
            format!("{shown}: no token is refreshed whose successor cannot be kept; make room there");
        return Finding::new(CHECK, Verdict::Wrong, problem);
    }
    if free < FREE_NOTED {
        return Finding::new(CHECK, Verdict::Note, format!("{shown}: make room there"));
    }
    Finding::new(CHECK, Verdict::Ok, shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_full_is_wrong() {
        let verdict = |free| judged(free, Path::new("/data")).verdict;
        assert_eq!(verdict(0), Verdict::Wrong);
        assert_eq!(verdict(FREE_NEEDED), Verdict::Note);
        assert_eq!(verdict(FREE_NOTED), Verdict::Ok);
        assert!(judged(3 << 20, Path::new("/data")).detail.contains("3 MiB free in /data"));
    }

    #[test]
    fn the_room_of_a_folder_is_known() {
        assert!(free(Path::new("/")).is_some());
        assert_eq!(free(Path::new("/no/such/folder")), None);
    }
}
