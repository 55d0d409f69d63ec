//! Processes, signals, clocks and waiting.

use core::ffi::CStr;

use super::{BorrowedFd, Errno, Fd, Pointers, Result, address, address_mut, call, signed, text};

pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGCHLD: i32 = 17;
/// A child that has the same descriptors, not copies of them.
pub(crate) const CLONE_FILES: u64 = 0x400;
pub(crate) const CLONE_NEWNS: u64 = 0x0002_0000;
pub(crate) const CLONE_NEWCGROUP: u64 = 0x0200_0000;
/// The child's parent is that of the caller.
pub(crate) const CLONE_PARENT: u64 = 0x8000;
pub(crate) const CLONE_NEWUSER: u64 = 0x1000_0000;
pub(crate) const POLLIN: i16 = 1;
const SIGNAL_SET: usize = 8;

/// What wait4(2) says of a child that ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ended {
    pub(crate) pid: i32,
    /// The wait status.
    pub(crate) status: i32,
    /// CPU time and block I/O of the child and of those it waited for.
    pub(crate) usage: Usage,
}

/// The parts of struct rusage that are used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) user_ns: u64,
    pub(crate) system_ns: u64,
    /// Blocks of 512 bytes.
    pub(crate) blocks_in: u64,
    pub(crate) blocks_out: u64,
}

/// wait4(2) for one child (`pid`), or for any (−1); `None` if WNOHANG found none.
pub(crate) fn wait(pid: i32, hang: bool) -> Result<Option<Ended>> {
    const WNOHANG: usize = 1;
    let mut status = 0_i32;
    let mut usage = [0_u64; 18];
    let flags = if hang { 0 } else { WNOHANG };
    let pid = loop {
        match call!(WAIT4, signed(pid), address_mut(&mut status), flags, address_mut(&mut usage)) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    // struct rusage: two timevals, then longs; inblock is the 12th word.
    let [us, uu, ss, su, _, _, _, _, _, _, _, blocks_in, blocks_out, ..] = usage;
    let ns =
        |s: u64, us: u64| s.saturating_mul(1_000_000_000).saturating_add(us.saturating_mul(1000));
    let usage = Usage { user_ns: ns(us, uu), system_ns: ns(ss, su), blocks_in, blocks_out };
    let pid = i32::try_from(pid).map_err(|_| Errno::EINVAL)?;
    Ok((pid > 0).then_some(Ended { pid, status, usage }))
}

pub(crate) fn execve(path: &CStr, arguments: &Pointers<'_>, environment: &Pointers<'_>) -> Errno {
    match call!(EXECVE, text(path), arguments.start(), environment.start()) {
        Err(errno) => errno,
        Ok(_) => Errno::EINVAL,
    }
}

pub(crate) fn getpid() -> i32 {
    call!(GETPID).ok().and_then(|pid| i32::try_from(pid).ok()).unwrap_or(0)
}

pub(crate) fn exit(code: i32) -> ! {
    let _ = call!(EXIT_GROUP, signed(code));
    // A filter of system calls refuses even that.
    super::arch::trap()
}

/// pidfd_open(2).
pub(crate) fn pidfd_open(pid: i32) -> Result<Fd> {
    Fd::made(call!(PIDFD_OPEN, signed(pid), 0)?)
}

/// setns(2): of a process all namespaces of `kinds`, of a namespace that one.
pub(crate) fn setns(of: BorrowedFd, kinds: u64) -> Result<()> {
    call!(SETNS, of.raw(), super::wide(kinds)).map(drop)
}

/// pidfd_send_signal(2).
pub(crate) fn signal(pidfd: BorrowedFd, signal: i32) -> Result<()> {
    call!(PIDFD_SEND_SIGNAL, pidfd.raw(), signed(signal), 0, 0).map(drop)
}

/// Closes every descriptor of this process (close_range(2)).
pub(crate) fn close_all() {
    if call!(CLOSE_RANGE, 0, u32::MAX as usize, 0).is_err() {
        each_descriptor(|number| {
            let _ = call!(CLOSE, signed(number));
        });
    }
}

/// Closes every descriptor of this process but the standard streams and some.
pub(crate) fn close_all_but(keep: &[i32]) {
    let mut first = 3;
    loop {
        let kept = keep.iter().copied().filter(|number| *number >= first).min();
        let last = kept.map_or(u32::MAX, |number| number.cast_unsigned().saturating_sub(1));
        if last >= first.cast_unsigned() && call!(CLOSE_RANGE, signed(first), last as usize, 0).is_err() {
            break;
        }
        let Some(kept) = kept else { return };
        first = kept.saturating_add(1);
    }
    each_descriptor(|number| {
        if number > 2 && !keep.contains(&number) {
            let _ = call!(CLOSE, signed(number));
        }
    });
}

/// Makes every descriptor from `first` on close-on-exec (close_range(2)).
pub(crate) fn close_on_exec_from(first: i32) {
    const CLOSE_RANGE_CLOEXEC: usize = 4;
    const F_SETFD: usize = 2;
    const FD_CLOEXEC: usize = 1;
    if call!(CLOSE_RANGE, signed(first), u32::MAX as usize, CLOSE_RANGE_CLOEXEC).is_err() {
        each_descriptor(|number| {
            if number >= first {
                let _ = call!(FCNTL, signed(number), F_SETFD, FD_CLOEXEC);
            }
        });
    }
}

/// What there is without close_range (before Linux 5.9): the numbers in
/// `/proc/self/fd`, or, without /proc, all that a process may usually have.
fn each_descriptor(mut each: impl FnMut(i32)) {
    const USUAL: i32 = 4096;
    let flags = super::O_RDONLY | super::O_DIRECTORY;
    let Ok(directory) = super::open(Fd::CWD, c"/proc/self/fd", flags, 0) else {
        return (0..USUAL).for_each(each);
    };
    let mut buffer = [0_u8; 4096];
    while let Ok(length @ 1..) = super::getdents(directory.borrow(), &mut buffer) {
        super::entries(buffer.get(..length).unwrap_or(&[]), |name| {
            let number = super::decimal(name.to_bytes());
            if let Some(number) = number.filter(|number| *number != directory.borrow().0) {
                each(number);
            }
        });
    }
}

/// Calls `each` with the process id of every child of this process, as
/// `/proc/thread-self/children` has them (proc_pid_tid_children(5)).
pub(crate) fn each_child(mut each: impl FnMut(i32)) {
    let Ok(file) = super::open(Fd::CWD, c"/proc/thread-self/children", super::O_RDONLY, 0) else {
        return;
    };
    let mut buffer = [0_u8; 4096];
    let length = super::read(file.borrow(), &mut buffer).unwrap_or(0);
    // A number that is cut is found whole the next time.
    let text = buffer.get(..length).unwrap_or(&[]);
    let whole = text.iter().rposition(|byte| *byte == b' ').unwrap_or(0);
    let words = text.get(..whole).unwrap_or(&[]).split(|byte| *byte == b' ');
    words.filter_map(super::decimal).filter(|pid| *pid > 1).for_each(&mut each);
}

/// Blocks all signals of this process, or none.
pub(crate) fn block_signals(block: bool) {
    const SIG_SETMASK: usize = 2;
    let set = if block { u64::MAX } else { 0 };
    let _ = call!(RT_SIGPROCMASK, SIG_SETMASK, address(&set), 0, SIGNAL_SET);
}

/// Puts every signal back to its default: what the host ignores, its
/// containers should not (execve keeps SIG_IGN).
pub(crate) fn default_signals() {
    // struct sigaction of the kernel: handler, flags, restorer, mask.
    let default = [0_usize; 4];
    for signal in 1..=64 {
        let _ = call!(RT_SIGACTION, signal, address(&default), 0, SIGNAL_SET);
    }
}

/// Waits for one of the blocked signals; its number.
pub(crate) fn next_signal() -> Result<i32> {
    let all = u64::MAX;
    match call!(RT_SIGTIMEDWAIT, address(&all), 0, 0, SIGNAL_SET) {
        Ok(signal) => i32::try_from(signal).map_err(|_| Errno::EINVAL),
        Err(errno) => Err(errno),
    }
}

/// A non-blocking signalfd(2) for two blocked signals.
pub(crate) fn signalfd(a: i32, b: i32) -> Result<Fd> {
    const NONBLOCK_CLOEXEC: usize = 0o4000 | 0o200_0000;
    let bit = |signal: i32| 1_u64.checked_shl(signal.cast_unsigned().wrapping_sub(1)).unwrap_or(0);
    let set = bit(a) | bit(b);
    Fd::made(call!(SIGNALFD4, signed(-1), address(&set), SIGNAL_SET, NONBLOCK_CLOEXEC)?)
}

/// The next signal of a signalfd, and the value that came with it.
pub(crate) fn queued(signalfd: BorrowedFd) -> Option<(i32, i32)> {
    // struct signalfd_siginfo: the signal is the first word, si_int the word
    // at byte 44.
    let mut info = [0_u8; 128];
    if super::read(signalfd, &mut info) != Ok(128) {
        return None;
    }
    let word = |at: usize| info.get(at..)?.first_chunk().copied().map(i32::from_le_bytes);
    Some((word(0)?, word(44)?))
}

/// One descriptor to watch: struct pollfd.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Watch {
    pub(crate) fd: i32,
    pub(crate) events: i16,
    pub(crate) ready: i16,
}

/// ppoll(2); a `timeout_ns` of `None` waits for ever. Interruption counts as
/// "nothing ready".
pub(crate) fn poll(watches: &mut [Watch], timeout_ns: Option<u64>) -> Result<()> {
    let time = timeout_ns.map(timespec);
    let at = time.as_ref().map_or(0, address);
    match call!(PPOLL, address_mut(watches), watches.len(), at, 0, 0) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn timespec(ns: u64) -> [u64; 2] {
    [ns / 1_000_000_000, ns % 1_000_000_000]
}

fn clock(id: usize) -> u64 {
    let mut time = [0_u64; 2];
    let _ = call!(CLOCK_GETTIME, id, address_mut(&mut time));
    let [s, ns] = time;
    s.saturating_mul(1_000_000_000).saturating_add(ns)
}

/// CLOCK_MONOTONIC in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    clock(1)
}

/// CLOCK_REALTIME in nanoseconds since the epoch.
pub(crate) fn realtime_ns() -> u64 {
    clock(0)
}
