//! Files, directories and mounts.

use core::ffi::CStr;

use super::{BorrowedFd, Errno, Fd, Result, address, address_mut, call, signed, text, wide};

pub(crate) const O_RDONLY: usize = 0;
pub(crate) const O_WRONLY: usize = 1;
pub(crate) const O_RDWR: usize = 2;
pub(crate) const O_CREAT: usize = 0o100;
pub(crate) const O_EXCL: usize = 0o200;
pub(crate) const O_NOCTTY: usize = 0o400;
pub(crate) const O_APPEND: usize = 0o2000;
pub(crate) const O_NONBLOCK: usize = 0o4000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_DIRECTORY: usize = 0o20_0000;
#[cfg(target_arch = "x86_64")]
pub(crate) const O_NOFOLLOW: usize = 0o40_0000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_DIRECTORY: usize = 0o4_0000;
#[cfg(target_arch = "aarch64")]
pub(crate) const O_NOFOLLOW: usize = 0o10_0000;
pub(crate) const O_PATH: usize = 0o1000_0000;
const O_CLOEXEC: usize = 0o200_0000;
const AT_EMPTY_PATH: usize = 0x1000;
const AT_RECURSIVE: usize = 0x8000;

pub(crate) const MS_RDONLY: u64 = 1;
pub(crate) const MS_NOSUID: u64 = 2;
pub(crate) const MS_NODEV: u64 = 4;
pub(crate) const MS_NOEXEC: u64 = 8;
pub(crate) const MS_REMOUNT: u64 = 32;
pub(crate) const MS_BIND: u64 = 4096;
pub(crate) const MS_MOVE: u64 = 8192;
pub(crate) const MS_REC: u64 = 16384;
pub(crate) const MS_PRIVATE: u64 = 1 << 18;

pub(crate) const S_IFMT: u32 = 0o17_0000;
pub(crate) const S_IFDIR: u32 = 0o4_0000;
pub(crate) const S_IFCHR: u32 = 0o2_0000;
pub(crate) const S_IFLNK: u32 = 0o12_0000;


/// openat(2), close-on-exec.
pub(crate) fn open(dir: BorrowedFd, path: &CStr, flags: usize, mode: u32) -> Result<Fd> {
    Fd::made(call!(OPENAT, dir.raw(), text(path), flags | O_CLOEXEC, mode as usize)?)
}

/// openat2(2) with RESOLVE_IN_ROOT and RESOLVE_NO_MAGICLINKS: `dir` is what
/// `/` means, whatever symbolic links the path meets. Where the call is missing
/// the path is walked by hand.
pub(crate) fn open_in_root(dir: BorrowedFd, path: &CStr, flags: usize) -> Result<Fd> {
    const NO_MAGICLINKS: u64 = 2;
    const IN_ROOT: u64 = 0x10;
    let how: [u64; 3] = [(flags | O_CLOEXEC) as u64, 0, NO_MAGICLINKS | IN_ROOT];
    loop {
        // EAGAIN: a rename raced with the walk (openat2(2)); the walk is safe
        // to repeat.
        match call!(OPENAT2, dir.raw(), text(path), address(&how), size_of_val(&how)) {
            Err(Errno::EAGAIN) => {}
            Err(errno) if errno.is_missing() => return super::resolve::open_in_root(dir, path, flags),
            other => return Fd::made(other?),
        }
    }
}

/// readlinkat(2) of an open link (O_PATH | O_NOFOLLOW); the length of its text.
pub(super) fn read_link(link: BorrowedFd, buffer: &mut [u8]) -> Result<usize> {
    call!(READLINKAT, link.raw(), text(c""), address_mut(buffer), buffer.len())
}

/// What statx(2) says of an open file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stat {
    pub(crate) mode: u32,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    /// Of a device: its major and minor number.
    pub(crate) device: (u32, u32),
    /// The file system: numbers that no other one has at the same time.
    pub(crate) file_system: (u32, u32),
}

/// statx(2) of an open file.
pub(crate) fn stat(fd: BorrowedFd) -> Result<Stat> {
    const STATX_BASIC: usize = 0x7ff;
    let mut buffer = [0_u64; 32];
    call!(STATX, fd.raw(), text(c""), AT_EMPTY_PATH, STATX_BASIC, address_mut(&mut buffer))?;
    // struct statx: mode is the u16 at byte 28, inode and size are the u64s at
    // bytes 32 and 40, the device's numbers the u32s at bytes 128 and 132,
    // those of the file system at 136 and 140.
    let [_, _, _, word, inode, size, ..] = buffer;
    let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, device, file_system, ..] = buffer;
    let [_, _, _, _, low, high, _, _] = word.to_le_bytes();
    let mode = u32::from(u16::from_le_bytes([low, high]));
    Ok(Stat { mode, inode, size, device: halves(device), file_system: halves(file_system) })
}

const fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// fstatfs(2): the type of the file system.
pub(crate) fn file_system_type(fd: BorrowedFd) -> Result<u64> {
    let mut buffer = [0_u64; 15];
    call!(FSTATFS, fd.raw(), address_mut(&mut buffer))?;
    Ok(buffer[0])
}

/// getcwd(2): whether this process' directory lies below its root. The kernel
/// says of any other one that it is `(unreachable)`.
pub(crate) fn is_inside_root() -> Result<bool> {
    let mut buffer = [0_u8; 4096];
    call!(GETCWD, address_mut(&mut buffer), buffer.len())?;
    Ok(buffer[0] == b'/')
}

pub(crate) fn read(fd: BorrowedFd, buffer: &mut [u8]) -> Result<usize> {
    loop {
        match call!(READ, fd.raw(), address_mut(buffer), buffer.len()) {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}

/// write(2) until all bytes are written.
pub(crate) fn write_all(fd: BorrowedFd, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match call!(WRITE, fd.raw(), address(bytes), bytes.len()) {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(n) => bytes = bytes.get(n..).ok_or(Errno::EINVAL)?,
        }
    }
    Ok(())
}

/// pwrite(2) at the start of the file; all bytes or an error.
pub(crate) fn write_at_start(fd: BorrowedFd, bytes: &[u8]) -> Result<()> {
    match call!(PWRITE64, fd.raw(), address(bytes), bytes.len(), 0) {
        Ok(n) if n == bytes.len() => Ok(()),
        Ok(_) => Err(Errno(28)), // ENOSPC: the file system took only a part
        Err(errno) => Err(errno),
    }
}

pub(crate) fn truncate(fd: BorrowedFd, size: u64) -> Result<()> {
    call!(FTRUNCATE, fd.raw(), wide(size)).map(drop)
}

pub(crate) fn mkdir(dir: BorrowedFd, path: &CStr, mode: u32) -> Result<()> {
    call!(MKDIRAT, dir.raw(), text(path), mode as usize).map(drop)
}

/// mknodat(2) with the kernel's encoding of the device number.
pub(crate) fn mknod(dir: BorrowedFd, path: &CStr, mode: u32, major: u32, minor: u32) -> Result<()> {
    let device = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    call!(MKNODAT, dir.raw(), text(path), mode as usize, device as usize).map(drop)
}

pub(crate) fn symlink(contents: &CStr, dir: BorrowedFd, path: &CStr) -> Result<()> {
    call!(SYMLINKAT, text(contents), dir.raw(), text(path)).map(drop)
}

pub(crate) fn unlink(dir: BorrowedFd, path: &CStr) -> Result<()> {
    call!(UNLINKAT, dir.raw(), text(path), 0).map(drop)
}

pub(crate) fn rmdir(dir: BorrowedFd, path: &CStr) -> Result<()> {
    const AT_REMOVEDIR: usize = 0x200;
    call!(UNLINKAT, dir.raw(), text(path), AT_REMOVEDIR).map(drop)
}

pub(crate) fn rename(dir: BorrowedFd, from: &CStr, to: &CStr) -> Result<()> {
    call!(RENAMEAT, dir.raw(), text(from), dir.raw(), text(to)).map(drop)
}

pub(crate) fn fchmod(fd: BorrowedFd, mode: u32) -> Result<()> {
    call!(FCHMOD, fd.raw(), mode as usize).map(drop)
}

pub(crate) fn fchown(fd: BorrowedFd, uid: u32, gid: u32) -> Result<()> {
    call!(FCHOWN, fd.raw(), uid as usize, gid as usize).map(drop)
}

/// fchownat(2) of what is open, also of a link (O_PATH).
pub(crate) fn chown_open(fd: BorrowedFd, uid: u32, gid: u32) -> Result<()> {
    call!(FCHOWNAT, fd.raw(), text(c""), uid as usize, gid as usize, AT_EMPTY_PATH).map(drop)
}

/// fchownat(2); a symbolic link is not followed.
pub(crate) fn fchownat(dir: BorrowedFd, path: &CStr, uid: u32, gid: u32) -> Result<()> {
    const AT_SYMLINK_NOFOLLOW: usize = 0x100;
    call!(FCHOWNAT, dir.raw(), text(path), uid as usize, gid as usize, AT_SYMLINK_NOFOLLOW).map(drop)
}

pub(crate) fn fsetxattr(fd: BorrowedFd, name: &CStr, value: &[u8]) -> Result<()> {
    call!(FSETXATTR, fd.raw(), text(name), address(value), value.len(), 0).map(drop)
}

/// getdents64(2); 0 at the end of the directory.
pub(crate) fn getdents(fd: BorrowedFd, buffer: &mut [u8]) -> Result<usize> {
    call!(GETDENTS64, fd.raw(), address_mut(buffer), buffer.len())
}

/// Calls `each` with every name in what getdents64(2) has returned
/// (struct linux_dirent64: inode u64, offset u64, length u16, type u8, name).
pub(crate) fn entries(mut rest: &[u8], mut each: impl FnMut(&CStr)) {
    while let Some([low, high]) = rest.get(16..18).and_then(|bytes| bytes.first_chunk::<2>()) {
        let size = usize::from(u16::from_le_bytes([*low, *high]));
        if let Some(name) = rest.get(19..size).and_then(|name| CStr::from_bytes_until_nul(name).ok()) {
            each(name);
        }
        rest = rest.get(size.max(1)..).unwrap_or(&[]);
    }
}

/// The number that a text is, if it is one.
pub(crate) fn decimal(text: &[u8]) -> Option<i32> {
    let digits = Some(text).filter(|text| !text.is_empty())?;
    digits.iter().try_fold(0_i32, |sum, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        sum.checked_mul(10)?.checked_add(i32::from(digit))
    })
}

pub(crate) fn chdir(path: &CStr) -> Result<()> {
    call!(CHDIR, text(path)).map(drop)
}

pub(crate) fn fchdir(fd: BorrowedFd) -> Result<()> {
    call!(FCHDIR, fd.raw()).map(drop)
}

pub(crate) fn mount(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: u64,
    data: &CStr,
) -> Result<()> {
    call!(MOUNT, text(source), text(target), text(kind), wide(flags), text(data)).map(drop)
}

/// umount2(2) with MNT_DETACH.
pub(crate) fn detach(target: &CStr) -> Result<()> {
    const MNT_DETACH: usize = 2;
    call!(UMOUNT2, text(target), MNT_DETACH).map(drop)
}

/// chroot(2).
pub(crate) fn chroot(path: &CStr) -> Result<()> {
    call!(CHROOT, text(path)).map(drop)
}

pub(crate) fn pivot_root(new: &CStr, old: &CStr) -> Result<()> {
    call!(PIVOT_ROOT, text(new), text(old)).map(drop)
}

pub(crate) fn fsopen(kind: &CStr) -> Result<Fd> {
    const FSOPEN_CLOEXEC: usize = 1;
    Fd::made(call!(FSOPEN, text(kind), FSOPEN_CLOEXEC)?)
}

/// fsconfig(2): one option with a value.
pub(crate) fn fsconfig_string(fs: BorrowedFd, key: &CStr, value: &CStr) -> Result<()> {
    const SET_STRING: usize = 1;
    call!(FSCONFIG, fs.raw(), SET_STRING, text(key), text(value), 0).map(drop)
}

/// fsconfig(2): one option without a value.
pub(crate) fn fsconfig_flag(fs: BorrowedFd, key: &CStr) -> Result<()> {
    const SET_FLAG: usize = 0;
    call!(FSCONFIG, fs.raw(), SET_FLAG, text(key), 0, 0).map(drop)
}

pub(crate) fn fsconfig_create(fs: BorrowedFd) -> Result<()> {
    const CMD_CREATE: usize = 6;
    call!(FSCONFIG, fs.raw(), CMD_CREATE, 0, 0, 0).map(drop)
}

/// fsmount(2): a mount that is attached nowhere yet.
pub(crate) fn fsmount(fs: BorrowedFd, attributes: u64) -> Result<Fd> {
    const FSMOUNT_CLOEXEC: usize = 1;
    Fd::made(call!(FSMOUNT, fs.raw(), FSMOUNT_CLOEXEC, wide(attributes))?)
}

/// open_tree(2) with OPEN_TREE_CLONE: a private copy of the mount at `path`.
pub(crate) fn open_tree(dir: BorrowedFd, path: &CStr, recursive: bool) -> Result<Fd> {
    const CLONE_CLOEXEC: usize = 1 | O_CLOEXEC;
    let recursive = if recursive { AT_RECURSIVE } else { 0 };
    Fd::made(call!(OPEN_TREE, dir.raw(), text(path), CLONE_CLOEXEC | AT_EMPTY_PATH | recursive)?)
}

/// move_mount(2) of a detached mount onto an open file or directory.
pub(crate) fn move_mount(mount: BorrowedFd, target: BorrowedFd) -> Result<()> {
    const BOTH_EMPTY_PATHS: usize = 0x4 | 0x40;
    call!(MOVE_MOUNT, mount.raw(), text(c""), target.raw(), text(c""), BOTH_EMPTY_PATHS).map(drop)
}

/// mount_setattr(2): sets attributes of a mount and of all below it.
pub(crate) fn mount_setattr(mount: BorrowedFd, set: u64) -> Result<()> {
    setattr(mount, AT_RECURSIVE, [set, 0, 0, 0])
}

/// mount_setattr(2): shows a mount and all below it with the ids of a user
/// namespace (Linux 5.12, for each file system that supports it).
pub(crate) fn mount_idmap(mount: BorrowedFd, users: BorrowedFd) -> Result<()> {
    const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
    let users = u64::from(users.0.cast_unsigned());
    setattr(mount, AT_RECURSIVE, [MOUNT_ATTR_IDMAP, 0, 0, users])
}

/// mount_setattr(2): clears attributes of one mount.
pub(crate) fn mount_clear(mount: BorrowedFd, clear: u64) -> Result<()> {
    setattr(mount, 0, [0, clear, 0, 0])
}

/// `attributes`: struct mount_attr: set, clear, propagation, user namespace.
fn setattr(mount: BorrowedFd, recursive: usize, attributes: [u64; 4]) -> Result<()> {
    let (at, size) = (address(&attributes), size_of_val(&attributes));
    call!(MOUNT_SETATTR, mount.raw(), text(c""), AT_EMPTY_PATH | recursive, at, size).map(drop)
}

/// The other side of the pseudo-terminal behind `master`
/// (ioctl_tty(2), TIOCGPTPEER): no path is involved.
pub(crate) fn terminal_peer(master: BorrowedFd) -> Result<Fd> {
    const TIOCGPTPEER: usize = 0x5441;
    Fd::made(call!(IOCTL, master.raw(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)?)
}

/// Unlocks the slave of `master` (TIOCSPTLCK) and tells its number (TIOCGPTN).
pub(crate) fn terminal_unlock(master: BorrowedFd) -> Result<u32> {
    const TIOCSPTLCK: usize = 0x4004_5431;
    const TIOCGPTN: usize = 0x8004_5430;
    let unlock = 0_i32;
    call!(IOCTL, master.raw(), TIOCSPTLCK, address(&unlock))?;
    let mut number = 0_u32;
    call!(IOCTL, master.raw(), TIOCGPTN, address_mut(&mut number))?;
    Ok(number)
}

pub(crate) fn terminal_size(master: BorrowedFd, rows: u16, columns: u16) -> Result<()> {
    const TIOCSWINSZ: usize = 0x5414;
    let size = [rows, columns, 0, 0];
    call!(IOCTL, master.raw(), TIOCSWINSZ, address(&size)).map(drop)
}

/// Makes the terminal the controlling one of this session.
pub(crate) fn controlling_terminal(terminal: BorrowedFd) -> Result<()> {
    const TIOCSCTTY: usize = 0x540e;
    call!(IOCTL, terminal.raw(), TIOCSCTTY, 0).map(drop)
}

/// Lets reads of a file wait again (fcntl(2), F_SETFL).
pub(crate) fn blocking(fd: BorrowedFd) -> Result<()> {
    const F_SETFL: usize = 4;
    call!(FCNTL, fd.raw(), F_SETFL, 0).map(drop)
}

/// How a descriptor was opened: `O_RDONLY`, `O_WRONLY` or `O_RDWR`.
pub(crate) fn access_mode(fd: BorrowedFd) -> Result<usize> {
    const F_GETFL: usize = 3;
    const O_ACCMODE: usize = 3;
    call!(FCNTL, fd.raw(), F_GETFL).map(|flags| flags & O_ACCMODE)
}

/// dup3(2) without close-on-exec: for 0, 1 and 2.
pub(crate) fn dup_to(fd: BorrowedFd, number: i32) -> Result<()> {
    call!(DUP3, fd.raw(), signed(number), 0).map(drop)
}
