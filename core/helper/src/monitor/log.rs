//! The log of a container that nobody reads from: what the program writes to
//! its standard streams goes into a file, as frames
//!
//! ```text
//! stream u32 (1 or 2) · bytes u32 · CLOCK_REALTIME ns u64 · the bytes
//! ```
//!
//! little endian. Two files, `log` and the older `log.1`, of half the wanted
//! size each: the oldest output goes first, and the program never waits.

use crate::init::descriptor;
use crate::plan::{Field, Plan};
use crate::sys::{self, BorrowedFd, Fd, POLLIN, Watch};

const FRAME: usize = 16;
/// One frame at most: a pipe's capacity (pipe(7)), and no more than one of the
/// two files may hold.
const CHUNK: usize = 65_536;

/// More than two full pipes hold, also of small packets (pipe-max-size).
const MOST_CHUNKS: u32 = 4096;

#[derive(Debug)]
pub(super) struct Log {
    streams: [Option<Fd>; 2],
    directory: Option<BorrowedFd>,
    file: Option<Fd>,
    used: u64,
    half: u64,
}

impl Log {
    pub(super) fn new(plan: Plan<'_>) -> Log {
        let stream = |field| descriptor(plan, field).map(|fd| Fd::adopt(fd.0));
        Log {
            streams: [stream(Field::LogStdout), stream(Field::LogStderr)],
            directory: descriptor(plan, Field::LogDirectory),
            file: None,
            used: 0,
            half: plan.get(Field::LogMax).unwrap_or(u64::MAX) / 2,
        }
    }

    pub(super) fn stdout(&self) -> Option<BorrowedFd> {
        self.streams.first().and_then(Option::as_ref).map(Fd::borrow)
    }

    pub(super) fn stderr(&self) -> Option<BorrowedFd> {
        self.streams.last().and_then(Option::as_ref).map(Fd::borrow)
    }

    /// A terminal's output goes into the log where there is one; else the
    /// descriptor is let go.
    pub(super) fn take_terminal(&mut self, master: Option<Fd>) {
        if self.directory.is_some()
            && let Some(slot) = self.streams.first_mut()
            && master.is_some()
        {
            *slot = master;
        }
    }

    /// Takes one chunk from each stream that has something.
    pub(super) fn copy(&mut self, stdout: bool, stderr: bool) {
        if stdout {
            self.take(0);
        }
        if stderr {
            self.take(1);
        }
    }

    /// Takes what is left once no process of the container is. Somebody
    /// outside may hold the other ends open, so this never waits for more,
    /// and takes no more than full pipes hold.
    pub(super) fn drain(&mut self) {
        for _ in 0..MOST_CHUNKS {
            let watch = |fd: Option<BorrowedFd>| Watch { fd: fd.map_or(-1, |fd| fd.0), events: POLLIN, ready: 0 };
            let mut watches = [watch(self.stdout()), watch(self.stderr())];
            let _ = sys::poll(&mut watches, Some(0));
            let [stdout, stderr] = watches.map(|watch| watch.ready != 0);
            if !stdout && !stderr {
                break;
            }
            self.copy(stdout, stderr);
        }
    }

    fn take(&mut self, stream: usize) {
        let mut buffer = [0_u8; FRAME + CHUNK];
        let Some(slot) = self.streams.get_mut(stream) else { return };
        let Some(pipe) = slot else { return };
        let Some((head, room)) = buffer.split_at_mut_checked(FRAME) else { return };
        let most = usize::try_from(self.half).unwrap_or(CHUNK).saturating_sub(FRAME).clamp(1, CHUNK);
        let Some(room) = room.get_mut(..most) else { return };
        let length = match sys::read(pipe.borrow(), room) {
            Ok(length) if length > 0 => length,
            // The end; for a terminal it is an error (EIO).
            _ => {
                *slot = None;
                return;
            }
        };
        let number = (stream as u64).wrapping_add(1) | (length as u64) << 32;
        if let Some((a, b)) = head.split_at_mut_checked(8) {
            sys::copy(a, &number.to_le_bytes());
            sys::copy(b, &sys::realtime_ns().to_le_bytes());
        }
        let size = length.saturating_add(FRAME);
        self.append(buffer.get(..size).unwrap_or(&[]));
    }

    fn append(&mut self, frame: &[u8]) {
        let Some(directory) = self.directory else { return };
        let size = frame.len() as u64;
        if self.file.is_some() && self.used.saturating_add(size) > self.half {
            let _ = sys::rename(directory, c"log", c"log.1");
            self.file = None;
        }
        if self.file.is_none() {
            let flags = sys::O_WRONLY | sys::O_CREAT | sys::O_APPEND | sys::O_NOFOLLOW;
            self.file = sys::open(directory, c"log", flags, 0o600).ok();
            self.used = 0;
        }
        if let Some(file) = &self.file {
            // A full disk loses output, never the container; nor does a part of
            // a frame stay, behind which no reader would find the next one.
            match sys::write_all(file.borrow(), frame) {
                Ok(()) => self.used = self.used.saturating_add(size),
                Err(_) => drop(sys::truncate(file.borrow(), self.used)),
            }
        }
    }
}
