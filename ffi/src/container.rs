//! `ctr_container_t`: a container that was started or opened.
//!
//! # Safety
//! A handle is an `Arc` as a raw pointer: `ctr_container_ref` adds a
//! reference, `ctr_container_unref` gives one back. The library's own type
//! does its locking, so that all threads may use one handle at a time.

use std::ffi::{CString, c_char, c_int};
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::buffer::Buffer;
use crate::error::{CTR_E_NOT_FOUND, CTR_E_NOT_RUNNING, CTR_OK, CTR_PENDING, Error};
use crate::exit::Exit;
use crate::input::{self, Out, SizedOut};
use crate::owner::Owner;
use crate::panic::{call, quiet};

/// `ctr_container_take_fd`: the end to write standard input to.
pub const CTR_STDIN: c_int = 0;
/// `ctr_container_take_fd`: the end to read standard output from.
pub const CTR_STDOUT: c_int = 1;
/// `ctr_container_take_fd`: the end to read standard error from.
pub const CTR_STDERR: c_int = 2;
/// `ctr_container_take_fd`: the master of the terminal.
pub const CTR_TERMINAL: c_int = 3;

/// `ctr_container_delete`: kill it first if it runs.
pub const CTR_DELETE_FORCE: u32 = 1;

/// A container. Reference-counted; all threads may use it at the same time.
#[derive(Debug)]
pub struct Container {
    inner: libctr::Container,
    id: CString,
    owner: Owner,
}

impl Container {
    pub(crate) fn into_raw(inner: libctr::Container) -> *mut Container {
        let id = CString::new(inner.id()).unwrap_or_default();
        Arc::into_raw(Arc::new(Container { inner, id, owner: Owner::this_process() })).cast_mut()
    }

    /// # Safety
    /// `pointer` is NULL or a container of this library.
    unsafe fn read<'a>(pointer: *const Container) -> Result<&'a libctr::Container, Error> {
        // SAFETY: the caller's promise.
        let container = unsafe { input::handle(pointer, "c") }?;
        container.owner.check()?;
        Ok(&container.inner)
    }
}

/// Adds a reference and returns `c`. NULL stays NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_container_ref(c: *mut Container) -> *mut Container {
    if !c.is_null() {
        // SAFETY: a container of this library, so an `Arc`.
        unsafe { Arc::increment_strong_count(c.cast_const()) };
    }
    c
}

/// Gives a reference back; the last one frees the handle. Never ends the
/// container. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_container_unref(c: *mut Container) {
    if !c.is_null() {
        // SAFETY: a container of this library, and this is one of its
        // references.
        let container = unsafe { Arc::from_raw(c.cast_const()) };
        quiet((), || drop(container));
    }
}

/// The id: 32 hexadecimal digits.
///
/// Lives as long as the handle. Empty for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ctr_container_id(c: *const Container) -> *const c_char {
    // SAFETY: NULL or a container of this library.
    unsafe { c.as_ref() }.map_or(c"".as_ptr(), |container| container.id.as_ptr())
}

/// Waits until the container has ended: until no process of it exists and
/// everything that goes with it is removed.
///
/// `timeout_ms`: milliseconds; -1 waits for ever, 0 only looks. Returns
/// `CTR_PENDING` when the time has passed first. Works any number of times,
/// from several threads at once, before and after the end, also on a handle
/// of `ctr_container_open`. `ex` may be NULL; set `ex->size` before.
///
/// Errors: stage `wait` if waiting itself fails.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_wait(
    c: *mut Container,
    timeout_ms: i64,
    ex: *mut Exit,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        // SAFETY: the header's contract.
        let out = unsafe { SizedOut::new(ex, "ex") }?;
        let timeout = match timeout_ms {
            -1 => None,
            other => Some(milliseconds(other, "timeout_ms")?),
        };
        let Some(exit) = container.wait(timeout)? else { return Ok(CTR_PENDING) };
        out.set(&Exit::from(&exit));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

fn milliseconds(ms: i64, name: &str) -> Result<Duration, Error> {
    u64::try_from(ms)
        .map(Duration::from_millis)
        .map_err(|_| Error::invalid(format!("{name} is {ms}, expected 0 or more")))
}

/// Sends a signal to the program. SIGKILL ends the whole container. `flags`
/// must be 0.
///
/// Errors: `CTR_E_NOT_RUNNING` if the container has ended, `CTR_E_INVALID`
/// for a signal that does not exist.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_kill(
    c: *mut Container,
    sig: c_int,
    flags: u32,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        known(flags, 0)?;
        container.kill(sig).map_err(Error::of_running)?;
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

fn known(flags: u32, all: u32) -> Result<(), Error> {
    match flags & !all {
        0 => Ok(()),
        unknown => Err(Error::unsupported(format!("flags: {unknown:#x} is unknown"))),
    }
}

/// Asks the program to end with its stop signal, kills everything after
/// `grace_ms` milliseconds (0 or more), and waits for the end. A container
/// that has ended gives its record again. `ex` may be NULL; set `ex->size`
/// before.
///
/// Errors: as `ctr_wait`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_stop(
    c: *mut Container,
    grace_ms: i64,
    ex: *mut Exit,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        // SAFETY: the header's contract.
        let out = unsafe { SizedOut::new(ex, "ex") }?;
        let exit = container.stop(milliseconds(grace_ms, "grace_ms")?)?;
        out.set(&Exit::from(&exit));
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

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

fn duplicate(fd: BorrowedFd<'_>) -> Result<c_int, Error> {
    fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(|errno| failed("fcntl(F_DUPFD_CLOEXEC)", errno))
}

/// What stands for a container that had ended before it was opened.
fn always_readable() -> Result<c_int, Error> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let event = EventFd::from_value_and_flags(1, flags)
        .map_err(|errno| failed("eventfd(1, EFD_CLOEXEC)", errno))?;
    // A host with closed standard streams must not get it as one of them.
    duplicate(std::os::fd::AsFd::as_fd(&event))
}

/// The pidfd of the container's pid 1, for those who want the kernel's own
/// object.
///
/// `*fd` is the caller's, close-on-exec. Errors: `CTR_E_NOT_RUNNING` if the
/// container had ended when it was opened.
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
            let message = format!("container {} is not running", container.id());
            absent(message).with_code(CTR_E_NOT_RUNNING)
        })?;
        out.set(duplicate(pidfd)?);
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

fn absent(message: String) -> Error {
    libctr::Error::new(libctr::Stage::State, libctr::ErrorKind::NotFound, message).into()
}

/// Takes the caller's end of a stream that was made for it
/// (`CTR_STDIO_PIPE`, or `"tty": true`). `which` is `CTR_STDIN`,
/// `CTR_STDOUT`, `CTR_STDERR` or `CTR_TERMINAL`; each can be taken once.
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
            (CTR_STDIN | CTR_STDOUT | CTR_STDERR, Ok(number)) => container.take_stream(number),
            _ => return Err(Error::invalid(format!("which is {which}, expected 0 to 3"))),
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

/// What is known of the container now, as a JSON object: `id`, `name`,
/// `image`, `command`, `status` (`created`, `running`, `paused`, `exited`),
/// `pid`, `exit`, `created_at_ns`, `labels`, `groups`, `spec`, ...
///
/// `*out` is the caller's; free it with `ctr_buf_free`. Errors: stage `state`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_state_json(
    c: *mut Container,
    out: *mut Buffer,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let out = unsafe { Out::new(out, "out") }?;
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        out.set(Buffer::json(&container.info()?)?);
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}

/// Removes a container that is kept after its end (`"remove": false`, or
/// `"detach": true`). `flags`: 0, or `CTR_DELETE_FORCE` to kill it first.
///
/// The handle stays valid until `ctr_container_unref`. Errors: `CTR_E_BUSY`
/// if it runs and is not forced.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn ctr_container_delete(
    c: *mut Container,
    flags: u32,
    err: *mut *mut Error,
) -> c_int {
    let body = || {
        // SAFETY: the header's contract.
        let container = unsafe { Container::read(c) }?;
        known(flags, CTR_DELETE_FORCE)?;
        container.remove(flags & CTR_DELETE_FORCE != 0)?;
        Ok(CTR_OK)
    };
    // SAFETY: the header's contract.
    unsafe { call(err, body) }
}
