//! What probes that were killed have left: the next one of the same
//! directories removes it, with the control groups of the same name.
//!
//! Whoever lives holds the lock of its directory (flock(2)).

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::cgroup::{Hierarchies, Trial};
use crate::error::{Error, Stage};
use crate::sys;
use crate::userns::job;

const PREFIX: &str = ".libctr-probe-";

/// A younger directory may not be locked yet.
const YOUNG: Duration = Duration::from_secs(10);

/// Locks a directory for as long as the descriptor is open; `None` if somebody
/// has the lock, or nobody can have one there.
pub(super) fn lock(path: &Path) -> Option<OwnedFd> {
    let file = sys::high(File::open(path).ok()?.into()).ok()?;
    sys::try_lock(file.as_fd()).ok()?.then_some(file)
}

/// Removes a directory of a probe with all that is in it.
pub(super) fn remove(parent: &Path, name: &str) {
    let path = parent.join(name);
    let failed = |errno| Error::sys(Stage::State, format!("unlink({path:?})"), errno);
    let removed = File::open(parent)
        .map_err(|error| Error::io(Stage::State, format!("open({parent:?})"), error))
        .and_then(|parent| job::remove_tree(parent.as_fd(), name.as_bytes(), &path, failed));
    if let Err(error) = removed {
        log::warn!("the probe's directory stays: {error}");
    }
}

/// Removes what nobody holds any more.
pub(super) fn sweep(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let made = entry.metadata().and_then(|found| found.modified());
        let age = made.ok().and_then(|made| SystemTime::now().duration_since(made).ok());
        if age.is_none_or(|age| age < YOUNG) {
            continue;
        }
        let Some(_lock) = lock(&entry.path()) else { continue };
        let id = rest.split('-').next().unwrap_or(rest);
        if let Ok(hierarchies) = Hierarchies::discover() {
            Trial::forget(&hierarchies, &format!("probe-{id}"));
        }
        remove(parent, &format!("{PREFIX}{rest}"));
    }
}

#[cfg(test)]
mod tests {
    use super::{lock, sweep};
    use nix::sys::stat::{UtimensatFlags, utimensat};
    use nix::sys::time::TimeSpec;

    #[test]
    fn directory_that_nobody_holds_is_removed_once_it_is_old() {
        let top = tempfile::tempdir().expect("directory");
        let names = [".libctr-probe-0a-run", ".libctr-probe-0b-run", ".libctr-probe-0c-run", "x"];
        for name in names {
            std::fs::create_dir_all(top.path().join(name).join("file")).expect("directory");
        }
        for name in &names[..2] {
            let old = TimeSpec::new(1000, 0);
            let path = top.path().join(name);
            utimensat(nix::fcntl::AT_FDCWD, &path, &old, &old, UtimensatFlags::FollowSymlink)
                .expect("a time");
        }
        // The first is old and held, the second old, the third young.
        let held = lock(&top.path().join(names[0]));
        assert!(held.is_some() && lock(&top.path().join(names[0])).is_none());
        sweep(top.path());
        let left = names.map(|name| top.path().join(name).exists());
        assert_eq!(left, [true, false, true, true]);
    }
}
