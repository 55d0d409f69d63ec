//! Locks: `flock(2)` on directories for those who change them, and on the
//! file `lock` of what has a helper, which holds it as long as it lives.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind as IoErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::errno::Errno;

use super::{create, io};
use crate::error::{Error, Result, Stage};
use crate::sys;

/// A lock on a directory. It is given back when dropped, not only by closing
/// the file: a descriptor that another process has inherited would keep it.
#[derive(Debug)]
pub(super) struct Held(File);

impl Held {
    pub(super) fn shared(path: &Path) -> Result<Held> {
        Held::with(path, File::lock_shared)
    }

    pub(super) fn alone(path: &Path) -> Result<Held> {
        Held::with(path, File::lock)
    }

    /// `None`: somebody else has it.
    pub(super) fn if_free(path: &Path) -> Result<Option<Held>> {
        let file = File::open(path).map_err(|error| io("open", path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Held(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io("flock", path, error)),
        }
    }

    fn with(path: &Path, lock: fn(&File) -> std::io::Result<()>) -> Result<Held> {
        let file = File::open(path).map_err(|error| io("open", path, error))?;
        // A host may have signal handlers without SA_RESTART.
        while let Err(error) = lock(&file) {
            if error.kind() != IoErrorKind::Interrupted {
                return Err(io("flock", path, error));
            }
        }
        Ok(Held(file))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Makes the directory with its lock held. The lock of the directory above
/// is shared meanwhile: whoever has it for itself ([`sweep`]) knows that
/// what is not locked then belongs to nobody.
pub(super) fn make_locked(new: &Path) -> Result<OwnedFd> {
    let above = new.parent().unwrap_or(new);
    let _making = Held::shared(above)?;
    DirBuilder::new().mode(0o700).create(new).map_err(|error| io("mkdir", new, error))?;
    let lock = OwnedFd::from(create(&new.join("lock"))?);
    let failed = |errno| Error::sys(Stage::State, format!("flock({new:?})"), errno);
    match sys::try_lock(lock.as_fd()).map_err(failed)? {
        true => Ok(lock),
        false => Err(failed(Errno::EWOULDBLOCK)),
    }
}

/// Whether the lock in a directory is held: by a helper, or by who makes it
/// just now. It is shared for the look: of two that look at once neither must
/// take the other for a helper, because process ids are used again. `None`:
/// there is no such directory.
pub(super) fn is_held(directory: &Path) -> Result<Option<bool>> {
    let path = directory.join("lock");
    let file = match File::open(&path) {
        Err(error) if error.kind() == IoErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| io("open", &path, error))?,
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(false)),
        Err(TryLockError::WouldBlock) => Ok(Some(true)),
        Err(TryLockError::Error(error)) => Err(io("flock", &path, error)),
    }
}
