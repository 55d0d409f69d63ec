//! What an ordinary user has on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use crate::fixture::{Fixture, fixture};
use crate::skip::as_user;

/// First id and count of the user's own ids in such a file.
fn ids(file: &str) -> Option<(u32, u32)> {
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).ok()??;
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(&user.name)?.strip_prefix(':'))?;
    let (first, count) = line.split_once(':')?;
    Some((first.parse().ok()?, count.parse().ok()?))
}

/// The user's subordinate ids, of users and of groups: the first one and how
/// many there are.
#[must_use]
pub fn subordinate() -> Option<[(u32, u32); 2]> {
    Some([ids("/etc/subuid")?, ids("/etc/subgid")?])
}

/// A fixture of an ordinary user.
#[must_use]
pub fn user_fixture() -> Option<Fixture> {
    fixture().filter(|_| as_user())
}

/// His own ids.
#[must_use]
pub fn own_ids() -> [u32; 2] {
    [nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()]
}

/// All that he can see below a directory.
#[must_use]
pub fn below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                todo.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found
}
