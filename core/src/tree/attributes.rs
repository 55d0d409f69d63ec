//! Owner, mode, times and extended attributes of a file.
//!
//! Host process. Order matters: owner first (chown clears set-id bits and
//! file capabilities), then extended attributes, then mode, times last.
//!
//! Errors: the errno; callers name the path.
//! Sources: chown(2), xattr(7), utimensat(2).

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{
    FchmodatFlags, FileStat, Mode, UtimensatFlags, fchmod, fchmodat, futimens, utimensat,
};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, Uid, fchown, fchownat};

use crate::sys::{self, SysResult};

/// A point in time, as files have it. Nanoseconds count forward from the
/// second, also before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: i64,
}

impl Time {
    fn spec(self) -> TimeSpec {
        TimeSpec::new(self.seconds, self.nanoseconds)
    }
}

/// What a file is given beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) xattrs: Vec<(CString, Vec<u8>)>,
}

impl Attributes {
    /// A directory that no archive describes and no lower layer has.
    pub(crate) fn implicit() -> Attributes {
        Attributes { mode: 0o755, uid: 0, gid: 0, mtime: Time::default(), xattrs: Vec::new() }
    }

    /// Reads what `name` in `dir` has, without following it; of the extended
    /// attributes those whose name `keep` accepts.
    pub(crate) fn of(
        dir: BorrowedFd<'_>,
        name: &[u8],
        stat: &FileStat,
        keep: fn(&[u8]) -> bool,
    ) -> SysResult<Attributes> {
        Ok(Attributes {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Time { seconds: stat.st_mtime, nanoseconds: stat.st_mtime_nsec },
            xattrs: xattrs(&procfs(dir, name)?, keep)?,
        })
    }

    /// Gives a file or directory its attributes through an open descriptor.
    /// Returns how many extended attributes the file system refused to hold.
    pub(crate) fn apply(&self, fd: BorrowedFd<'_>) -> SysResult<u32> {
        fchown(fd, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?;
        let skipped = self.each_xattr(|name, value| sys::fsetxattr(fd, name, value))?;
        fchmod(fd, Mode::from_bits_truncate(self.mode))?;
        futimens(fd, &self.mtime.spec(), &self.mtime.spec())?;
        Ok(skipped)
    }

    /// As [`Attributes::apply`] for what cannot be opened: symbolic links
    /// (which have no mode), devices, FIFOs. `name` must be one that the
    /// caller has just made in a directory that nobody else can reach.
    pub(crate) fn apply_at(
        &self,
        dir: BorrowedFd<'_>,
        name: &[u8],
        symlink: bool,
    ) -> SysResult<u32> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        fchownat(dir, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let mut skipped = 0;
        if !self.xattrs.is_empty() {
            let path = procfs(dir, name)?;
            skipped = self.each_xattr(|name, value| sys::lsetxattr(&path, name, value))?;
        }
        if !symlink {
            let mode = Mode::from_bits_truncate(self.mode);
            fchmodat(dir, name, mode, FchmodatFlags::FollowSymlink)?;
        }
        let (time, flags) = (self.mtime.spec(), UtimensatFlags::NoFollowSymlink);
        utimensat(dir, name, &time, &time, flags)?;
        Ok(skipped)
    }

    fn each_xattr(&self, set: impl Fn(&CStr, &[u8]) -> SysResult<()>) -> SysResult<u32> {
        let mut skipped = 0;
        for (name, value) in &self.xattrs {
            match set(name, value) {
                Ok(()) => {}
                // The file system has no place for it, or it is one that this
                // type of file cannot have (`user.` on a symbolic link).
                Err(Errno::EOPNOTSUPP) => skipped += 1,
                Err(Errno::EPERM) if name.to_bytes().starts_with(b"user.") => skipped += 1,
                Err(errno) => return Err(errno),
            }
        }
        if skipped > 0 {
            log::warn!("{skipped} extended attributes cannot be stored here");
        }
        Ok(skipped)
    }
}

/// A path for the calls that have no `*at` form: the directory by descriptor,
/// one last component, which those calls do not follow.
fn procfs(dir: BorrowedFd<'_>, name: &[u8]) -> SysResult<CString> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_fd().as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    CString::new(path).map_err(|_| Errno::EINVAL)
}

fn xattrs(path: &CStr, keep: fn(&[u8]) -> bool) -> SysResult<Vec<(CString, Vec<u8>)>> {
    let size = match sys::llistxattr(path, &mut []) {
        Ok(size) => size,
        Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(errno) => return Err(errno),
    };
    let mut names = vec![0; size];
    let used = sys::llistxattr(path, &mut names)?;
    let mut found = Vec::new();
    for name in names[..used].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if !keep(name) {
            continue;
        }
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let mut value = vec![0; sys::lgetxattr(path, &name, &mut [])?];
        let used = sys::lgetxattr(path, &name, &mut value)?;
        value.truncate(used);
        found.push((name, value));
    }
    found.sort();
    Ok(found)
}
