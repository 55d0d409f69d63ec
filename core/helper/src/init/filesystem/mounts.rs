//! The mounts of this process as /proc/self/mountinfo has them, and changes of
//! their flags by mount(2): what there is without mount_setattr(2), which came
//! with Linux 5.12.
//!
//! The /proc is the one of the host that lies below this process' root until
//! the container's takes its place: `self` in it is this process by its number
//! out there. A mount is only ever changed through a descriptor that is known
//! to be of that mount, never by a path, which somebody could redirect.
//!
//! Sources: proc_pid_mountinfo(5), proc_pid_fdinfo(5), mount(2).

use core::ffi::CStr;

use crate::monitor::number::{decimal, leading};
use crate::sys::{self, BorrowedFd, Errno, Fd, Result};

/// Room for a line up to the type: two paths, of which each byte may take four.
const LINE: usize = 36 * 1024;
/// Longest path, with its NUL (limits.h, PATH_MAX).
const PATH_MAX: usize = 4096;

/// What mountinfo calls the flags of a mount, and what mount(2) calls them.
/// Without a word for access times a remount leaves them as they are.
const FLAGS: [(&[u8], u64); 8] = [
    (b"ro", sys::MS_RDONLY),
    (b"nosuid", sys::MS_NOSUID),
    (b"nodev", sys::MS_NODEV),
    (b"noexec", sys::MS_NOEXEC),
    (b"nosymfollow", 1 << 8),
    (b"noatime", 1 << 10),
    (b"nodiratime", 1 << 11),
    (b"relatime", 1 << 21),
];

/// The path of a descriptor of this process.
pub(super) struct Descriptor([u8; 40]);

impl Descriptor {
    pub(super) fn of(fd: BorrowedFd) -> Descriptor {
        Descriptor::at(b"/proc/self/fd/", fd)
    }

    fn at(directory: &[u8], fd: BorrowedFd) -> Descriptor {
        let mut path = [0; 40];
        sys::copy(&mut path, directory);
        let mut digits = [0; 20];
        let number = decimal(u64::from(fd.0.cast_unsigned()), &mut digits);
        sys::copy(path.get_mut(directory.len()..).unwrap_or(&mut []), number);
        Descriptor(path)
    }

    pub(super) fn path(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or(c"")
    }
}

/// One mount.
struct Mount<'a> {
    id: u64,
    parent: u64,
    /// Where it is mounted, with spaces and the like as `\040`.
    point: &'a [u8],
    options: &'a [u8],
    kind: &'a [u8],
}

impl<'a> Mount<'a> {
    /// `id parent major:minor root point options [tag…] - type …`
    fn parse(line: &'a [u8]) -> Option<Mount<'a>> {
        let mut words = line.split(|byte| *byte == b' ');
        let (id, parent) = (leading(words.next()?)?, leading(words.next()?)?);
        let (_device, _root) = (words.next()?, words.next()?);
        let (point, options) = (words.next()?, words.next()?);
        words.find(|word| *word == b"-")?;
        Some(Mount { id, parent, point, options, kind: words.next()? })
    }

    fn flags(&self) -> u64 {
        let words = self.options.split(|byte| *byte == b',');
        words.fold(0, |flags, word| {
            let flag = FLAGS.iter().find(|(name, _)| *name == word).map_or(0, |(_, flag)| *flag);
            flags | flag
        })
    }

    /// Whether it lies at or below the place of another one.
    fn is_below(&self, top: &[u8]) -> bool {
        self.point.strip_prefix(top).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
    }

    /// Opens the uppermost mount on its place.
    fn open(&self) -> Result<Fd> {
        let mut path = [0; PATH_MAX];
        unescape(self.point, &mut path)?;
        let path = CStr::from_bytes_until_nul(&path).map_err(|_| Errno::ENAMETOOLONG)?;
        sys::open(Fd::CWD, path, sys::O_PATH | sys::O_NOFOLLOW, 0)
    }
}

/// Writes a path with its `\ooo` resolved; the buffer is zero after it.
fn unescape(escaped: &[u8], path: &mut [u8]) -> Result<()> {
    let mut rest = escaped;
    for slot in path {
        match *rest {
            [] => return Ok(()),
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ref tail @ ..] => {
                *slot = (a & 3) << 6 | (b & 7) << 3 | (c & 7);
                rest = tail;
            }
            [byte, ref tail @ ..] => {
                *slot = byte;
                rest = tail;
            }
        }
    }
    Err(Errno::ENAMETOOLONG)
}

/// Calls `visit` with every mount that this process can reach, parents first.
fn each(mut visit: impl FnMut(&Mount<'_>) -> Result<()>) -> Result<()> {
    let file = sys::open(Fd::CWD, c"/proc/self/mountinfo", sys::O_RDONLY, 0)?;
    let mut line = [0_u8; LINE];
    let mut length = 0_usize;
    let mut buffer = [0_u8; 4096];
    loop {
        let count = sys::read(file.borrow(), &mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        for byte in buffer.iter().take(count) {
            if *byte == b'\n' {
                let whole = line.get(..length).unwrap_or(&line);
                visit(&Mount::parse(whole).ok_or(Errno::EINVAL)?)?;
                length = 0;
            } else if let Some(slot) = line.get_mut(length) {
                // What does not fit are options of the file system.
                *slot = *byte;
                length = length.saturating_add(1);
            }
        }
    }
}

/// The mount in which an open file lies.
fn id(fd: BorrowedFd) -> Result<u64> {
    let path = Descriptor::at(b"/proc/self/fdinfo/", fd);
    let file = sys::open(Fd::CWD, path.path(), sys::O_RDONLY, 0)?;
    let mut buffer = [0; 1024];
    let length = sys::read(file.borrow(), &mut buffer)?;
    let text = buffer.get(..length).unwrap_or(&[]);
    let number = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"mnt_id:\t"));
    number.and_then(leading).ok_or(Errno::EINVAL)
}

/// Gives flags to a mount and all below it, each besides those that it has: of
/// some of them a user namespace may not let go. `top` is its root.
pub(super) fn set(top: BorrowedFd, flags: u64) -> Result<()> {
    let top = id(top)?;
    let mut place = [0_u8; LINE];
    let mut length = None;
    each(|mount| {
        if mount.id == top {
            sys::copy(&mut place, mount.point);
            length = Some(mount.point.len());
        }
        Ok(())
    })?;
    let place = length.and_then(|length| place.get(..length)).ok_or(Errno::EINVAL)?;
    each(|mount| match mount.is_below(place) && mount.flags() & flags != flags {
        true => change(mount, flags, 0),
        false => Ok(()),
    })
}

/// Takes flags away from one mount.
pub(super) fn clear(mount: BorrowedFd, flags: u64) -> Result<()> {
    let wanted = id(mount)?;
    each(|mount| match mount.id == wanted {
        true => change(mount, 0, flags),
        false => Ok(()),
    })
}

fn change(mount: &Mount<'_>, set: u64, clear: u64) -> Result<()> {
    let opened = mount.open()?;
    let found = id(opened.borrow())?;
    if found != mount.id {
        // Another mount on the same place covers it, and nobody reaches it;
        // or its place has been moved just now.
        let mut covered = false;
        each(|other| {
            covered |= other.id == found && other.point == mount.point;
            Ok(())
        })?;
        return if covered { Ok(()) } else { Err(Errno::ESTALE) };
    }
    let flags = (mount.flags() | set) & !clear;
    let place = Descriptor::of(opened.borrow());
    sys::mount(c"", place.path(), c"", sys::MS_REMOUNT | sys::MS_BIND | flags, c"")
}

/// Whether the root of this process is the file system that the kernel starts
/// with, which can be the root of nobody else.
pub(crate) fn root_is_rootfs() -> Result<bool> {
    let mut is = false;
    each(|mount| {
        is |= mount.point == b"/" && mount.kind == b"rootfs";
        Ok(())
    })?;
    Ok(is)
}

/// Takes every mount away that lies directly on the one of `root`, but `new`;
/// what is below goes with it. That of /proc is needed until the end.
pub(super) fn detach_all(root: BorrowedFd, new: BorrowedFd) -> Result<()> {
    let (root, new) = (id(root)?, id(new)?);
    loop {
        let mut found: Option<Fd> = None;
        each(|mount| {
            let is_old = mount.parent == root && mount.id != root && mount.id != new;
            if is_old && mount.point != b"/proc" && found.is_none() {
                found = Some(mount.open()?);
            }
            Ok(())
        })?;
        let Some(found) = found else { return sys::detach(c"/proc") };
        sys::detach(Descriptor::of(found.borrow()).path())?;
    }
}

#[cfg(test)]
mod tests {
    use super::{Descriptor, Mount, each, id, unescape};
    use crate::sys::{self, BorrowedFd, Fd};
    use std::string::String;
    use std::vec::Vec;

    #[test]
    fn line_gives_ids_place_flags_and_type() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402 ro,nosuid,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).expect("a mount");
        assert_eq!((mount.id, mount.parent, mount.kind), (36, 35, &b"ext3"[..]));
        assert_eq!(mount.flags(), sys::MS_RDONLY | sys::MS_NOSUID | 1 << 10);
        let mut path = [0; 16];
        assert_eq!(unescape(mount.point, &mut path), Ok(()));
        assert_eq!(&path[..8], b"/mnt 2\0\0");
        assert!(mount.is_below(b"/mnt\\0402") && mount.is_below(b"/mnt\\0402") && !mount.is_below(b"/mnt"));
        assert!(Mount::parse(b"36 35 98:0 / /x rw").is_none());
        assert!(unescape(b"12345678", &mut [0; 8]).is_err());
    }

    #[test]
    fn every_mount_of_this_process_is_seen() {
        let text = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let expected: Vec<u64> =
            text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
        let mut seen = Vec::new();
        each(|mount| {
            seen.push(mount.id);
            Ok(())
        })
        .expect("mounts");
        assert_eq!(seen, expected);
    }

    #[test]
    fn mount_of_a_descriptor_is_the_one_that_statx_tells() {
        let file = sys::open(Fd::CWD, c"/proc", sys::O_PATH, 0).expect("/proc");
        let mut place = String::new();
        let wanted = id(file.borrow()).expect("an id");
        each(|mount| {
            if mount.id == wanted {
                place = String::from_utf8_lossy(mount.point).into_owned();
            }
            Ok(())
        })
        .expect("mounts");
        assert_eq!(place, "/proc");
        assert_eq!(Descriptor::of(BorrowedFd(2147483647)).path(), c"/proc/self/fd/2147483647");
    }
}
