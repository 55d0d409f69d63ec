//! The size of terminals: of the host's own, and of a container's.
//!
//! Runs in the host. The master end that [`super::Container::take_terminal`]
//! gives and the program's end are one terminal with one size; changing it
//! sends SIGWINCH to the program. Source: ioctl_tty(2).

use std::os::fd::BorrowedFd;

use crate::error::{Error, Result, Stage};
use crate::sys;

/// Rows and columns of a terminal, either end of it. `None`: the descriptor
/// is no terminal.
#[must_use]
pub fn terminal_size(terminal: BorrowedFd<'_>) -> Option<(u16, u16)> {
    sys::terminal_size(terminal).ok()
}

/// Gives a terminal another size; its programs receive SIGWINCH if that is a
/// change.
///
/// # Errors
/// Stage `exec` with ENOTTY if the descriptor is no terminal.
pub fn resize_terminal(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> Result<()> {
    sys::resize_terminal(terminal, rows, columns).map_err(|errno| {
        Error::sys(Stage::Exec, format!("ioctl(TIOCSWINSZ, {rows} rows, {columns} columns)"), errno)
    })
}

#[cfg(test)]
mod tests {
    use super::{resize_terminal, terminal_size};
    use std::os::fd::AsFd;

    #[test]
    fn both_ends_have_the_new_size() {
        let terminal = nix::pty::openpty(None, None).unwrap();
        resize_terminal(terminal.master.as_fd(), 33, 101).unwrap();
        assert_eq!(terminal_size(terminal.slave.as_fd()), Some((33, 101)));
    }

    #[test]
    fn pipe_has_no_size_and_takes_none() {
        let (reader, _writer) = nix::unistd::pipe().unwrap();
        assert_eq!(terminal_size(reader.as_fd()), None);
        assert_eq!(
            resize_terminal(reader.as_fd(), 1, 2).unwrap_err().to_string(),
            "exec: ioctl(TIOCSWINSZ, 1 rows, 2 columns): ENOTTY (Not a typewriter)"
        );
    }
}
