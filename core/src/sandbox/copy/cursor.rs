//! One directory of a tree at a time: down by name, up by `..`.
//!
//! Host side. Going up is only right if nobody has moved the directory
//! meanwhile: each directory above is remembered by device and inode and
//! compared. So a tree of any depth costs one descriptor.
//!
//! Errors: the errno; ESTALE if a directory was moved.
//! Sources: path_resolution(7), openat(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc::{dev_t, ino_t};
use nix::sys::stat::{FileStat, Mode, fstat};

use crate::sys::SysResult;
use crate::tree::open_at;

/// A place in a tree.
#[derive(Debug)]
pub(super) struct Cursor {
    at: OwnedFd,
    /// The directories above, the tree's own first.
    above: Vec<(dev_t, ino_t)>,
}

impl AsFd for Cursor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.at.as_fd()
    }
}

fn open(dir: BorrowedFd<'_>, name: &[u8]) -> SysResult<(OwnedFd, FileStat)> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let fd = open_at(dir, name, flags, Mode::empty())?;
    let found = fstat(&fd)?;
    Ok((fd, found))
}

fn identity(found: &FileStat) -> (dev_t, ino_t) {
    (found.st_dev, found.st_ino)
}

impl Cursor {
    /// At the top of the tree, which is this directory.
    pub(super) fn new(top: OwnedFd) -> Cursor {
        Cursor { at: top, above: Vec::new() }
    }

    /// Goes down into the directory `name`, which is not followed.
    pub(super) fn enter(&mut self, name: &[u8]) -> SysResult<FileStat> {
        let above = identity(&fstat(&self.at)?);
        let (below, found) = open(self.as_fd(), name)?;
        self.at = below;
        self.above.push(above);
        Ok(found)
    }

    /// Goes up again; at the top it stays.
    pub(super) fn leave(&mut self) -> SysResult<()> {
        let Some(above) = self.above.pop() else { return Ok(()) };
        let (fd, found) = open(self.as_fd(), b"..")?;
        if identity(&found) != above {
            return Err(Errno::ESTALE);
        }
        self.at = fd;
        Ok(())
    }

    /// Whether `dir` is the current directory or lies below it.
    pub(super) fn contains(&self, dir: BorrowedFd<'_>) -> SysResult<bool> {
        let own = identity(&fstat(&self.at)?);
        let (mut dir, mut found) = open(dir, b".")?;
        loop {
            if identity(&found) == own {
                return Ok(true);
            }
            let (parent, above) = open(dir.as_fd(), b"..")?;
            if identity(&above) == identity(&found) {
                return Ok(false);
            }
            (dir, found) = (parent, above);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;
    use nix::errno::Errno;
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, Cursor) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("top/a/b")).unwrap();
        let cursor = Cursor::new(File::open(dir.path().join("top")).unwrap().into());
        (dir, cursor)
    }

    #[test]
    fn cursor_goes_down_and_up_and_not_above_its_top() {
        let (dir, mut cursor) = tree();
        cursor.enter(b"a").unwrap();
        cursor.enter(b"b").unwrap();
        assert_eq!(cursor.enter(b"c").unwrap_err(), Errno::ENOENT);
        for _ in 0..3 {
            cursor.leave().unwrap();
        }
        fs::write(dir.path().join("top/here"), "").unwrap();
        assert_eq!(crate::tree::names(cursor.as_fd()).unwrap(), [&b"a"[..], b"here"]);
    }

    #[test]
    fn directory_that_was_moved_is_noticed_and_links_are_not_followed() {
        let (dir, mut cursor) = tree();
        let at = |name: &str| dir.path().join(name);
        symlink("a", at("top/link")).unwrap();
        fs::write(at("top/file"), "").unwrap();
        assert_eq!(cursor.enter(b"link").unwrap_err(), Errno::ENOTDIR);
        assert_eq!(cursor.enter(b"file").unwrap_err(), Errno::ENOTDIR);
        cursor.enter(b"a").unwrap();
        cursor.enter(b"b").unwrap();
        fs::rename(at("top/a/b"), at("outside")).unwrap();
        assert_eq!(cursor.leave(), Err(Errno::ESTALE));
    }

    #[test]
    fn cursor_contains_what_lies_below_it_and_itself_only() {
        let (dir, cursor) = tree();
        let contains = |name: &str| {
            let fd = File::open(dir.path().join(name)).unwrap();
            cursor.contains(fd.as_fd()).unwrap()
        };
        assert!(contains("top") && contains("top/a/b"));
        assert!(!contains("."));
        fs::create_dir(dir.path().join("topmost")).unwrap();
        assert!(!contains("topmost"));
    }
}
