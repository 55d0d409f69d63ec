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

use crate::error::{Error, ErrorKind, Result, Stage};
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
        // See `helper`, which has executed nothing then.
        [0, NO_PIDFD] => Err(no_pidfd()),
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

/// In the place of an errno: the kernel has made no pidfd.
const NO_PIDFD: c_int = -1;

fn no_pidfd() -> Error {
    Error::new(Stage::Launch, ErrorKind::Unsupported, "clone(CLONE_PIDFD) gives no pidfd")
        .with_hint("libctr needs Linux 5.2 or newer")
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
    // Before Linux 5.2 the kernel took no notice of CLONE_PIDFD: nobody could
    // wait for what is executed here. It is written before this process runs.
    if job.pidfd.load(Ordering::Relaxed) < 0 {
        job.execveat.store(NO_PIDFD, Ordering::Relaxed);
        exit();
    }
    // What the host has open without close-on-exec is none of ours.
    // SAFETY: numbers only; this process has a descriptor table of its own.
    let closed =
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if closed != 0 {
        each_descriptor(|fd| {
            // SAFETY: numbers only; the table is this process' own.
            unsafe { libc::syscall(libc::SYS_fcntl, fd, libc::F_SETFD, libc::FD_CLOEXEC) };
        });
    }
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

/// What there is without close_range (before Linux 5.9): the numbers in
/// `/proc/self/fd`, or, without /proc, all that a process may usually have.
fn each_descriptor(each: impl Fn(libc::c_long)) {
    const USUAL: libc::c_long = 4096;
    let path: *const libc::c_char = c"/proc/self/fd".as_ptr();
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a constant.
    let directory = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags) };
    if directory < 0 {
        return (3..USUAL).for_each(each);
    }
    let mut buffer = [0_u8; 4096];
    loop {
        let (start, size) = (buffer.as_mut_ptr(), buffer.len());
        // SAFETY: the buffer is this function's own and has this size.
        let length = unsafe { libc::syscall(libc::SYS_getdents64, directory, start, size) };
        let length = usize::try_from(length).unwrap_or(0);
        let mut rest = buffer.get(..length).unwrap_or(&[]);
        // struct linux_dirent64: inode and offset (8 bytes each), length of
        // the entry (2), type (1), name.
        while let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, low, high, _, name @ ..] = rest {
            if let Some(number) = decimal(name).filter(|number| *number > 2 && *number != directory)
            {
                each(number);
            }
            let entry = usize::from(u16::from_le_bytes([*low, *high])).max(1);
            rest = rest.get(entry..).unwrap_or(&[]);
        }
        if length == 0 {
            return;
        }
    }
}

/// The number before the NUL, if it is one.
fn decimal(name: &[u8]) -> Option<libc::c_long> {
    let mut number: Option<libc::c_long> = None;
    for byte in name.iter().take_while(|byte| **byte != 0) {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        let tens = number.unwrap_or(0).checked_mul(10)?;
        number = Some(tens.checked_add(libc::c_long::from(digit))?);
    }
    number
}

/// Ends this process without running anything of the host's.
fn exit() -> ! {
    loop {
        // SAFETY: a number only.
        unsafe { libc::syscall(libc::SYS_exit, 0) };
    }
}

#[cfg(test)]
mod tests {
    use super::{decimal, each_descriptor, no_pidfd};
    use crate::error::{ErrorKind, Stage};
    use std::cell::RefCell;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn every_descriptor_from_3_on_is_found() {
        let files: Vec<File> = (0..300).map(|_| File::open("/dev/null").expect("file")).collect();
        let found = RefCell::new(Vec::new());
        each_descriptor(|number| found.borrow_mut().push(number));
        let found = found.into_inner();
        for file in &files {
            assert!(found.contains(&libc::c_long::from(file.as_raw_fd())), "{file:?}");
        }
        assert!(found.iter().all(|number| *number > 2));
    }

    #[test]
    fn names_that_are_no_numbers_are_none() {
        assert_eq!(decimal(b"170\0rest"), Some(170));
        assert_eq!((decimal(b".\0"), decimal(b"1x\0"), decimal(b"\0")), (None, None, None));
        assert_eq!(decimal(b"99999999999999999999999\0"), None);
    }

    #[test]
    fn kernel_without_pidfds_is_unsupported_and_the_version_is_named() {
        let error = no_pidfd();
        assert_eq!((error.kind(), error.stage()), (ErrorKind::Unsupported, Stage::Launch));
        let text = "launch: clone(CLONE_PIDFD) gives no pidfd; libctr needs Linux 5.2 or newer";
        assert_eq!(error.to_string(), text);
    }
}
