//! A place in the store for what is not complete yet.
//!
//! Stage `image`, host process. `stage/<random>/` belongs to the process that
//! holds the lock on it; the lock ends with the process, however that ends, so
//! that [`sweep`] can tell garbage from work. What a load makes is made here
//! and moved out as its last step.
//!
//! Data shape: `blobs/<algorithm>-<hex>` verified content, `files/<n>` files of
//! an archive, `trees/<n>/{fs,meta.json}` unpacked layers, `moved` the names
//! that a commit was about to give.
//! Errors: `image`, with call, path and errno.

use std::fs::{File, TryLockError};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result, Stage as Step};
use crate::image::dir::Dir;
use crate::image::unwrap_io;
use crate::sys;

/// The directory of one load; removed with all its content when dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    parent: Dir,
    name: String,
    dir: Dir,
    serial: AtomicU64,
}

/// Takes a lock that lasts as long as `fd` and its duplicates; `false` where
/// somebody else has one that excludes it.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, exclusive: bool) -> Result<bool> {
    let fail = |error| unwrap_io("flock", error);
    // A duplicate shares the lock, and closing it does not end the lock.
    let file = File::from(sys::dup(fd).map_err(|errno| fail(errno.into()))?);
    match if exclusive { file.try_lock() } else { file.try_lock_shared() } {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(fail(error)),
    }
}

/// Whether `dir` is still what `name` in `parent` stands for: it was not
/// removed or replaced before the lock was taken.
pub(crate) fn is_current(parent: &Dir, name: &str, dir: BorrowedFd<'_>) -> Result<bool> {
    let held = nix::sys::stat::fstat(dir).map_err(|errno| {
        crate::image::dir::failed("fstat", &parent.name(name.as_bytes()), errno)
    })?;
    let named = parent.stat(name.as_bytes())?;
    Ok(named.is_some_and(|named| (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)))
}

/// A name that nobody else uses, from the random keys of std's hash maps.
fn random() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

impl Stage {
    /// Makes and locks a new directory in the store's `stage`.
    pub(crate) fn create(store: &Dir) -> Result<Stage> {
        let parent = store.dir("stage")?;
        for _ in 0..100 {
            let name = random();
            // A sweep takes it for garbage as long as it is not locked.
            let dir = match parent.make(&name) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            if try_lock(dir.as_fd(), true)? && is_current(&parent, &name, dir.as_fd())? {
                for part in ["blobs", "files", "trees"] {
                    dir.make(part)?;
                }
                return Ok(Stage { parent, name, dir, serial: AtomicU64::new(0) });
            }
        }
        let text = format!("no free name in {:?}", parent.path());
        Err(Error::new(Step::Image, ErrorKind::Busy, text))
    }

    pub(crate) fn dir(&self) -> &Dir {
        &self.dir
    }

    /// A new directory in `parent`, a part of this stage, and its name there.
    pub(crate) fn fresh(&self, parent: &Dir) -> Result<(String, Dir)> {
        let name = self.serial.fetch_add(1, Ordering::Relaxed).to_string();
        let dir = parent.make(&name)?;
        Ok((name, dir))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = self.parent.remove_tree(self.name.as_bytes()) {
            log::warn!("{error}");
        }
    }
}

/// Removes what dead processes left in `stage`; `undo` sees each directory
/// first.
pub(crate) fn sweep(store: &Dir, undo: &dyn Fn(&Dir) -> Result<()>) -> Result<()> {
    let parent = store.dir("stage")?;
    for name in parent.names()? {
        let Ok(text) = std::str::from_utf8(&name) else {
            parent.remove_tree(&name)?;
            continue;
        };
        let dir = match parent.find(text) {
            Ok(Some(dir)) => dir,
            Ok(None) => continue,
            // Not a directory: nothing of ours.
            Err(_) => {
                parent.remove_tree(&name)?;
                continue;
            }
        };
        if try_lock(dir.as_fd(), true)? && is_current(&parent, text, dir.as_fd())? {
            undo(&dir)?;
            parent.remove_tree(&name)?;
        }
    }
    Ok(())
}

/// Links or copies a file of the store into a stage directory.
pub(crate) fn link(from: &Dir, name: &str, to: &Dir, new: &str) -> Result<bool> {
    use nix::errno::Errno;
    match nix::unistd::linkat(from, name, to, new, nix::fcntl::AtFlags::empty()) {
        Ok(()) | Err(Errno::EEXIST) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(crate::image::dir::failed("linkat", &to.name(new.as_bytes()), errno)),
    }
}
