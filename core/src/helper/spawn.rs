//! Starts the helper from a host of any size with any number of threads.
//!
//! Two clones that share the host's memory, both vfork-style:
//!
//! ```text
//! host thread ── clone(VM|VFORK|FILES) ──▶ middle ── clone(VM|VFORK|PIDFD) ──▶ helper: execveat
//!   waits until middle is gone                exits as soon as the helper has executed
//! ```
//!
//! The middle process exists so that the helper is nobody's child of the
//! host: the host's `waitpid(-1)` and SIGCHLD never meet it. It shares the
//! host's descriptor table (`CLONE_FILES`), so the helper's pidfd appears
//! there; the helper has a copy of its own. The middle process has no exit
//! signal, and is reaped by its number with `__WALL` (wait(2)).
//!
//! # Safety
//! Between the clones and `execveat` the children run on a stack of their own
//! in the host's memory. They make raw system calls only: nothing is
//! allocated, dropped or locked, no libc function runs that knows of threads,
//! and all signals are blocked. `libc::syscall` and `libc::clone` are thin
//! wrappers; the first writes `errno` of the calling thread, which is
//! suspended meanwhile. The one structure that all of them use,
//! `Job`, lives on the host thread's stack; what the children answer in it are
//! atomics.

use std::ffi::{CString, c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

use crate::error::{Error, Result, Stage};
use crate::sys;

const STACK: usize = 64 * 1024;

/// What the children need, and what they answer.
struct Job<'a> {
    program: RawFd,
    arguments: [*const libc::c_char; 3],
    environment: [*const libc::c_char; 1],
    keep: &'a [RawFd],
    helper_stack: *mut c_void,
    /// The helper's pidfd, in the host's descriptor table.
    pidfd: AtomicI32,
    /// errno of `clone`.
    clone: AtomicI32,
    /// errno of `execveat`.
    execveat: AtomicI32,
}

/// Executes `program` and returns its pidfd. Its only argument is the number of
/// the plan's descriptor, its environment is empty, and of the host's
/// descriptors it has 0–2 and `keep`.
pub(crate) fn spawn(
    program: BorrowedFd<'_>,
    plan: BorrowedFd<'_>,
    keep: &[RawFd],
) -> Result<OwnedFd> {
    let name = c"libctr";
    let number = CString::new(plan.as_raw_fd().to_string()).unwrap_or_default();
    let mut stacks = sys::Memory::new(2 * STACK).map_err(|errno| {
        Error::sys(Stage::Launch, format!("mmap({} bytes of stack)", 2 * STACK), errno)
    })?;
    let (middle_top, helper_top) = stacks.tops();
    let job = Job {
        program: program.as_raw_fd(),
        arguments: [name.as_ptr(), number.as_ptr(), std::ptr::null()],
        environment: [std::ptr::null()],
        keep,
        helper_stack: helper_top,
        pidfd: AtomicI32::new(-1),
        clone: AtomicI32::new(0),
        execveat: AtomicI32::new(0),
    };
    let mask = sys::block_all_signals();
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    let argument: *mut c_void = std::ptr::from_ref(&job).cast_mut().cast();
    // SAFETY: `middle` keeps to the rules above; the stack and the job live
    // until it is gone, because CLONE_VFORK suspends this thread until then.
    let middle = unsafe { libc::clone(middle, middle_top, flags, argument) };
    let cloned = Errno::result(middle);
    sys::restore_signals(&mask);
    let failed = |call: &str, errno| Err(Error::sys(Stage::Launch, call, errno));
    match cloned {
        Ok(middle) => sys::reap(middle),
        Err(errno) => return failed("clone(VM|VFORK|FILES) for the helper", errno),
    }
    let pidfd = job.pidfd.load(Ordering::Relaxed);
    let errors = [job.clone.load(Ordering::Relaxed), job.execveat.load(Ordering::Relaxed)];
    match errors {
        [0, 0] => {
            let pidfd = sys::adopt_received(pidfd)
                .map_err(|errno| Error::sys(Stage::Launch, "fcntl(F_DUPFD_CLOEXEC)", errno))?;
            Ok(pidfd)
        }
        [0, errno] => {
            drop(sys::adopt_received(pidfd));
            failed("execveat(helper)", Errno::from_raw(errno))
        }
        [errno, _] => failed("clone(VM|VFORK|PIDFD) for the helper", Errno::from_raw(errno)),
    }
}

/// Runs in the middle process.
extern "C" fn middle(argument: *mut c_void) -> c_int {
    let job: *const Job<'_> = argument.cast_const().cast();
    // SAFETY: the host lends the job until this process is gone.
    let job = unsafe { &*job };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    let pidfd = job.pidfd.as_ptr();
    // SAFETY: as for `middle`: this process is suspended until `helper` has
    // executed or ended.
    let pid = unsafe { libc::clone(helper, job.helper_stack, flags, argument, pidfd) };
    if pid < 0 {
        job.clone.store(Errno::last_raw(), Ordering::Relaxed);
    }
    exit()
}

/// Runs in the process that becomes the helper.
extern "C" fn helper(argument: *mut c_void) -> c_int {
    let job: *const Job<'_> = argument.cast_const().cast();
    // SAFETY: the host lends the job until this process has executed.
    let job = unsafe { &*job };
    // What the host has open without close-on-exec is none of ours. Where the
    // call is missing the helper sets the rest close-on-exec itself.
    // SAFETY: numbers only; this process has a descriptor table of its own.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    for &fd in job.keep {
        // SAFETY: numbers only.
        unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, 0) };
    }
    let empty: *const libc::c_char = c"".as_ptr();
    let (arguments, environment) = (job.arguments.as_ptr(), job.environment.as_ptr());
    let flags = libc::AT_EMPTY_PATH;
    // SAFETY: both vectors end in a null and point to strings of the host,
    // whose memory this still is.
    unsafe { libc::syscall(libc::SYS_execveat, job.program, empty, arguments, environment, flags) };
    job.execveat.store(Errno::last_raw(), Ordering::Relaxed);
    exit()
}

/// Ends this process without running anything of the host's.
fn exit() -> ! {
    loop {
        // SAFETY: a number only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}
