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

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

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

/// `pidfd_send_signal(2)`: signals exactly the process behind `pidfd`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> SysResult<()> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: the siginfo pointer may be null (pidfd_send_signal(2)).
    let r = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, 0)
    };
    Errno::result(r).map(drop)
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

/// `fgetxattr(2)`: the value's length; `ERANGE` when it is longer than `value`.
pub(crate) fn fgetxattr(fd: BorrowedFd<'_>, name: &CStr, value: &mut [u8]) -> SysResult<usize> {
    let data: *mut libc::c_void = value.as_mut_ptr().cast();
    // SAFETY: name and buffer live as long as the call and the length is the
    // buffer's.
    let r = unsafe { libc::fgetxattr(fd.as_raw_fd(), name.as_ptr(), data, value.len()) };
    usize::try_from(Errno::result(r)?).map_err(|_| Errno::EOVERFLOW)
}
