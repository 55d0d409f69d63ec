//! Trees of files on disk, reached by descriptors: what the image store and
//! the private copy of a root have in common.
//!
//! Host process. Trees may be hostile: a name is one component of an open
//! directory and is never followed.
//!
//! Errors: the errno; callers name the stage, the call and the path.
//! Sources: open(2), getdents64(2), inode(7).

mod attributes;
mod duplicate;
mod remove;

use std::ffi::CStr;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::NixPath;
use nix::dir::Dir as Listing;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

pub(crate) use attributes::{Attributes, Time};
pub(crate) use duplicate::duplicate;
pub(crate) use remove::remove_tree;

use crate::sys::{self, SysResult};

/// `openat` with close-on-exec, never followed at the last component, and a
/// number of 3 or higher.
pub(crate) fn open_at<P: ?Sized + NixPath>(
    dir: BorrowedFd<'_>,
    name: &P,
    flags: OFlag,
    mode: Mode,
) -> SysResult<OwnedFd> {
    sys::high(openat(dir, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, mode)?)
}

/// The type bits of a `stat` result.
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

/// The names in a directory, sorted, without `.` and `..`.
pub(crate) fn names(dir: BorrowedFd<'_>) -> SysResult<Vec<Vec<u8>>> {
    let fd = open_at(dir, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    let mut found = Vec::new();
    for entry in Listing::from_fd(fd)?.iter() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            found.push(name.to_vec());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// `fstatat` without following; `None` where there is nothing.
pub(crate) fn stat(dir: BorrowedFd<'_>, name: &[u8]) -> SysResult<Option<FileStat>> {
    match fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// A whiteout in overlay form (kernel `overlayfs.rst`, "whiteouts and opaque
/// directories").
pub(crate) fn is_whiteout(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

/// Whether the directory's attribute `name` says that it hides what lower
/// layers have there (`trusted.overlay.opaque`, `user.overlay.opaque`).
pub(crate) fn is_opaque(dir: BorrowedFd<'_>, name: &CStr) -> SysResult<bool> {
    let mut value = [0; 2];
    match sys::fgetxattr(dir, name, &mut value) {
        Ok(n) => Ok(value[..n] == *b"y"),
        Err(Errno::ENODATA | Errno::EOPNOTSUPP | Errno::ERANGE) => Ok(false),
        Err(errno) => Err(errno),
    }
}
