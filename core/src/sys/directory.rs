//! A process by its directory in /proc, where `pidfd_open` is missing: before
//! Linux 5.3, or behind a filter.
//!
//! Host side. The open directory is of that process for good, whoever gets its
//! number later; `pidfd_send_signal(2)` takes it in the place of a pidfd. What
//! it cannot do is wake somebody when the process ends.
//!
//! Errors: the errno; ESRCH for a process that is gone, ENOSYS where /proc is
//! not there or shows the numbers of another pid namespace.
//! Sources: pidfd_send_signal(2), proc_pid_stat(5).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlink};
use nix::sys::stat::Mode;

use super::{SysResult, high, pidfd_open};

/// What signals exactly the process `pid`: its pidfd, or its directory.
pub(crate) fn signal_handle(pid: i32) -> SysResult<OwnedFd> {
    match pidfd_open(pid) {
        Err(Errno::ENOSYS | Errno::EPERM) => process_directory(pid),
        other => other,
    }
}

/// The directory `/proc/<pid>`.
pub(crate) fn process_directory(pid: i32) -> SysResult<OwnedFd> {
    let own = readlink("/proc/self").map_err(|_| Errno::ENOSYS)?;
    if own.to_str() != Some(std::process::id().to_string().as_str()) {
        return Err(Errno::ENOSYS);
    }
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    match open(format!("/proc/{pid}").as_str(), flags, Mode::empty()) {
        Err(Errno::ENOENT) => Err(Errno::ESRCH),
        other => high(other?),
    }
}

/// Whether the process has ended, reaped or not.
pub(crate) fn has_ended(directory: BorrowedFd<'_>) -> SysResult<bool> {
    let mut text = [0; 4096];
    let length = openat(directory, "stat", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        .and_then(|stat| nix::unistd::read(stat.as_fd(), &mut text));
    match length {
        // Its name may hold anything; after it comes the state.
        Ok(length) => {
            let end = text[..length].iter().rposition(|byte| *byte == b')');
            let state = end.and_then(|end| text.get(end + 2));
            Ok(matches!(state, Some(b'Z' | b'X')))
        }
        Err(Errno::ENOENT | Errno::ESRCH) => Ok(true),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::{has_ended, process_directory};
    use crate::sys::pidfd_send_signal;
    use nix::errno::Errno;
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    #[test]
    fn directory_of_a_process_takes_signals_until_it_is_gone() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat");
        let pid = i32::try_from(child.id()).expect("a pid");
        let directory = process_directory(pid).expect("directory");
        let directory = directory.as_fd();
        assert_eq!(pidfd_send_signal(directory, 0), Ok(()));
        assert_eq!(has_ended(directory), Ok(false));
        drop(child.stdin.take());
        // Ended, and not reaped.
        while has_ended(directory) == Ok(false) {
            std::thread::yield_now();
        }
        assert_eq!(pidfd_send_signal(directory, 0), Ok(()));
        child.wait().expect("wait");
        assert_eq!(has_ended(directory), Ok(true));
        assert_eq!(pidfd_send_signal(directory, 0), Err(Errno::ESRCH));
        assert_eq!(process_directory(pid).map(drop), Err(Errno::ESRCH));
    }
}
