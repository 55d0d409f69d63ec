//! The container's root as a descriptor, and the only ways to reach into it.
//!
//! The tree may be hostile: every path is resolved by the kernel with the
//! root as its `/` (openat2(2), RESOLVE_IN_ROOT), and what is made is made by
//! an `*at` call on one last component of an open directory.

use core::ffi::CStr;

use super::kernel::Kernel;
use crate::sys::{self, BorrowedFd, Errno, Fd, Result};

/// Longest path, with its NUL (limits.h, PATH_MAX).
const PATH_MAX: usize = 4096;

/// The root directory of the container.
#[derive(Debug)]
pub(super) struct Root {
    fd: Fd,
    /// The directory in which something was made last: devices and links come
    /// in rows.
    last: Option<Parent>,
    /// The container's own null device, once it was asked for.
    null: Option<Fd>,
    /// Its /proc and /sys.
    pub(super) kernel: Kernel,
}

/// An open directory and its path from the root.
#[derive(Debug)]
struct Parent {
    path: [u8; PARENT_MAX],
    length: usize,
    fd: Fd,
}

/// Longest path of a directory that is remembered.
const PARENT_MAX: usize = 64;

impl Root {
    pub(super) const fn adopt(fd: Fd) -> Root {
        Root { fd, last: None, null: None, kernel: Kernel::new() }
    }

    pub(super) const fn borrow(&self) -> BorrowedFd {
        self.fd.borrow()
    }

    /// Something was mounted: remembered directories may be covered now.
    pub(super) fn mounted(&mut self) {
        self.last = None;
    }

    /// The container's null device: what was made in its own `/dev`. First
    /// asked for when it is made, before anything can be in its place.
    pub(super) fn null(&mut self) -> Result<BorrowedFd> {
        const NULL: (u32, u32) = (1, 3);
        if self.null.is_none() {
            let flags = sys::O_PATH | sys::O_NOFOLLOW;
            let fd = sys::open_in_root(self.borrow(), c"dev/null", flags)?;
            let stat = sys::stat(fd.borrow())?;
            // Only both together tell: other files may have such a number too.
            if stat.mode & sys::S_IFMT != sys::S_IFCHR || stat.device != NULL {
                return Err(Errno::ENXIO);
            }
            self.null = Some(fd);
        }
        self.null.as_ref().map(Fd::borrow).ok_or(Errno::ENOENT)
    }

    /// The file or directory at `path`, if there is one.
    pub(super) fn existing(&self, path: &CStr) -> Result<Option<Fd>> {
        match sys::open_in_root(self.borrow(), path, sys::O_PATH) {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Opens a file or device for use.
    pub(super) fn open_file(&self, path: &CStr, flags: usize) -> Result<Fd> {
        sys::open_in_root(self.borrow(), path, flags)
    }

    /// The directory at `path`; it and its parents are made where missing.
    pub(super) fn directory(&mut self, path: &CStr, mode: u32) -> Result<Fd> {
        match sys::open_in_root(self.borrow(), path, sys::O_PATH | sys::O_DIRECTORY) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let (parent, name) = self.parent(path)?;
        match sys::mkdir(parent, name, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        sys::open_in_root(self.borrow(), path, sys::O_PATH | sys::O_DIRECTORY)
    }

    /// As `directory`, but the path is one component and no symbolic link: for
    /// `/proc`, `/sys` and `/dev`, which an image must not redirect.
    pub(super) fn plain_directory(&mut self, path: &CStr, mode: u32) -> Result<Fd> {
        if path.to_bytes().contains(&b'/') {
            return self.directory(path, mode);
        }
        match sys::mkdir(self.borrow(), path, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        sys::open(self.borrow(), path, sys::O_PATH | sys::O_DIRECTORY | sys::O_NOFOLLOW, 0)
    }

    /// A directory to mount onto; made where missing. Only `in_kernel` may it
    /// lie in /proc or /sys.
    pub(super) fn directory_target(&mut self, path: &CStr, in_kernel: bool) -> Result<Fd> {
        let target = self.directory(path, 0o755)?;
        if in_kernel { Ok(target) } else { self.kernel.keep_free(target) }
    }

    /// A file to mount onto; made empty where missing. Only `in_kernel` may it
    /// lie in /proc or /sys.
    pub(super) fn file_target(&mut self, path: &CStr, in_kernel: bool) -> Result<Fd> {
        let target = self.file_or_empty(path)?;
        if in_kernel { Ok(target) } else { self.kernel.keep_free(target) }
    }

    fn file_or_empty(&mut self, path: &CStr) -> Result<Fd> {
        if let Some(fd) = self.existing(path)? {
            return Ok(fd);
        }
        let (parent, name) = self.parent(path)?;
        let flags = sys::O_RDONLY | sys::O_CREAT | sys::O_EXCL | sys::O_NOFOLLOW;
        sys::open(parent, name, flags, 0o444)
    }

    /// A new file with these contents in the place of whatever was there.
    pub(super) fn file(&mut self, path: &CStr, mode: u32, contents: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        match sys::unlink(parent, name) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL | sys::O_NOFOLLOW;
        let file = sys::open(parent, name, flags, mode)?;
        sys::write_all(file.borrow(), contents)
    }

    pub(super) fn node(&mut self, path: &CStr, mode: u32, major: u32, minor: u32) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        sys::mknod(parent, name, mode, major, minor)
    }

    /// Changes the owner of a file that was made here.
    pub(super) fn own(&mut self, path: &CStr, uid: u32, gid: u32) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        sys::fchownat(parent, name, uid, gid)
    }

    pub(super) fn remove(&mut self, path: &CStr) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        sys::unlink(parent, name)
    }

    pub(super) fn symlink(&mut self, contents: &CStr, path: &CStr) -> Result<()> {
        let (parent, name) = self.parent(path)?;
        sys::symlink(contents, parent, name)
    }

    /// Splits a path into its directory, made where missing, and its last
    /// component.
    fn parent<'p>(&mut self, path: &'p CStr) -> Result<(BorrowedFd, &'p CStr)> {
        let bytes = path.to_bytes();
        let Some(slash) = bytes.iter().rposition(|byte| *byte == b'/') else {
            return Ok((self.borrow(), path));
        };
        let directory = bytes.get(..slash).ok_or(Errno::EINVAL)?;
        let rest = path.to_bytes_with_nul().get(slash.saturating_add(1)..).ok_or(Errno::EINVAL)?;
        let name = CStr::from_bytes_with_nul(rest).map_err(|_| Errno::EINVAL)?;
        let known = self.last.as_ref().is_some_and(|last| last.path.get(..last.length) == Some(directory));
        if !known {
            let fd = self.make_directory(directory)?;
            let mut path = [0; PARENT_MAX];
            sys::copy(&mut path, directory);
            // One that does not fit is never found again.
            let length = if directory.len() < PARENT_MAX { directory.len() } else { usize::MAX };
            self.last = Some(Parent { path, length, fd });
        }
        let last = self.last.as_ref().ok_or(Errno::EINVAL)?;
        Ok((last.fd.borrow(), name))
    }

    /// Opens a directory; it and its parents are made where missing.
    fn make_directory(&self, directory: &[u8]) -> Result<Fd> {
        let mut buffer = [0_u8; PATH_MAX];
        if directory.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        sys::copy(&mut buffer, directory);
        let flags = sys::O_PATH | sys::O_DIRECTORY;
        match sys::open_in_root(self.borrow(), name(&buffer, 0)?, flags) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        // Each slash ends a prefix: open it from the root, or make it in the
        // directory before it.
        let mut parent = sys::open(self.borrow(), c".", flags, 0)?;
        let mut start = 0_usize;
        while start < directory.len() {
            let rest = buffer.get(start..directory.len()).unwrap_or(&[]);
            let length = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let end = start.saturating_add(length);
            if length > 0 {
                put(&mut buffer, end, 0)?;
                let prefix = name(&buffer, 0)?;
                parent = match sys::open_in_root(self.borrow(), prefix, flags) {
                    Err(Errno::ENOENT) => {
                        sys::mkdir(parent.borrow(), name(&buffer, start)?, 0o755)?;
                        sys::open_in_root(self.borrow(), prefix, flags)?
                    }
                    other => other?,
                };
                if end < directory.len() {
                    put(&mut buffer, end, b'/')?;
                }
            }
            start = end.saturating_add(1);
        }
        Ok(parent)
    }
}

fn put(buffer: &mut [u8], at: usize, byte: u8) -> Result<()> {
    *buffer.get_mut(at).ok_or(Errno::ENAMETOOLONG)? = byte;
    Ok(())
}

fn name(buffer: &[u8], start: usize) -> Result<&CStr> {
    let rest = buffer.get(start..).ok_or(Errno::EINVAL)?;
    CStr::from_bytes_until_nul(rest).map_err(|_| Errno::EINVAL)
}
