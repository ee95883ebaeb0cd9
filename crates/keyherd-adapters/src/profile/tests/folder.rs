//! Profiles in the user's folder.

use std::fs;
use std::path::PathBuf;

use super::{FolderProfiles, ProfileError};

/// A data folder of a test's own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("keyherd-profile-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        assert!(fs::create_dir_all(folder.join("providers")).is_ok());
        Self(folder)
    }

    fn write(&self, file: &str, text: &str) {
        assert!(fs::write(self.0.join("providers").join(file), text).is_ok());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_users_folder_wins_and_is_read_again() {
    let folder = Folder::new("wins");
    let profiles = FolderProfiles::open(Some(&folder.0));
    let prefix = |name: &str| match profiles.find(name) {
        Ok(found) => found.map(|profile| profile.phantom_prefix.clone()),
        Err(error) => panic!("{error}"),
    };
    assert_eq!(prefix("slack").as_deref(), Some("xoxb-"));
    assert_eq!(prefix("acme"), None);
    folder.write("slack.toml", "name = \"slack\"\nphantom_prefix = \"mine-\"\n");
    folder.write("acme.toml", "name = \"acme\"\nphantom_prefix = \"one-\"\n");
    folder.write("notes.txt", "");
    folder.write(".hidden.toml", "");
    assert_eq!((prefix("slack").as_deref(), prefix("acme").as_deref()), (Some("mine-"), Some("one-")));
    folder.write("acme.toml", "name = \"acme\"\nphantom_prefix = \"second-\"\n");
    assert_eq!(prefix("acme").as_deref(), Some("second-"));
    let names = profiles.names().unwrap_or_default();
    assert_eq!(names.len(), 39);
    assert_eq!(names.first().map(String::as_str), Some("acme"));
    assert!(profiles.text("slack").is_ok_and(|text| text.is_some_and(|text| text.contains("mine-"))));
    let builtin = profiles.find_builtin("slack").ok().flatten().map(|profile| profile.phantom_prefix.clone());
    assert_eq!(builtin.as_deref(), Some("xoxb-"));
}

#[test]
fn a_broken_file_is_named_and_not_passed_over() {
    let folder = Folder::new("broken");
    let profiles = FolderProfiles::open(Some(&folder.0));
    folder.write("slack.toml", "name = \"slack\"\nrotate = \"never\"\n");
    let error = profiles.find("slack").map(|_| ()).map_err(|error| error.to_string());
    let Err(error) = error else { panic!("accepted") };
    assert!(error.contains("providers/slack.toml, line 2: unknown field `rotate`"), "{error}");
    assert!(fs::create_dir(folder.0.join("providers/acme.toml")).is_ok());
    assert!(
        matches!(profiles.find("acme"), Err(ProfileError::Unreadable(text)) if text.contains("acme.toml"))
    );
    let pipe = folder.0.join("providers/pipe.toml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.is_ok_and(|status| status.success()));
    assert!(matches!(profiles.find("pipe"), Err(ProfileError::Unreadable(text)) if text.contains("regular")));
    for outside in ["../slack", "/etc/passwd", "", "a/b", "..", "slack.toml\0"] {
        assert!(matches!(profiles.find(outside), Ok(None)), "{outside}");
        assert!(matches!(profiles.text(outside), Ok(None)), "{outside}");
    }
}
