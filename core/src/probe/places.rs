//! The run and the data directory: whether they can be written, and a
//! directory in each for what is tried there.
//!
//! A directory that does not exist is not made: what is tried lies in the
//! nearest one above that does.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::sys::statfs::{FsType, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::{Finding, left};
use crate::error::{Error, Result, Stage};

/// Less than this is hardly enough for a container's state.
const LEAST_BYTES: u64 = 16 << 20;
const NFS: FsType = FsType(0x6969);

/// Both directories.
#[derive(Debug)]
pub(super) struct Places {
    run: Place,
    data: Place,
}

#[derive(Debug)]
struct Place {
    wanted: PathBuf,
    scratch: Result<Scratch>,
}

/// An empty directory that goes with this value.
#[derive(Debug)]
struct Scratch {
    parent: PathBuf,
    name: String,
    /// Held as long as somebody uses it.
    lock: Option<OwnedFd>,
}

impl Places {
    pub(super) fn make(run: &Path, data: &Path, id: &str) -> Places {
        let place = |wanted: &Path, end: &str| Place {
            wanted: wanted.to_owned(),
            scratch: Scratch::make(wanted, format!(".libctr-{id}-{end}")),
        };
        Places { run: place(run, "run"), data: place(data, "data") }
    }

    /// A directory on which something can be mounted: in a mount namespace of
    /// one's own any will do.
    pub(super) fn stage(&self) -> PathBuf {
        let places = [&self.run, &self.data];
        let made = places.iter().find_map(|place| place.scratch.as_ref().ok());
        let there =
            || ["/tmp", "/run", "/mnt"].map(PathBuf::from).into_iter().find(|path| path.is_dir());
        made.map(Scratch::path).or_else(there).unwrap_or_else(|| "/".into())
    }

    /// A directory on the file system of the data directory.
    pub(super) fn data(&self) -> Option<PathBuf> {
        self.data.scratch.as_ref().ok().map(Scratch::path)
    }

    /// Where a program could lie that cannot be executed from memory.
    pub(super) fn executable(&self) -> Vec<PathBuf> {
        let places = [&self.run, &self.data];
        places.iter().filter_map(|place| place.scratch.as_ref().ok()).map(Scratch::path).collect()
    }

    pub(super) fn findings(&self) -> [Finding; 2] {
        [
            self.run.finding("directory.run", "no container can be started"),
            self.data.finding("directory.data", "no image can be kept, and nothing on disk"),
        ]
    }
}

impl Place {
    fn finding(&self, ability: &'static str, without: &str) -> Finding {
        let wanted = self.wanted.display();
        let scratch = match &self.scratch {
            Ok(scratch) => scratch,
            Err(error) => {
                let option = if ability == "directory.run" { "--root" } else { "--data" };
                return Finding::missing(ability, detail(error), without)
                    .with_fix(Some(format!("give one that can be written: ctrun {option} DIR …")));
            }
        };
        let path = scratch.path();
        let free = statvfs(&path).map_or(u64::MAX, |found| {
            found.blocks_available().saturating_mul(found.fragment_size())
        });
        if free < LEAST_BYTES {
            let detail = format!("{wanted} has {} KiB left", free >> 10);
            return Finding::degraded(
                ability,
                detail,
                "starts, images and layers fail for want of room",
            )
            .with_fix(Some("ctrun image prune".into()));
        }
        if statfs(&path).is_ok_and(|found| found.filesystem_type() == NFS) {
            let consequence = "upper layers cannot lie there, and locks are the server's";
            return Finding::degraded(ability, format!("{wanted} is on NFS"), consequence)
                .with_fix(Some("give a local one: ctrun --root DIR --data DIR …".into()));
        }
        let noexec = statvfs(&path).is_ok_and(|found| found.flags().contains(FsFlags::ST_NOEXEC));
        let remark = if noexec { " (noexec)" } else { "" };
        Finding::ok(ability, format!("{wanted}{remark} can be written"))
    }
}

/// What an error says without its stage and its hint.
pub(super) fn detail(error: &Error) -> String {
    match error.errno().map(nix::errno::Errno::from_raw) {
        Some(errno) => format!("{}: {errno:?} ({})", error.message(), errno.desc()),
        None => error.message().to_owned(),
    }
}

impl Scratch {
    fn make(wanted: &Path, name: String) -> Result<Scratch> {
        let parent = wanted.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
        left::sweep(parent);
        let mut scratch = Scratch { parent: parent.to_owned(), name, lock: None };
        let path = scratch.path();
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Error::io(Stage::State, format!("mkdir({path:?})"), error))?;
        scratch.lock = left::lock(&path);
        let file = path.join("file");
        let failed =
            |call: &str, error| Error::io(Stage::State, format!("{call}({file:?})"), error);
        let written = File::create(&file)
            .and_then(|mut opened| opened.write_all(&[b'x'; 4096]))
            .and_then(|()| fs::remove_file(&file))
            .map_err(|error| failed("write", error));
        written.map(|()| scratch)
    }

    fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        left::remove(&self.parent, &self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::Places;
    use crate::probe::State;

    #[test]
    fn directories_that_do_not_exist_are_not_made_and_nothing_is_left() {
        let top = tempfile::tempdir().expect("directory");
        let (run, data) = (top.path().join("a/run"), top.path().join("data"));
        let places = Places::make(&run, &data, "probe-1");
        assert_eq!(places.data(), Some(top.path().join(".libctr-probe-1-data")));
        assert!(places.stage().is_dir());
        assert!(places.findings().iter().all(|finding| finding.state == State::Ok));
        drop(places);
        assert_eq!(top.path().read_dir().expect("directory").count(), 0);
    }

    #[test]
    fn directory_that_is_none_is_missing_and_named() {
        let top = tempfile::tempdir().expect("directory");
        let places = Places::make(std::path::Path::new("/proc/x"), &top.path().join("data"), "2");
        let [run, data] = places.findings();
        assert_eq!((run.state, data.state), (State::Missing, State::Ok));
        assert!(run.detail.starts_with("mkdir(\"/proc/.libctr-2-run\"): "), "{}", run.detail);
        assert_eq!(run.fix.as_deref(), Some("give one that can be written: ctrun --root DIR …"));
    }
}
