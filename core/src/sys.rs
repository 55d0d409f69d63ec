//! System calls that the host side needs and crate `nix` does not wrap.
//!
//! # Safety
//! This is one of the few files that may use `unsafe`. Each block holds one
//! operation: a raw system call whose pointers come from live references of
//! the caller, or the adoption of a descriptor that the kernel has just made
//! for us. Nothing here changes the process: no credentials, namespaces,
//! signal state or working directory.
//!
//! Every descriptor made here is close-on-exec and numbered 3 or higher, also
//! in a host that runs with its standard streams closed.

mod bpf;
mod directory;

use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

pub(crate) use bpf::{attach_device_program, load_device_program};
pub(crate) use directory::{has_ended, process_directory, signal_handle};

/// Result of a system call.
pub(crate) type SysResult<T> = Result<T, Errno>;

/// Adopts a descriptor number that the kernel has just returned.
fn adopt(number: libc::c_long) -> SysResult<OwnedFd> {
    let number = RawFd::try_from(Errno::result(number)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel made this descriptor in the call just before, so
    // nothing else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    high(fd)
}

/// Moves a descriptor out of 0–2, where a host with closed standard streams
/// would otherwise receive ours in the place of its own.
pub(crate) fn high(fd: OwnedFd) -> SysResult<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    dup(fd.as_fd())
}

/// A close-on-exec duplicate numbered 3 or higher.
pub(crate) fn dup(fd: BorrowedFd<'_>) -> SysResult<OwnedFd> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: `fcntl` made this descriptor in the call just before.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `pidfd_open(2)`: a descriptor that becomes readable when the process ends.
pub(crate) fn pidfd_open(pid: i32) -> SysResult<OwnedFd> {
    // SAFETY: takes two integers.
    adopt(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// The process behind `pidfd`, in this process' numbers; ESRCH if it has ended
/// (and was reaped) or has none here (proc_pid_fdinfo(5)).
pub(crate) fn pid_of(pidfd: BorrowedFd<'_>) -> SysResult<i32> {
    let path = format!("/proc/thread-self/fdinfo/{}", pidfd.as_raw_fd());
    let failed = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    let file = high(std::fs::File::open(path).map_err(failed)?.into())?;
    let mut text = String::new();
    std::fs::File::from(file).read_to_string(&mut text).map_err(failed)?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.filter(|pid| *pid > 0).ok_or(Errno::ESRCH)
}

/// `pidfd_send_signal(2)`: signals exactly the process behind `pidfd`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> SysResult<()> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the siginfo pointer may be null (pidfd_send_signal(2)).
    let r =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0) };
    Errno::result(r).map(drop)
}

/// `pidfd_send_signal(2)` with a value that travels along (`sigqueue(3)`).
pub(crate) fn pidfd_queue(pidfd: BorrowedFd<'_>, signal: i32, value: i32) -> SysResult<()> {
    // siginfo_t of a queued signal: si_signo, si_errno, si_code, padding,
    // si_pid, si_uid, si_value (sigaction(2); asm-generic/siginfo.h).
    let uid = nix::unistd::getuid().as_raw();
    let pid = nix::unistd::getpid().as_raw();
    let mut info = [0_i32; 32];
    [info[0], info[2], info[4], info[5], info[6]] =
        [signal, libc::SI_QUEUE, pid, uid.cast_signed(), value];
    let address: *const [i32; 32] = &raw const info;
    // SAFETY: the structure has the 128 bytes of a siginfo_t and lives through
    // the call.
    let r = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, address, 0)
    };
    Errno::result(r).map(drop)
}

/// A signal mask as the kernel has it, with the signals that libc hides.
pub(crate) struct SignalMask(u64);

/// Blocks every signal of this thread, also those that libc keeps for itself.
pub(crate) fn block_all_signals() -> SignalMask {
    let all = u64::MAX;
    let mut before = 0_u64;
    let (set, old): (*const u64, *mut u64) = (&raw const all, &raw mut before);
    // SAFETY: two sets of 8 bytes each, as the last argument says.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, set, old, 8) };
    SignalMask(before)
}

/// Puts the mask of this thread back.
pub(crate) fn restore_signals(mask: &SignalMask) {
    let set: *const u64 = &raw const mask.0;
    let old: *mut u64 = std::ptr::null_mut();
    // SAFETY: a set of 8 bytes, as the last argument says.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, set, old, 8) };
}

/// Waits for one child that raises no signal when it ends. A host that waits
/// for all children with `__WALL` may have been faster.
pub(crate) fn reap(pid: i32) {
    loop {
        // SAFETY: the status pointer may be null (waitpid(2)).
        let r = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
        if Errno::result(r) != Err(Errno::EINTR) {
            return;
        }
    }
}

/// The effective capabilities of the calling thread (capget(2)), one bit each.
pub(crate) fn effective_capabilities() -> SysResult<u64> {
    const VERSION_3: u32 = 0x2008_0522;
    let mut header = [VERSION_3, 0];
    // Effective, permitted, inheritable: low words, then high words.
    let mut data = [0_u32; 6];
    // SAFETY: both arrays have the layout and size of version 3 and live
    // through the call.
    let ret = unsafe { libc::syscall(libc::SYS_capget, header.as_mut_ptr(), data.as_mut_ptr()) };
    Errno::result(ret)?;
    Ok(u64::from(data[0]) | (u64::from(data[3]) << 32))
}

/// The version of Landlock that the kernel has (landlock_create_ruleset(2)).
pub(crate) fn landlock_version() -> SysResult<i64> {
    const VERSION: libc::c_int = 1;
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: with this flag the pointer must be null and nothing is written.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION)
    })
}

/// Reaps the process behind `pidfd` if it has ended and this process happens
/// to be its parent: the host may be a subreaper or the first process of its
/// pid namespace.
pub(crate) fn reap_pidfd(pidfd: BorrowedFd<'_>) {
    let Ok(id) = libc::id_t::try_from(pidfd.as_raw_fd()) else { return };
    let none: *mut libc::siginfo_t = std::ptr::null_mut();
    // SAFETY: the siginfo pointer may be null on Linux (waitid(2)).
    unsafe { libc::waitid(libc::P_PIDFD, id, none, libc::WEXITED | libc::WNOHANG | libc::__WALL) };
}

/// Anonymous memory, unmapped when dropped.
pub(crate) struct Memory {
    start: *mut libc::c_void,
    size: usize,
}

impl Memory {
    /// `size` bytes, a multiple of the page size.
    pub(crate) fn new(size: usize) -> SysResult<Memory> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping; nothing is replaced.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        Ok(Memory { start, size })
    }

    /// The upper ends of its two halves, for two stacks that grow down.
    pub(crate) fn tops(&mut self) -> (*mut libc::c_void, *mut libc::c_void) {
        (self.start.wrapping_byte_add(self.size / 2), self.start.wrapping_byte_add(self.size))
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, which nothing uses any more.
        unsafe { libc::munmap(self.start, self.size) };
    }
}

/// `flock(2)`: exclusive, not waiting. The lock belongs to the open file, so
/// a process that inherits the descriptor keeps it. False: somebody has it.
pub(crate) fn try_lock(fd: BorrowedFd<'_>) -> SysResult<bool> {
    // SAFETY: takes two integers.
    let r = unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    match Errno::result(r) {
        Ok(_) => Ok(true),
        Err(Errno::EWOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Adopts a descriptor that has just arrived in a message (unix(7)).
pub(crate) fn adopt_received(number: RawFd) -> SysResult<OwnedFd> {
    // SAFETY: the kernel made this descriptor for the message, so nothing
    // else owns it.
    high(unsafe { OwnedFd::from_raw_fd(number) })
}

/// `getrandom(2)`: fills a small buffer.
pub(crate) fn getrandom(buffer: &mut [u8]) -> SysResult<()> {
    loop {
        // SAFETY: the buffer lives through the call and has this length.
        let r = unsafe { libc::getrandom(buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        match Errno::result(r) {
            Err(Errno::EINTR) => {}
            // Up to 256 bytes come whole (getrandom(2)).
            other => return other.map(drop),
        }
    }
}

/// `ioctl(TIOCGWINSZ)`: rows and columns of a terminal.
pub(crate) fn terminal_size(terminal: BorrowedFd<'_>) -> SysResult<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel fills the structure, which lives through the call.
    let r = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    Errno::result(r)?;
    Ok((size.ws_row, size.ws_col))
}

/// `ioctl(TIOCSWINSZ)`.
pub(crate) fn resize_terminal(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> SysResult<()> {
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel reads the structure, which lives through the call.
    let r = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(r).map(drop)
}

/// `fgetxattr(2)`: the length of the value that was put into `value`; ERANGE
/// if it does not fit.
pub(crate) fn fgetxattr(fd: BorrowedFd<'_>, name: &CStr, value: &mut [u8]) -> SysResult<usize> {
    // SAFETY: name and buffer are live, and the length is the buffer's own.
    let r = unsafe {
        libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len())
    };
    usize::try_from(Errno::result(r)?).map_err(|_| Errno::EIO)
}

/// `fsetxattr(2)`.
pub(crate) fn fsetxattr(fd: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> SysResult<()> {
    let data: *const libc::c_void = value.as_ptr().cast();
    // SAFETY: name and value live as long as the call and the length is the
    // value's.
    let r = unsafe { libc::fsetxattr(fd.as_raw_fd(), name.as_ptr(), data, value.len(), 0) };
    Errno::result(r).map(drop)
}

/// `lsetxattr(2)`: the last component of `path` is not followed.
pub(crate) fn lsetxattr(path: &CStr, name: &CStr, value: &[u8]) -> SysResult<()> {
    let data: *const libc::c_void = value.as_ptr().cast();
    // SAFETY: path, name and value live as long as the call and the length is
    // the value's.
    let r = unsafe { libc::lsetxattr(path.as_ptr(), name.as_ptr(), data, value.len(), 0) };
    Errno::result(r).map(drop)
}

/// `llistxattr(2)`: the names, each with its NUL, or their length when
/// `names` is empty. The last component of `path` is not followed.
pub(crate) fn llistxattr(path: &CStr, names: &mut [u8]) -> SysResult<usize> {
    let data: *mut libc::c_char = names.as_mut_ptr().cast();
    // SAFETY: path and buffer live as long as the call and the length is the
    // buffer's.
    let r = unsafe { libc::llistxattr(path.as_ptr(), data, names.len()) };
    usize::try_from(Errno::result(r)?).map_err(|_| Errno::EOVERFLOW)
}

/// `lgetxattr(2)`: the value, or its length when `value` is empty. The last
/// component of `path` is not followed.
pub(crate) fn lgetxattr(path: &CStr, name: &CStr, value: &mut [u8]) -> SysResult<usize> {
    let data: *mut libc::c_void = value.as_mut_ptr().cast();
    // SAFETY: path, name and buffer live as long as the call and the length is
    // the buffer's.
    let r = unsafe { libc::lgetxattr(path.as_ptr(), name.as_ptr(), data, value.len()) };
    usize::try_from(Errno::result(r)?).map_err(|_| Errno::EOVERFLOW)
}

/// `write(2)` that leaves no SIGPIPE behind: it would end a host that is
/// written in C. The kernel sends it to the writing thread alone (pipe(7)), so
/// that thread blocks it and takes it back, unless one was waiting before.
pub(crate) fn write_quietly(fd: BorrowedFd<'_>, bytes: &[u8]) -> SysResult<usize> {
    let mask = block_all_signals();
    let waiting = sigpipe_waits();
    let result = nix::unistd::write(fd, bytes);
    if result == Err(Errno::EPIPE) && !waiting {
        take_sigpipe();
    }
    restore_signals(&mask);
    result
}

/// The set with SIGPIPE alone, as the kernel has it.
const SIGPIPE: u64 = 1 << (libc::SIGPIPE - 1);

fn sigpipe_waits() -> bool {
    let mut set = 0_u64;
    let address: *mut u64 = &raw mut set;
    // SAFETY: a set of 8 bytes, as the last argument says.
    unsafe { libc::syscall(libc::SYS_rt_sigpending, address, 8) };
    set & SIGPIPE != 0
}

/// Takes a waiting SIGPIPE; does not wait for one.
fn take_sigpipe() {
    let (only, now) = (SIGPIPE, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    let (set, time): (*const u64, *const libc::timespec) = (&raw const only, &raw const now);
    let none: *mut libc::siginfo_t = std::ptr::null_mut();
    // SAFETY: a set of 8 bytes, as the last argument says; the siginfo pointer
    // may be null (sigwaitinfo(2)).
    unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, set, none, time, 8) };
}

/// `ioctl(FICLONE)`: `to` shares all data of `from` until one is written to
/// (ioctl_ficlone(2)).
pub(crate) fn ficlone(to: BorrowedFd<'_>, from: BorrowedFd<'_>) -> SysResult<()> {
    // SAFETY: takes two descriptors.
    let r = unsafe { libc::ioctl(to.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) };
    Errno::result(r).map(drop)
}

/// `open_tree(2)` with OPEN_TREE_CLONE: a mount of the directory `path` that is
/// attached nowhere and shows nothing that is mounted below; gone with the
/// last descriptor into it. `path` is followed.
pub(crate) fn open_tree(path: &CStr) -> SysResult<OwnedFd> {
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: the path is live and ends in NUL.
    adopt(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

#[cfg(test)]
mod tests {
    use super::{
        block_all_signals, fgetxattr, fsetxattr, restore_signals, sigpipe_waits, take_sigpipe,
        write_quietly,
    };
    use nix::errno::Errno;
    use std::os::fd::AsFd;

    #[test]
    fn fgetxattr_reads_what_was_set() {
        let file = tempfile::tempfile().expect("file");
        let mut value = [0; 4];
        let name = c"user.libctr";
        assert_eq!(fgetxattr(file.as_fd(), name, &mut value), Err(Errno::ENODATA));
        fsetxattr(file.as_fd(), name, b"abc").expect("attribute");
        assert_eq!(fgetxattr(file.as_fd(), name, &mut value), Ok(3));
        assert_eq!(&value[..3], b"abc");
        assert_eq!(fgetxattr(file.as_fd(), name, &mut value[..2]), Err(Errno::ERANGE));
    }

    #[test]
    fn pipe_without_reader_is_an_error_and_no_signal() {
        let (reader, writer) = nix::unistd::pipe().expect("pipe");
        assert_eq!(write_quietly(writer.as_fd(), b"x"), Ok(1));
        drop(reader);
        // Blocked, so that a signal that is left would be seen.
        let mask = block_all_signals();
        assert_eq!(write_quietly(writer.as_fd(), b"x"), Err(Errno::EPIPE));
        let left = sigpipe_waits();
        // One of the host's own stays.
        assert_eq!(nix::unistd::write(&writer, b"x"), Err(Errno::EPIPE));
        let waiting = sigpipe_waits();
        assert_eq!(write_quietly(writer.as_fd(), b"x"), Err(Errno::EPIPE));
        let kept = sigpipe_waits();
        take_sigpipe();
        restore_signals(&mask);
        assert_eq!((left, waiting, kept), (false, true, true));
    }
}
