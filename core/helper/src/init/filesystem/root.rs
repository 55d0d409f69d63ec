//! The container's root as a descriptor, and the only ways to reach into it.
//!
//! The tree may be hostile: every path is resolved by the kernel with the
//! root as its `/` (openat2(2), RESOLVE_IN_ROOT), and what is made is made by
//! an `*at` call on one last component of an open directory.

use core::ffi::CStr;

use crate::sys::{self, BorrowedFd, Errno, Fd, Result};

/// Longest path, with its NUL (limits.h, PATH_MAX).
const PATH_MAX: usize = 4096;

/// The root directory of the container.
#[derive(Debug)]
pub(super) struct Root(Fd);

impl Root {
    pub(super) fn open(path: &CStr) -> Result<Root> {
        sys::open(Fd::CWD, path, sys::O_PATH | sys::O_DIRECTORY, 0).map(Root)
    }

    pub(super) const fn adopt(fd: Fd) -> Root {
        Root(fd)
    }

    pub(super) const fn borrow(&self) -> BorrowedFd {
        self.0.borrow()
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
    pub(super) fn directory(&self, path: &CStr, mode: u32) -> Result<Fd> {
        match sys::open_in_root(self.borrow(), path, sys::O_PATH | sys::O_DIRECTORY) {
            Err(Errno::ENOENT) => {}
            other => return other,
        }
        let (parent, buffer, start) = self.parent(path)?;
        let name = name(&buffer, start)?;
        match sys::mkdir(parent.borrow(), name, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        sys::open_in_root(self.borrow(), path, sys::O_PATH | sys::O_DIRECTORY)
    }

    /// As `directory`, but the path is one component and no symbolic link: for
    /// `/proc`, `/sys` and `/dev`, which an image must not redirect.
    pub(super) fn plain_directory(&self, path: &CStr, mode: u32) -> Result<Fd> {
        if path.to_bytes().contains(&b'/') {
            return self.directory(path, mode);
        }
        match sys::mkdir(self.borrow(), path, mode) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        sys::open(self.borrow(), path, sys::O_PATH | sys::O_DIRECTORY | sys::O_NOFOLLOW, 0)
    }

    /// A file to mount onto; made empty where missing.
    pub(super) fn file_target(&self, path: &CStr) -> Result<Fd> {
        if let Some(fd) = self.existing(path)? {
            return Ok(fd);
        }
        let (parent, buffer, start) = self.parent(path)?;
        let flags = sys::O_RDONLY | sys::O_CREAT | sys::O_EXCL | sys::O_NOFOLLOW;
        sys::open(parent.borrow(), name(&buffer, start)?, flags, 0o444)
    }

    /// A new file with these contents in the place of whatever was there.
    pub(super) fn file(&self, path: &CStr, mode: u32, contents: &[u8]) -> Result<()> {
        let (parent, buffer, start) = self.parent(path)?;
        let name = name(&buffer, start)?;
        match sys::unlink(parent.borrow(), name) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_EXCL | sys::O_NOFOLLOW;
        let file = sys::open(parent.borrow(), name, flags, mode)?;
        sys::write_all(file.borrow(), contents)
    }

    pub(super) fn node(&self, path: &CStr, mode: u32, major: u32, minor: u32) -> Result<()> {
        let (parent, buffer, start) = self.parent(path)?;
        sys::mknod(parent.borrow(), name(&buffer, start)?, mode, major, minor)
    }

    pub(super) fn symlink(&self, contents: &CStr, path: &CStr) -> Result<()> {
        let (parent, buffer, start) = self.parent(path)?;
        sys::symlink(contents, parent.borrow(), name(&buffer, start)?)
    }

    /// The directory that `path` lies in, made where missing, with a copy of
    /// the path and the place in it where the last component begins.
    fn parent(&self, path: &CStr) -> Result<(Fd, [u8; PATH_MAX], usize)> {
        let mut buffer = [0_u8; PATH_MAX];
        let bytes = trimmed(path.to_bytes());
        if bytes.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        sys::copy(&mut buffer, bytes);

        let mut parent = sys::open(self.borrow(), c".", sys::O_PATH | sys::O_DIRECTORY, 0)?;
        let mut start = 0_usize;
        // Each slash ends a prefix: open it from the root, or make it in the
        // directory before it.
        while let Some(length) = buffer.get(start..bytes.len()).and_then(|rest| {
            rest.iter().position(|byte| *byte == b'/')
        }) {
            let end = start.saturating_add(length);
            if length > 0 {
                *buffer.get_mut(end).ok_or(Errno::ENAMETOOLONG)? = 0;
                let prefix = name(&buffer, 0)?;
                parent = match sys::open_in_root(self.borrow(), prefix, sys::O_PATH | sys::O_DIRECTORY) {
                    Err(Errno::ENOENT) => {
                        sys::mkdir(parent.borrow(), name(&buffer, start)?, 0o755)?;
                        sys::open_in_root(self.borrow(), prefix, sys::O_PATH | sys::O_DIRECTORY)?
                    }
                    other => other?,
                };
                *buffer.get_mut(end).ok_or(Errno::ENAMETOOLONG)? = b'/';
            }
            start = end.saturating_add(1);
        }
        Ok((parent, buffer, start))
    }
}

/// Without leading and trailing slashes: everything is relative to the root.
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [b'/', rest @ ..] | [rest @ .., b'/'] = bytes {
        bytes = rest;
    }
    bytes
}

fn name(buffer: &[u8], start: usize) -> Result<&CStr> {
    let rest = buffer.get(start..).ok_or(Errno::EINVAL)?;
    CStr::from_bytes_until_nul(rest).map_err(|_| Errno::EINVAL)
}
