//! A directory held open by descriptor, and the `*at` calls on it.
//!
//! Stage `image`, host process. Store, stage and layer trees are reached
//! through a [`Dir`]; names below it are single components, or are resolved by
//! `openat2(BENEATH | NO_SYMLINKS | NO_MAGICLINKS)` ([`beneath`]). The path is
//! kept for messages only and is never resolved again.
//!
//! Errors: `image`, with call, path and errno.
//! Sources: openat2(2), open(2), unlinkat(2)

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, fsync, unlinkat};

use crate::error::{Error, Result, Stage};
use crate::sys::{self, SysResult};
pub(crate) use crate::tree::{kind, open_at};
use crate::tree::{names, stat};
use crate::userns::job;

/// An open directory and the path to name it by in messages.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A failed call on `path`, as this module words it.
pub(crate) fn failed(call: &str, path: &Path, errno: Errno) -> Error {
    Error::sys(Stage::Image, format!("{call}({path:?})"), errno)
}

/// Opens a clean relative path (no empty, `.` or `..` component) below `root`
/// without passing through any symbolic link. An empty path is `root` itself.
///
/// A kernel or a seccomp filter that refuses openat2 gets a walk with
/// `O_NOFOLLOW`, component by component, which means the same for such paths.
pub(crate) fn beneath(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> SysResult<OwnedFd> {
    if path.is_empty() {
        return open_at(root, ".", flags, Mode::empty());
    }
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_SYMLINKS
            | ResolveFlag::RESOLVE_NO_MAGICLINKS,
    );
    match openat2(root, path, how) {
        Ok(fd) => sys::high(fd),
        Err(Errno::ENOSYS | Errno::EPERM) => walk(root, path, flags),
        Err(errno) => Err(errno),
    }
}

fn walk(root: BorrowedFd<'_>, path: &[u8], flags: OFlag) -> SysResult<OwnedFd> {
    let step = OFlag::O_PATH | OFlag::O_DIRECTORY;
    let mut at = open_at(root, ".", step, Mode::empty())?;
    let mut names = path.split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        if matches!(name, b"" | b"." | b"..") {
            return Err(Errno::EXDEV);
        }
        let flags = if names.peek().is_some() { step } else { flags };
        at = match open_at(at.as_fd(), name, flags, Mode::empty()) {
            // On the way openat2 tells a link from what is no directory either.
            Err(Errno::ENOTDIR) if names.peek().is_some() => {
                let found = stat(at.as_fd(), name)?;
                let is_link = found.is_some_and(|found| kind(&found) == SFlag::S_IFLNK);
                return Err(if is_link { Errno::ELOOP } else { Errno::ENOTDIR });
            }
            other => other?,
        };
    }
    Ok(at)
}

impl Dir {
    /// Opens a directory by path, following links: the caller's own choice.
    pub(crate) fn open(path: &Path) -> Result<Dir> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let fd = openat(nix::fcntl::AT_FDCWD, path, flags, Mode::empty())
            .and_then(sys::high)
            .map_err(|errno| failed("open", path, errno))?;
        Ok(Dir { fd, path: path.to_owned() })
    }

    /// A `Dir` of a descriptor that is known to be a directory.
    pub(crate) fn from_fd(fd: OwnedFd, path: PathBuf) -> Dir {
        Dir { fd, path }
    }

    /// The descriptor itself.
    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// The path as it was opened, for messages and for callers outside.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of an entry, for messages.
    pub(crate) fn name(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    fn fail<P: AsRef<[u8]>>(&self, call: &str, name: P, errno: Errno) -> Error {
        failed(call, &self.name(name.as_ref()), errno)
    }

    /// The directory `path` below this one; no symbolic link is passed.
    pub(crate) fn dir(&self, path: &str) -> Result<Dir> {
        self.find(path)?.ok_or_else(|| self.fail("openat", path, Errno::ENOENT))
    }

    /// As [`Dir::dir`], but `None` where it does not exist.
    pub(crate) fn find(&self, path: &str) -> Result<Option<Dir>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY;
        match beneath(self.as_fd(), path.as_bytes(), flags) {
            Ok(fd) => Ok(Some(Dir { fd, path: self.path.join(path) })),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.fail("openat", path, errno)),
        }
    }

    /// Makes a directory of mode 0700 unless it is there, and opens it.
    pub(crate) fn make(&self, name: &str) -> Result<Dir> {
        match mkdirat(self, name, Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => self.dir(name),
            Err(errno) => Err(self.fail("mkdirat", name, errno)),
        }
    }

    /// What `name` is, not followed; `None` where it does not exist.
    pub(crate) fn stat(&self, name: &[u8]) -> Result<Option<FileStat>> {
        match fstatat(self, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.fail("fstatat", name, errno)),
        }
    }

    /// Opens a regular file below for reading and tells its size; `None` where
    /// it does not exist. Anything that is not a regular file is an error at
    /// once: a FIFO does not hang the caller.
    pub(crate) fn file(&self, path: &str) -> Result<Option<(File, u64)>> {
        let fd = match beneath(self.as_fd(), path.as_bytes(), OFlag::O_RDONLY | OFlag::O_NONBLOCK) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(errno @ (Errno::ELOOP | Errno::ENOTDIR | Errno::ENXIO)) => {
                return Err(self
                    .fail("openat", path, errno)
                    .with_kind(crate::ErrorKind::InvalidInput)
                    .with_hint("regular files are expected here, links are not followed"));
            }
            Err(errno) => return Err(self.fail("openat", path, errno)),
        };
        let stat = fstat(&fd).map_err(|errno| self.fail("fstat", path, errno))?;
        if kind(&stat) != SFlag::S_IFREG {
            let path = self.path.join(path);
            return Err(Error::invalid(Stage::Image, format!("{path:?} is not a regular file")));
        }
        Ok(Some((File::from(fd), u64::try_from(stat.st_size).unwrap_or(0))))
    }

    /// Reads a whole small file; `None` where it does not exist, an error
    /// where it is longer than `limit` bytes.
    pub(crate) fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some((file, size)) = self.file(path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| self.io("read", path, error))?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            let path = self.path.join(path);
            let text = format!("{path:?} has {size} bytes, more than the limit of {limit}");
            return Err(Error::invalid(Stage::Image, text));
        }
        Ok(Some(bytes))
    }

    /// Makes a new file for reading and writing, mode 0600; it must not exist.
    pub(crate) fn create(&self, name: &str) -> Result<File> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR;
        open_at(self.as_fd(), name, flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map(File::from)
            .map_err(|errno| self.fail("openat", name, errno))
    }

    /// Replaces `name` as a whole: temporary name, fsync, rename, fsync of
    /// this directory. A crash leaves the old content or the new one.
    pub(crate) fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let temporary = temporary(name);
        self.remove(&temporary)?;
        let mut file = self.create(&temporary)?;
        file.write_all(bytes).map_err(|error| self.io("write", &temporary, error))?;
        file.sync_all().map_err(|error| self.io("fsync", &temporary, error))?;
        self.rename(&temporary, self, name)?;
        self.sync()
    }

    /// Whether a replacement of `name` was begun and not finished.
    pub(crate) fn is_half_replaced(&self, name: &str) -> Result<bool> {
        Ok(self.stat(temporary(name).as_bytes())?.is_some())
    }

    /// Removes what a replacement that was not finished has left.
    pub(crate) fn forget_replacement(&self, name: &str) -> Result<()> {
        self.remove(&temporary(name))
    }

    /// `renameat`.
    pub(crate) fn rename(&self, name: &str, to: &Dir, new: &str) -> Result<()> {
        renameat(self, name, to, new).map_err(|errno| {
            let (old, new) = (self.name(name.as_bytes()), to.name(new.as_bytes()));
            Error::sys(Stage::Image, format!("renameat({old:?}, {new:?})"), errno)
        })
    }

    /// Removes a file; absence is no error.
    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        match unlinkat(self, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(errno) => Err(self.fail("unlinkat", name, errno)),
        }
    }

    /// `fsync` of the directory: renames in it survive a power cut.
    pub(crate) fn sync(&self) -> Result<()> {
        fsync(self).map_err(|errno| failed("fsync", &self.path, errno))
    }

    /// The names in the directory, sorted, without `.` and `..`.
    pub(crate) fn names(&self) -> Result<Vec<Vec<u8>>> {
        names(self.as_fd()).map_err(|errno| failed("getdents64", &self.path, errno))
    }

    /// Removes `name` and, if it is a directory, all below it; follows no
    /// link, needs no memory per level. Absence is no error.
    pub(crate) fn remove_tree(&self, name: &[u8]) -> Result<()> {
        let path = self.path.join(OsStr::from_bytes(name));
        job::remove_tree(self.as_fd(), name, &path, |errno| self.fail("remove", name, errno))
    }

    fn io(&self, call: &str, name: &str, error: std::io::Error) -> Error {
        let path = self.path.join(name);
        super::unwrap_io(&format!("{call}({path:?})"), error)
    }
}

/// Where a replacement is written first.
fn temporary(name: &str) -> String {
    format!("{name}.new")
}

#[cfg(test)]
mod tests {
    use super::{beneath, open_at, walk};
    use nix::errno::Errno;
    use nix::fcntl::OFlag;
    use nix::sys::stat::{Mode, fstat};
    use std::fs::{self, File};
    use std::os::fd::AsFd;
    use std::os::unix::fs::symlink;

    #[test]
    fn walk_by_hand_opens_and_refuses_what_openat2_does() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/file"), "").unwrap();
        symlink("a", dir.path().join("link")).unwrap();
        symlink("/etc/passwd", dir.path().join("a/out")).unwrap();
        let root = File::open(dir.path()).unwrap();
        let plain = [OFlag::O_RDONLY, OFlag::O_PATH, OFlag::O_PATH | OFlag::O_DIRECTORY];
        for flags in plain {
            for path in [
                "a", "a/b", "a/file", "a/file/x", "none", "a/none/x", "link", "link/b", "a/out",
                "a/out/x", "a/../a", "..",
            ] {
                let inode = |fd| fstat(fd).unwrap().st_ino;
                let path = path.as_bytes();
                let kernels = beneath(root.as_fd(), path, flags).map(inode);
                let by_hand = walk(root.as_fd(), path, flags).map(inode);
                let text = String::from_utf8_lossy(path);
                // Paths that are not clean never come here; the walk refuses all.
                match path.windows(2).any(|two| two == b"..") {
                    true => assert_eq!(by_hand, Err(Errno::EXDEV), "{text}"),
                    false => assert_eq!(by_hand, kernels, "{text} {flags:?}"),
                }
            }
        }
        let link = open_at(root.as_fd(), "link", OFlag::O_RDONLY, Mode::empty());
        assert_eq!(link.map(drop), Err(Errno::ELOOP));
    }
}
