//! The signals that `ctrun` receives on behalf of a container.
//!
//! They are blocked and read from a descriptor, so that nothing interrupts a
//! command between two steps: a terminal is put back, a start is undone. The
//! helper that the library starts, and so the container, has them unblocked.
//! Source: signalfd(2).

use std::os::fd::{AsFd, BorrowedFd};

use libctr::{Error, Stage};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// What ends a command that has nothing running yet.
const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// What else is passed on, or says that the terminal has another size.
const OTHER: [Signal; 4] = [Signal::SIGUSR1, Signal::SIGUSR2, Signal::SIGALRM, Signal::SIGWINCH];

/// Signals as something to poll.
#[derive(Debug)]
pub(crate) struct Signals {
    ending: SignalFd,
    all: SignalFd,
}

impl Signals {
    /// Blocks the signals of this thread, which is the only one, for good.
    pub(crate) fn block() -> libctr::Result<Signals> {
        let ending: SigSet = ENDING.into_iter().collect();
        let all: SigSet = ENDING.into_iter().chain(OTHER).collect();
        let failed = |call| move |errno| Error::sys(Stage::Launch, call, errno);
        all.thread_block().map_err(failed("pthread_sigmask(SIG_BLOCK)"))?;
        let open = |set: &SigSet| {
            SignalFd::with_flags(set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
                .map_err(failed("signalfd()"))
        };
        Ok(Signals { ending: open(&ending)?, all: open(&all)? })
    }

    /// Readable when the command should end.
    pub(crate) fn ending(&self) -> BorrowedFd<'_> {
        self.ending.as_fd()
    }

    /// Readable when there is any signal.
    pub(crate) fn all(&self) -> BorrowedFd<'_> {
        self.all.as_fd()
    }

    /// Takes the next signal that has come, if there is one.
    pub(crate) fn take(&self) -> libctr::Result<Option<i32>> {
        let info = match self.all.read_signal() {
            Err(Errno::EINTR) => return Ok(None),
            other => other.map_err(|errno| Error::sys(Stage::Wait, "read(signalfd)", errno))?,
        };
        Ok(info.and_then(|info| i32::try_from(info.ssi_signo).ok()))
    }
}
