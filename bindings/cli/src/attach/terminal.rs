//! The user's terminal while a container has one of its own.
//!
//! Keys go to the container as they are typed, also Ctrl-C: raw mode. It is
//! put back when the value is dropped, on every way out; signals that would
//! end the process are blocked meanwhile ([`super::signals`]).
//! Source: termios(3).

use std::io::{IsTerminal, stderr, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};

use libctr::container::{resize_terminal, terminal_size};
use libctr::{Error, Stage};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::Pump;

/// Rows and columns where no terminal of the user says them.
const USUAL: (u16, u16) = (24, 80);

/// Rows and columns of the user's terminal.
pub(crate) fn size() -> (u16, u16) {
    let (input, output, error) = (stdin(), stdout(), stderr());
    let streams = [input.as_fd(), output.as_fd(), error.as_fd()];
    let known = |size: &(u16, u16)| *size != (0, 0);
    streams.into_iter().filter_map(terminal_size).find(known).unwrap_or(USUAL)
}

/// The connection between the user's terminal and a container's.
#[derive(Debug)]
pub(crate) struct Terminal {
    master: OwnedFd,
    /// How the user's terminal was, if it was changed.
    saved: Option<Termios>,
}

impl Terminal {
    /// Takes the master end of a container's terminal. With `input` the user's
    /// keys go there.
    pub(crate) fn connect(master: OwnedFd, input: bool) -> libctr::Result<Terminal> {
        let failed = |call| move |errno| Error::sys(Stage::Exec, call, errno);
        // Nobody else has this end: a program that reads nothing must not
        // stop this process.
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(failed("fcntl(terminal, F_SETFL, O_NONBLOCK)"))?;
        let mut terminal = Terminal { master, saved: None };
        if input && stdin().is_terminal() {
            let saved = tcgetattr(stdin()).map_err(failed("tcgetattr(0)"))?;
            let mut raw = saved.clone();
            cfmakeraw(&mut raw);
            terminal.saved = Some(saved);
            tcsetattr(stdin(), SetArg::TCSADRAIN, &raw).map_err(failed("tcsetattr(0, raw)"))?;
        }
        Ok(terminal)
    }

    /// What copies the container's output to the user.
    pub(crate) fn output(&self) -> libctr::Result<Pump> {
        Ok(Pump::new(own(&self.master)?, own(stdout())?))
    }

    /// What copies the user's keys to the container.
    pub(crate) fn input(&self) -> libctr::Result<Pump> {
        Ok(Pump::new(own(stdin())?, own(&self.master)?))
    }

    /// Gives the container's terminal the size of the user's.
    pub(crate) fn follow_size(&self) -> libctr::Result<()> {
        let (rows, columns) = size();
        resize_terminal(self.master.as_fd(), rows, columns)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(stdin(), SetArg::TCSADRAIN, saved);
        }
    }
}

/// A duplicate of our own.
pub(crate) fn own(fd: impl AsFd) -> libctr::Result<OwnedFd> {
    fd.as_fd()
        .try_clone_to_owned()
        .map_err(|error| Error::io(Stage::Exec, "fcntl(F_DUPFD_CLOEXEC)", error))
}
