//! The system calls of the probe that the standard library does not have.
//!
//! # Safety
//! The probe has one thread and no dependencies, so the C library's functions
//! are declared here. Each block is one call with numbers, or with the address
//! of a value that lives through the call.

#![allow(unsafe_code, reason = "declares and calls functions of the C library")]

use std::ffi::{CString, c_char, c_int, c_long, c_ulong, c_void};
use std::io::{Error, Result};
use std::time::Duration;

pub(crate) const SIGKILL: c_int = 9;

unsafe extern "C" {
    #[link_name = "fork"]
    fn c_fork() -> c_int;
    #[link_name = "setsid"]
    fn c_setsid() -> c_int;
    #[link_name = "signal"]
    fn c_signal(signal: c_int, handler: usize) -> usize;
    #[link_name = "kill"]
    fn c_kill(pid: c_int, signal: c_int) -> c_int;
    #[link_name = "waitpid"]
    fn c_waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    #[link_name = "ioctl"]
    fn c_ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int;
    #[link_name = "syscall"]
    fn c_syscall(number: c_long, ...) -> c_long;
    #[link_name = "setuid"]
    fn c_setuid(uid: u32) -> c_int;
    #[link_name = "mknod"]
    fn c_mknod(path: *const c_char, mode: u32, device: u64) -> c_int;
    #[link_name = "clock"]
    fn c_clock() -> c_long;
}

/// Processor time that this process has used (clock(3): microseconds).
pub(crate) fn cpu_time() -> Duration {
    // SAFETY: takes nothing.
    Duration::from_micros(unsafe { c_clock() }.try_into().unwrap_or(0))
}

fn check(result: c_int) -> Result<c_int> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// `None` in the child.
pub(crate) fn fork() -> Result<Option<c_int>> {
    // SAFETY: one thread; the child goes on with a copy of everything.
    let pid = check(unsafe { c_fork() })?;
    Ok((pid != 0).then_some(pid))
}

pub(crate) fn setsid() -> Result<()> {
    // SAFETY: no arguments.
    check(unsafe { c_setsid() }).map(drop)
}

pub(crate) fn setuid(uid: u32) -> Result<()> {
    // SAFETY: a number only.
    check(unsafe { c_setuid(uid) }).map(drop)
}

/// A device node, open to everybody; numbers up to 255.
pub(crate) fn mknod(path: &str, block: bool, major: u8, minor: u8) -> Result<()> {
    let path = CString::new(path)?;
    let mode = if block { 0o6_0666 } else { 0o2_0666 };
    let device = u64::from(major) << 8 | u64::from(minor);
    // SAFETY: the path lives through the call.
    check(unsafe { c_mknod(path.as_ptr(), mode, device) }).map(drop)
}

pub(crate) fn ignore(signal: c_int) {
    const SIG_IGN: usize = 1;
    // SAFETY: numbers only; no handler of ours is installed.
    unsafe { c_signal(signal, SIG_IGN) };
}

/// The kernel's default action; the standard library has set some others.
pub(crate) fn default(signal: c_int) {
    const SIG_DFL: usize = 0;
    // SAFETY: numbers only.
    unsafe { c_signal(signal, SIG_DFL) };
}

pub(crate) fn kill(pid: c_int, signal: c_int) -> Result<()> {
    // SAFETY: numbers only.
    check(unsafe { c_kill(pid, signal) }).map(drop)
}

/// Begins to trace a process without stopping it (ptrace(2), PTRACE_SEIZE).
pub(crate) fn seize(pid: c_int) -> Result<()> {
    const PTRACE: c_long = if cfg!(target_arch = "x86_64") { 101 } else { 117 };
    const SEIZE: c_long = 0x4206;
    // SAFETY: numbers only.
    if unsafe { c_syscall(PTRACE, SEIZE, c_long::from(pid), 0_usize, 0_usize) } < 0 {
        return Err(Error::last_os_error());
    }
    Ok(())
}

/// The wait status of one child.
pub(crate) fn wait(pid: c_int) -> Result<c_int> {
    let mut status = 0;
    // SAFETY: `status` lives through the call.
    check(unsafe { c_waitpid(pid, &raw mut status, 0) })?;
    Ok(status)
}

/// Rows and columns; an error if the descriptor is no terminal.
pub(crate) fn terminal_size(fd: c_int) -> Result<(u16, u16)> {
    const TIOCGWINSZ: c_ulong = 0x5413;
    let mut size = [0_u16; 4];
    // SAFETY: struct winsize is four shorts, which live through the call.
    check(unsafe { c_ioctl(fd, TIOCGWINSZ, (&raw mut size).cast()) })?;
    Ok((size[0], size[1]))
}

/// The flags of a network interface.
pub(crate) fn interface_flags(socket: c_int, name: &[u8]) -> Result<u16> {
    const SIOCGIFFLAGS: c_ulong = 0x8913;
    let mut request = [0_u8; 40];
    request.iter_mut().zip(name.iter().take(15)).for_each(|(to, from)| *to = *from);
    // SAFETY: struct ifreq has 40 bytes, which live through the call.
    check(unsafe { c_ioctl(socket, SIOCGIFFLAGS, (&raw mut request).cast()) })?;
    Ok(u16::from_ne_bytes([request[16], request[17]]))
}

/// Serial number of the session keyring, made if there is none.
pub(crate) fn session_keyring() -> Result<c_long> {
    const KEYCTL: c_long = if cfg!(target_arch = "x86_64") { 250 } else { 219 };
    const GET_KEYRING_ID: c_long = 0;
    const SESSION_KEYRING: c_long = -3;
    // SAFETY: numbers only.
    let id = unsafe { c_syscall(KEYCTL, GET_KEYRING_ID, SESSION_KEYRING, 1, 0, 0) };
    if id < 0 { Err(Error::last_os_error()) } else { Ok(id) }
}

/// One system call by its number, by one of this machine's ABIs: `native`,
/// `i386` (the gate that 64-bit programs have as well) or `x32`.
pub(crate) fn call(abi: &str, number: c_long, words: [c_long; 6]) -> Result<c_long> {
    const X32_BIT: c_long = 0x4000_0000;
    let [a, b, c, d, e, f] = words;
    let number = match abi {
        "native" => number,
        "x32" => number | X32_BIT,
        "i386" => return gate(number),
        _ => return Err(Error::from_raw_os_error(22)),
    };
    // SAFETY: the tests hand numbers that are no addresses, or null.
    let result = unsafe { c_syscall(number, a, b, c, d, e, f) };
    if result == -1 { Err(Error::last_os_error()) } else { Ok(result) }
}

/// A call of i386 without arguments.
#[cfg(target_arch = "x86_64")]
fn gate(number: c_long) -> Result<c_long> {
    let mut result = number;
    // SAFETY: all arguments are zero, so no memory is touched. rbx, which the
    // compiler keeps for itself, is put back; the gate clears r8 to r11.
    unsafe {
        std::arch::asm!(
            "push rbx", "xor ebx, ebx", "int 0x80", "pop rbx",
            inlateout("rax") result,
            in("rcx") 0, in("rdx") 0, in("rsi") 0, in("rdi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    // The result has 32 bits.
    let [a, b, c, d, ..] = result.to_le_bytes();
    match i32::from_le_bytes([a, b, c, d]) {
        errno @ -4095..=-1 => Err(Error::from_raw_os_error(-errno)),
        result => Ok(result.into()),
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn gate(_: c_long) -> Result<c_long> {
    Err(Error::from_raw_os_error(38))
}
