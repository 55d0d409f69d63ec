//! Descriptors of a container for the caller: its end, its pid 1, its streams.
//!
//! # Safety
//! As in `container`. Each descriptor that is handed out is a new one, made
//! close-on-exec, and written to its place last.

use std::ffi::c_int;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::container::Container;
use crate::error::{CTR_E_NOT_FOUND, CTR_E_NOT_RUNNING, CTR_OK, Error};
use crate::input::Out;
use crate::panic::call;

/// `ctr_container_take_fd`: the end to write standard input to.
pub const CTR_STDIN: c_int = 0;
/// `ctr_container_take_fd`: the end to read standard output from.
pub const CTR_STDOUT: c_int = 1;
/// `ctr_container_take_fd`: the end to read standard error from.
pub const CTR_STDERR: c_int = 2;
/// `ctr_container_take_fd`: the master of the terminal.
pub const CTR_TERMINAL: c_int = 3;
/// `ctr_container_take_fd`: the listener of a seccomp profile with
/// `SCMP_ACT_NOTIFY`, for the requests of seccomp_unotify(2). Once it is
/// closed, calls that wait for an answer fail with ENOSYS.
pub const CTR_SECCOMP_LISTENER: c_int = 4;

/// A descriptor for event loops: readable once the container has ended, and
/// from then on; `ctr_wait` answers at once then. Only poll it.
///
/// `*fd` is the caller's, close-on-exec; close it with `close`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_event_fd(
    c: *mut Container,
    fd: *mut c_int,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(fd, "fd") }?;
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        out.set(match container.event_fd() {
            Some(fd) => duplicate(fd)?,
            None => always_readable()?,
        });
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

fn failed(call: &str, errno: Errno) -> Error {
    libctr::Error::sys(libctr::Stage::Wait, call, errno).into()
}

pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> Result<c_int, Error> {
    fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(|errno| failed("fcntl(F_DUPFD_CLOEXEC)", errno))
}

/// What stands for a container that had ended before it was opened.
pub(crate) fn always_readable() -> Result<c_int, Error> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let event = EventFd::from_value_and_flags(1, flags)
        .map_err(|errno| failed("eventfd(1, EFD_CLOEXEC)", errno))?;
    // A host with closed standard streams must not get it as one of them.
    duplicate(event.as_fd())
}

/// The pidfd of the container's pid 1, for those who want the kernel's own
/// object.
///
/// `*fd` is the caller's, close-on-exec. Errors: `CTR_E_NOT_RUNNING` if the
/// container had ended when it was opened; `CTR_E_UNSUPPORTED` for a handle
/// that was opened by name on a kernel without pidfd_open (before Linux 5.3).
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_pidfd(
    c: *mut Container,
    fd: *mut c_int,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(fd, "fd") }?;
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        let pidfd = container.pidfd().ok_or_else(|| {
            if container.event_fd().is_some() {
                return failed("pidfd_open(pid 1, came with Linux 5.3)", Errno::ENOSYS);
            }
            let message = format!("container {} is not running", container.id());
            absent(message).with_code(CTR_E_NOT_RUNNING)
        })?;
        out.set(duplicate(pidfd)?);
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

pub(crate) fn absent(message: String) -> Error {
    libctr::Error::new(libctr::Stage::State, libctr::ErrorKind::NotFound, message).into()
}

/// Takes the caller's end of a stream that was made for it
/// (`CTR_STDIO_PIPE`, or `"tty": true`), or the listener of a seccomp profile.
/// `which` is `CTR_STDIN`, `CTR_STDOUT`, `CTR_STDERR`, `CTR_TERMINAL` or
/// `CTR_SECCOMP_LISTENER`; each can be taken once.
///
/// `*fd` is the caller's, close-on-exec, blocking. Close standard input to
/// let the program see its end; writing to it raises SIGPIPE as any pipe
/// does. Errors: `CTR_E_NOT_FOUND` if there is no such stream or it was
/// taken.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_take_fd(
    c: *mut Container,
    which: c_int,
    fd: *mut c_int,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(fd, "fd") }?;
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        let taken = match (which, usize::try_from(which)) {
            (CTR_TERMINAL, _) => container.take_terminal(),
            (CTR_SECCOMP_LISTENER, _) => container.take_seccomp_listener(),
            (CTR_STDIN | CTR_STDOUT | CTR_STDERR, Ok(number)) => container.take_stream(number),
            _ => return Err(Error::invalid(format!("which is {which}, expected 0 to 4"))),
        };
        let taken = taken.ok_or_else(|| {
            let message = format!("stream {which} is no pipe of this handle, or was taken");
            absent(message).with_code(CTR_E_NOT_FOUND)
        })?;
        out.set(taken.into_raw_fd());
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}
