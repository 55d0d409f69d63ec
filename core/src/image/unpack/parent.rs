//! The directory that the current entry is in, and room for the entry there.
//!
//! Stage `image`, host process, on worker threads. Most entries are in the
//! directory of the one before, so its descriptor is kept. Directories that
//! the tar leaves out are made on the way and remembered.
//!
//! Errors: `image`: a path that passes through a link or a file is invalid
//! input, the rest carries call and errno.
//! Sources: openat2(2), image-spec `layer.md`.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode, SFlag, mkdirat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::path::{prefixes, split};
use super::{Folder, Unpacker, show, through_link};
use crate::error::Result;
use crate::image::dir::{Dir, beneath, failed, kind};
use crate::image::{bad, unwrap_io};
use crate::sys::SysResult;
use crate::tree::{is_whiteout, stat};

impl Unpacker<'_, '_> {
    /// Makes `path` the current directory, with all directories above it.
    pub(super) fn enter(&mut self, path: &[u8]) -> Result<()> {
        if self.parent.as_ref().is_some_and(|(current, _)| current == path) {
            return Ok(());
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
        let fd = match beneath(self.root.as_fd(), path, flags) {
            Err(Errno::ENOENT | Errno::ENOTDIR) => {
                for prefix in prefixes(path) {
                    self.make_parent(prefix)?;
                }
                beneath(self.root.as_fd(), path, flags)
            }
            other => other,
        };
        let fd = fd.map_err(|errno| match errno {
            Errno::ELOOP => through_link(path),
            errno => failed("openat2", &self.root.name(path), errno),
        })?;
        self.parent = Some((path.to_vec(), fd));
        Ok(())
    }

    /// One directory that has entries below it; a whiteout of the same name
    /// makes it a fresh one.
    fn make_parent(&mut self, path: &[u8]) -> Result<()> {
        if self.folders.contains_key(path) {
            return Ok(());
        }
        self.budget.keep(&[path.len()])?;
        let (dir, name, found) = self.check_parent(path)?;
        let fresh = found.is_some();
        if fresh {
            unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)
                .map_err(|errno| self.fail("unlinkat", path, errno))?;
        }
        mkdirat(&dir, name, Mode::S_IRWXU).map_err(|errno| self.fail("mkdirat", path, errno))?;
        self.links.remove(path);
        self.folders.insert(path.to_vec(), Folder::implicit(fresh));
        Ok(())
    }

    /// What stands where a directory is wanted; anything but a directory or a
    /// whiteout is an error.
    pub(super) fn check_parent<'p>(
        &self,
        path: &'p [u8],
    ) -> Result<(OwnedFd, &'p [u8], Option<FileStat>)> {
        let (above, name) = split(path);
        let dir = beneath(self.root.as_fd(), above, OFlag::O_PATH | OFlag::O_DIRECTORY)
            .map_err(|errno| failed("openat2", &self.root.name(above), errno))?;
        let found = stat(dir.as_fd(), name).map_err(|errno| self.fail("fstatat", path, errno))?;
        match found {
            Some(found) if kind(&found) == SFlag::S_IFLNK => Err(through_link(path)),
            Some(found) if kind(&found) != SFlag::S_IFDIR && !is_whiteout(&found) => Err(bad(
                format!("the layer has entries below {}, which is no directory", show(path)),
            )),
            found => Ok((dir, name, found)),
        }
    }

    pub(super) fn parent(&self) -> BorrowedFd<'_> {
        // `enter` comes before everything that asks for it.
        self.parent.as_ref().map_or(self.root.as_fd(), |(_, fd)| fd.as_fd())
    }

    /// Makes `name` with `call`; what the tar put there before goes away.
    pub(super) fn make<T>(
        &mut self,
        path: &[u8],
        name: &[u8],
        call: impl Fn(BorrowedFd<'_>) -> SysResult<T>,
    ) -> Result<T> {
        self.links.remove(path);
        let made = match call(self.parent()) {
            Err(Errno::EEXIST) => {
                self.clear(path, name)?;
                call(self.parent())
            }
            other => other,
        };
        made.map_err(|errno| self.fail("create", path, errno))
    }

    /// Removes what an earlier entry made at `path`.
    pub(super) fn clear(&mut self, path: &[u8], name: &[u8]) -> Result<()> {
        let removed = Dir::from_fd(
            self.parent().try_clone_to_owned().map_err(|e| unwrap_io("dup", e))?,
            self.root.name(split(path).0),
        );
        removed.remove_tree(name)?;
        remove_below(&mut self.folders, path);
        remove_below(&mut self.links, path);
        remove_below(self.owners.names(), path);
        Ok(())
    }
}

/// Removes `path` and everything below it from a map by clean path.
fn remove_below<T>(map: &mut BTreeMap<Vec<u8>, T>, path: &[u8]) {
    map.remove(path);
    // What is below sorts between `path/` and `path0`: the slash precedes the
    // digit.
    let (from, to) = ([path, b"/"].concat(), [path, b"0"].concat());
    let below: Vec<Vec<u8>> = map.range(from..to).map(|(path, _)| path.clone()).collect();
    for path in below {
        map.remove(&path);
    }
}
