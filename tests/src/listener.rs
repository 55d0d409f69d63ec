//! The listener of a filter of system calls (seccomp_unotify(2)).

#![allow(unsafe_code, reason = "two requests of ioctl that have no wrapper")]

use std::io::{Error, Result};
use std::os::fd::{AsRawFd, BorrowedFd};

/// A call that waits for its answer.
#[derive(Debug)]
pub struct Notification {
    id: u64,
    /// Its number.
    pub number: i32,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// The next call. Waits for it.
///
/// # Errors
/// Those of the kernel; ENOENT if the caller is gone.
pub fn receive(listener: BorrowedFd<'_>) -> Result<Notification> {
    const SECCOMP_IOCTL_NOTIF_RECV: libc::c_ulong = 0xc050_2100;
    // struct seccomp_notif: id, pid and flags, number and architecture,
    // instruction, six arguments.
    let mut words = [0_u64; 10];
    // SAFETY: the structure has 80 bytes, which live through the call.
    let done =
        unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_RECV, words.as_mut_ptr()) };
    if done < 0 {
        return Err(Error::last_os_error());
    }
    let [id, _, call, _, arguments @ ..] = words;
    let [a, b, c, d, ..] = call.to_ne_bytes();
    Ok(Notification { id, number: i32::from_ne_bytes([a, b, c, d]), arguments })
}

/// Answers a call with a result, or with an errno.
///
/// # Errors
/// Those of the kernel.
pub fn answer(
    listener: BorrowedFd<'_>,
    call: &Notification,
    result: std::result::Result<i64, i32>,
) -> Result<()> {
    const SECCOMP_IOCTL_NOTIF_SEND: libc::c_ulong = 0xc018_2101;
    #[repr(C)]
    struct Response {
        id: u64,
        value: i64,
        error: i32,
        flags: u32,
    }
    let (value, error) = match result {
        Ok(value) => (value, 0),
        Err(errno) => (0, -errno),
    };
    let response = Response { id: call.id, value, error, flags: 0 };
    // SAFETY: struct seccomp_notif_resp, which lives through the call.
    let done =
        unsafe { libc::ioctl(listener.as_raw_fd(), SECCOMP_IOCTL_NOTIF_SEND, &raw const response) };
    if done < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
