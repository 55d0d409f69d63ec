//! One of the directories that are copied as one.
//!
//! Host side. The directory is mounted apart, attached to no place: whatever
//! the host has mounted below it is not seen through that mount, just as an
//! overlay does not see it, and `..` cannot lead out.
//!
//! Errors: `rootfs` from opening, else the errno.
//! Sources: open_tree(2), kernel `overlayfs.rst`.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag};
use nix::sys::stat::{Mode, SFlag};

use super::cursor::Cursor;
use super::fail;
use crate::error::{Error, Result, Stage};
use crate::proc::mountinfo;
use crate::sandbox::opaque;
use crate::sys::{self, SysResult};
use crate::tree::{self, Attributes, is_opaque, kind};

/// A lower directory.
#[derive(Debug)]
pub(super) struct Lower {
    pub(super) cursor: Cursor,
    /// For messages.
    pub(super) path: PathBuf,
}

/// What a lower directory has under the name of a directory.
pub(super) enum Entered {
    /// Nothing.
    Absent,
    /// Something that hides what is below it and is no directory.
    Hidden,
    /// A directory, which is now the current one.
    Directory { attributes: Attributes, opaque: bool },
}

impl Lower {
    /// Opens it; the path is the caller's own choice and is followed.
    pub(super) fn open(path: &Path) -> Result<Lower> {
        let name = CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::invalid(Stage::Rootfs, format!("a NUL byte in {path:?}")))?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
        let opened = sys::open_tree(&name)
            .and_then(|mount| tree::open_at(mount.as_fd(), ".", flags, Mode::empty()))
            // Only root may: what is mounted below is then seen as well.
            .or_else(|errno| match errno {
                Errno::EPERM => tree::open_at(AT_FDCWD, path, flags, Mode::empty()),
                // Before Linux 5.2: where nothing is mounted below, it is the same.
                Errno::ENOSYS if !has_mounts_below(path) => {
                    tree::open_at(AT_FDCWD, path, flags, Mode::empty())
                }
                errno => Err(errno),
            })
            .map_err(|errno| fail("open_tree", path, errno))?;
        Ok(Lower { cursor: Cursor::new(opened), path: path.to_path_buf() })
    }

    /// Goes down, if there is a directory of that name.
    pub(super) fn enter(&mut self, name: &[u8]) -> SysResult<Entered> {
        match tree::stat(self.cursor.as_fd(), name)? {
            None => return Ok(Entered::Absent),
            Some(found) if kind(&found) != SFlag::S_IFDIR => return Ok(Entered::Hidden),
            Some(_) => {}
        }
        let found = self.cursor.enter(name)?;
        let here = self.cursor.as_fd();
        let attributes = Attributes::of(here, b".", &found, keep)?;
        Ok(Entered::Directory { attributes, opaque: is_opaque(here, opaque())? })
    }
}

/// Whether something is mounted below a directory. Where that cannot be known,
/// it may be.
fn has_mounts_below(path: &Path) -> bool {
    let Ok(table) = mountinfo::read(Stage::Rootfs) else { return true };
    let Ok(path) = fs::canonicalize(path) else { return false };
    mountinfo::entries(&table).any(|entry| entry.is_below(&path))
}

/// Overlayfs's own attributes are not shown; security labels are the host's
/// policy to give.
pub(super) fn keep(name: &[u8]) -> bool {
    !name.starts_with(b"trusted.overlay.") && name != b"security.selinux"
}

#[cfg(test)]
mod tests {
    use super::has_mounts_below;
    use std::path::Path;

    #[test]
    fn mounts_below_a_directory_are_seen_and_those_above_are_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_mounts_below(dir.path()));
        assert!(!has_mounts_below(Path::new("/proc/self")));
        assert!(!has_mounts_below(Path::new("/no/such/directory")));
        assert!(has_mounts_below(Path::new("/")));
    }
}
