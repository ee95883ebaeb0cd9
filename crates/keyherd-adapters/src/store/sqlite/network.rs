//! Which file systems are on the network, where file locks and shared memory do not hold between hosts.
//!
//! Owns the list. Never guesses: what is not on it passes, and a shared disk is its owner's to know.

use std::path::Path;

/// The kind of network file system a folder is on; `None`: on none that is known.
#[cfg(target_os = "linux")]
pub(super) fn file_system(folder: &Path) -> Option<String> {
    let magic = magic(folder)?;
    if magic == FUSE {
        return fuse(folder).filter(|kind| REMOTE_FUSE.iter().any(|name| kind == &format!("fuse.{name}")));
    }
    NETWORK.iter().find(|(number, _)| *number == magic).map(|(_, name)| (*name).to_owned())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn file_system(_folder: &Path) -> Option<String> {
    None
}

#[cfg(target_os = "linux")]
const FUSE: u32 = 0x6573_5546;

/// From statfs(2) and linux/magic.h. 9p is not here: it is as often a sandbox's own disk as a share.
#[cfg(target_os = "linux")]
const NETWORK: [(u32, &str); 9] = [
    (0x0000_6969, "NFS"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0000_517b, "SMB"),
    (0x5346_414f, "AFS"),
    (0x6b41_4653, "AFS"),
    (0x7375_7245, "Coda"),
    (0x00c3_6400, "Ceph"),
    (0x0bd0_0bd0, "Lustre"),
];

/// FUSE file systems whose other end is a network.
#[cfg(target_os = "linux")]
const REMOTE_FUSE: [&str; 14] = [
    "sshfs",
    "rclone",
    "s3fs",
    "gcsfuse",
    "glusterfs",
    "ceph",
    "davfs2",
    "curlftpfs",
    "juicefs",
    "moosefs",
    "seaweedfs",
    "smbnetfs",
    "goofys",
    "blobfuse2",
];

#[cfg(target_os = "linux")]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bit pattern of 32 bits in a word whose width and sign differ by platform"
)]
fn magic(folder: &Path) -> Option<u32> {
    rustix::fs::statfs(folder).ok().map(|found| found.f_type as u32)
}

/// The kind as the mount table says it (proc_pid_mountinfo(5)), such as `fuse.sshfs`.
#[cfg(target_os = "linux")]
fn fuse(folder: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;

    let device = std::fs::metadata(folder).ok()?.dev();
    let numbers = format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    let table = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    kind_of(&table, &numbers)
}

#[cfg(target_os = "linux")]
fn kind_of(table: &str, numbers: &str) -> Option<String> {
    let line = table.lines().find(|line| line.split(' ').nth(2) == Some(numbers))?;
    line.split_once(" - ")?.1.split(' ').next().map(str::to_owned)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_mount_table_names_a_fuse_file_system() {
        let table = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                     90 22 0:51 / /mnt/far rw,nosuid shared:7 - fuse.sshfs me@host:/ rw,user_id=0\n";
        assert_eq!(kind_of(table, "0:51").as_deref(), Some("fuse.sshfs"));
        assert_eq!(kind_of(table, "254:0").as_deref(), Some("ext4"));
        assert_eq!(kind_of(table, "0:5"), None);
    }

    #[test]
    fn a_local_folder_passes() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(file_system(folder.path()), None);
        assert_eq!(file_system(Path::new("/proc/self")), None);
    }
}
