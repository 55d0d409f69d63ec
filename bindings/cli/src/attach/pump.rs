//! Copies bytes from one descriptor to another, one step at a time.
//!
//! A pump never waits: it says what it needs to be polled for. It holds at
//! most one chunk, so that a slow reader slows the writer down. Descriptors
//! that the container's terminal shares with other processes are never made
//! non-blocking here; small writes after `POLLOUT` do not wait (pipe(7)).

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::PollFlags;

/// What a write after `POLLOUT` takes at once: `PIPE_BUF`.
const CHUNK: usize = 4096;

/// Bytes on their way.
#[derive(Debug)]
pub(crate) struct Pump {
    from: Option<File>,
    to: File,
    pending: Vec<u8>,
    /// How many more bytes may pass.
    left: u64,
    overflown: bool,
    broken: bool,
}

impl Pump {
    /// Copies from one to the other until either ends.
    pub(crate) fn new(from: OwnedFd, to: OwnedFd) -> Pump {
        let (from, to) = (Some(File::from(from)), File::from(to));
        Pump { from, to, pending: Vec::new(), left: u64::MAX, overflown: false, broken: false }
    }

    /// Passes at most so many bytes; more are read and dropped.
    pub(crate) fn limited(mut self, limit: Option<u64>) -> Pump {
        self.left = limit.unwrap_or(u64::MAX);
        self
    }

    /// What it waits for. `None`: it has ended.
    pub(crate) fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match &self.from {
            _ if !self.pending.is_empty() => Some((self.to.as_fd(), PollFlags::POLLOUT)),
            Some(from) => Some((from.as_fd(), PollFlags::POLLIN)),
            None => None,
        }
    }

    /// Whether there was more than the limit.
    pub(crate) fn is_overflown(&self) -> bool {
        self.overflown
    }

    /// Whether it holds bytes that are not written yet.
    pub(crate) fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether nobody reads what it writes any more.
    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Does what it was polled for.
    pub(crate) fn step(&mut self) {
        if self.pending.is_empty() { self.read() } else { self.write() }
    }

    fn read(&mut self) {
        let mut chunk = [0; CHUNK];
        let Some(from) = &mut self.from else { return };
        match from.read(&mut chunk) {
            Ok(0) => self.from = None,
            Ok(n) => {
                let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(n);
                self.pending.extend(&chunk[..room]);
                self.left = self.left.saturating_sub(n as u64);
                self.overflown |= room < n;
            }
            Err(error) if is_momentary(&error) => {}
            // A terminal without programs answers EIO: its end.
            Err(_) => self.from = None,
        }
    }

    fn write(&mut self) {
        match self.to.write(&self.pending) {
            Ok(n) => drop(self.pending.drain(..n)),
            Err(error) if is_momentary(&error) => {}
            // Nobody reads any more; the writer is told by the closed end.
            Err(_) => {
                self.pending.clear();
                self.from = None;
                self.broken = true;
            }
        }
    }
}

fn is_momentary(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::Pump;
    use nix::poll::PollFlags;
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;

    fn pipe() -> (OwnedFd, File) {
        let (reader, writer) = nix::unistd::pipe().unwrap();
        (reader, File::from(writer))
    }

    fn wanted(pump: &Pump) -> Option<PollFlags> {
        pump.interest().map(|(_, flags)| flags)
    }

    #[test]
    fn bytes_pass_until_the_end() {
        let (from, mut writer) = pipe();
        let (reader, to) = pipe();
        let mut pump = Pump::new(from, to.into());
        writer.write_all(b"text").unwrap();
        drop(writer);
        assert_eq!(wanted(&pump), Some(PollFlags::POLLIN));
        pump.step();
        assert_eq!(wanted(&pump), Some(PollFlags::POLLOUT));
        pump.step();
        pump.step();
        assert_eq!(wanted(&pump), None);
        drop(pump);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }

    #[test]
    fn no_more_than_the_limit_passes() {
        let (from, mut writer) = pipe();
        let (reader, to) = pipe();
        let mut pump = Pump::new(from, to.into()).limited(Some(5));
        for text in ["abc", "def"] {
            assert!(!pump.is_overflown());
            writer.write_all(text.as_bytes()).unwrap();
            pump.step();
            pump.step();
        }
        assert!(pump.is_overflown());
        drop(pump);
        let mut text = String::new();
        File::from(reader).read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcde");
    }

    #[test]
    fn reader_that_is_gone_ends_the_writer() {
        let (from, mut writer) = pipe();
        let (reader, to) = pipe();
        drop(reader);
        let mut pump = Pump::new(from, to.into());
        writer.write_all(b"text").unwrap();
        pump.step();
        pump.step();
        assert!(pump.is_broken());
        assert_eq!(wanted(&pump), None);
        assert_eq!(writer.write(b"more").unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    }
}
