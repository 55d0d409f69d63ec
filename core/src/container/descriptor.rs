//! Descriptors of a container: of its end, of its pid 1, and the ends that
//! the caller may take. Runs in the host; each can be taken once.

use std::os::fd::{BorrowedFd, OwnedFd};

use super::Container;
use super::held::Held;

impl Container {
    /// A descriptor for event loops: readable once the container has ended,
    /// and from then on. `None`: it had ended when this handle was opened, or
    /// another process is still starting it.
    /// C: `ctr_container_event_fd`.
    #[doc(alias = "ctr_container_event_fd")]
    #[must_use]
    pub fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.life()?.helper.as_ref().and_then(Held::event)
    }

    /// The pidfd of the container's pid 1. `None` also in a handle that was
    /// opened where `pidfd_open` is missing (before Linux 5.3).
    /// C: `ctr_container_pidfd`.
    #[doc(alias = "ctr_container_pidfd")]
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.life()?.init.as_ref().and_then(Held::pidfd)
    }

    /// Takes the caller's end of standard input (0), output (1) or error (2),
    /// where [`crate::Stdio::Pipe`] was asked for. Each can be taken once.
    /// C: `ctr_container_take_fd`.
    #[doc(alias = "ctr_container_take_fd")]
    #[must_use]
    pub fn take_stream(&self, number: usize) -> Option<OwnedFd> {
        let mut streams = self.streams.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        streams.get_mut(number).and_then(Option::take)
    }

    /// Takes the master end of the terminal, where `tty` was asked for.
    #[must_use]
    pub fn take_terminal(&self) -> Option<OwnedFd> {
        self.terminal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }

    /// Takes the listener of the filter of system calls, where a profile with
    /// `SCMP_ACT_NOTIFY` was asked for: seccomp_unotify(2) says how calls are
    /// received and answered on it. Such a call of the program waits for its
    /// answer; once the listener is closed it fails with ENOSYS.
    /// C: `ctr_container_take_fd`.
    #[must_use]
    pub fn take_seccomp_listener(&self) -> Option<OwnedFd> {
        self.listener.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}
