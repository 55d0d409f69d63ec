//! Removes a tree of any depth and width.
//!
//! Host process. Follows no link; needs neither stack nor descriptors nor
//! memory for each level.
//!
//! Errors: the errno; callers name the path.
//! Sources: unlinkat(2), renameat(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, renameat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{kind, names, open_at};
use crate::sys::SysResult;

/// Removes `name` and, if it is a directory, all below it.
///
/// Without recursion, so that a hostile depth exhausts neither
/// the stack nor the descriptor table: directories of the second level are
/// moved up to the first until nothing is left, one rename for each. Absence is no error.
pub(crate) fn remove_tree(parent: BorrowedFd<'_>, name: &[u8]) -> SysResult<()> {
    if unlink_leaf(parent, name)? {
        return Ok(());
    }
    let top = open_full(parent, name)?;
    let mut serial: u64 = 0;
    loop {
        let level = names(top.as_fd())?;
        if level.is_empty() {
            return unlinkat(parent, name, UnlinkatFlags::RemoveDir);
        }
        for entry in level {
            if unlink_leaf(top.as_fd(), &entry)? {
                continue;
            }
            let below = open_full(top.as_fd(), &entry)?;
            for inner in names(below.as_fd())? {
                if !unlink_leaf(below.as_fd(), &inner)? {
                    move_up(below.as_fd(), &inner, top.as_fd(), &mut serial)?;
                }
            }
            unlinkat(&top, entry.as_slice(), UnlinkatFlags::RemoveDir)?;
        }
    }
}

/// Removes `name` unless it is a directory that has entries.
fn unlink_leaf(dir: BorrowedFd<'_>, name: &[u8]) -> SysResult<bool> {
    match unlinkat(dir, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(errno @ (Errno::EISDIR | Errno::EPERM)) => {
            match unlinkat(dir, name, UnlinkatFlags::RemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => Ok(true),
                Err(Errno::ENOTEMPTY | Errno::EEXIST) => Ok(false),
                Err(_) => Err(errno),
            }
        }
        Err(errno) => Err(errno),
    }
}

/// Opens a directory that is to be emptied; its owner may have taken the
/// permission away from itself.
fn open_full(dir: BorrowedFd<'_>, name: &[u8]) -> SysResult<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    match open_at(dir, name, flags, Mode::empty()) {
        Err(Errno::EACCES) => {
            let found = fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
            if kind(&found) != SFlag::S_IFDIR {
                return Err(Errno::ENOTDIR);
            }
            fchmodat(dir, name, Mode::S_IRWXU, FchmodatFlags::NoFollowSymlink)?;
            open_at(dir, name, flags, Mode::empty())
        }
        other => other,
    }
}

/// Moves a directory to `top` under a name that is free there. Replacing an
/// empty directory is fine: everything here is to go.
fn move_up(
    from: BorrowedFd<'_>,
    name: &[u8],
    top: BorrowedFd<'_>,
    serial: &mut u64,
) -> SysResult<()> {
    loop {
        *serial += 1;
        match renameat(from, name, top, format!(".removed-{serial}").as_str()) {
            Err(Errno::ENOTEMPTY | Errno::EEXIST | Errno::ENOTDIR) => {}
            other => return other,
        }
    }
}
