//! Being attached to a container that runs, or to a program in one: signals go there, streams that
//! cannot be handed over are copied, until it has ended.

mod pump;
mod signals;
mod streams;
mod terminal;

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use libctr::{Container, Error, ErrorKind, Exec, Exit, Stage};
use nix::errno::Errno;
use nix::libc::{SIGHUP, SIGWINCH};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

pub(crate) use pump::Pump;
pub(crate) use signals::Signals;
pub(crate) use streams::{Streams, Wanted};
pub(crate) use terminal::{Terminal, own, size};

/// After the end, what is still in pipes is copied; a process outside the
/// container may hold their other ends, and is waited for this long.
const DRAIN: Duration = Duration::from_millis(100);

/// What runs: a container, or another program in one.
pub(crate) trait Running {
    fn event_fd(&self) -> Option<BorrowedFd<'_>>;
    fn wait(&self) -> libctr::Result<Option<Exit>>;
    fn kill(&self, signal: i32) -> libctr::Result<()>;
    fn end_for_output(&self) -> libctr::Result<()>;
    fn take_stream(&self, number: usize) -> Option<OwnedFd>;
    fn take_terminal(&self) -> Option<OwnedFd>;
}

macro_rules! running {
    ($of:ty) => {
        impl Running for $of {
            fn event_fd(&self) -> Option<BorrowedFd<'_>> {
                <$of>::event_fd(self)
            }
            fn wait(&self) -> libctr::Result<Option<Exit>> {
                <$of>::wait(self, None)
            }
            fn kill(&self, signal: i32) -> libctr::Result<()> {
                <$of>::kill(self, signal)
            }
            fn end_for_output(&self) -> libctr::Result<()> {
                <$of>::end_for_output(self)
            }
            fn take_stream(&self, number: usize) -> Option<OwnedFd> {
                <$of>::take_stream(self, number)
            }
            fn take_terminal(&self) -> Option<OwnedFd> {
                <$of>::take_terminal(self)
            }
        }
    };
}
running!(Container);
running!(Exec);

/// What runs and what connects it to the user.
pub(crate) struct Attached<'a> {
    pub(crate) running: &'a dyn Running,
    pub(crate) signals: &'a Signals,
    /// The user's terminal, if the container has one of its own.
    pub(crate) terminal: Option<Terminal>,
    pub(crate) outputs: Vec<Pump>,
    pub(crate) input: Option<Pump>,
}

/// What has happened.
struct Ready {
    ended: bool,
    signal: bool,
    copied: bool,
}

impl Attached<'_> {
    /// Stays until the container has ended.
    pub(crate) fn stay(mut self) -> libctr::Result<Exit> {
        let mut told = false;
        loop {
            let ready = self.poll(true)?;
            if ready.signal {
                self.pass_signals_on()?;
            }
            if !told {
                told = self.tell_program()?;
            }
            if ready.ended {
                break;
            }
        }
        self.drain()?;
        // The user's terminal is as it was before anything else is written.
        drop(self.terminal.take());
        Ok(self.running.wait()?.unwrap_or_else(Exit::lost))
    }

    /// Copies what the container has left in its streams.
    fn drain(&mut self) -> libctr::Result<()> {
        self.input = None;
        let mut last = Instant::now();
        while self.outputs.iter().any(|pump| pump.interest().is_some()) {
            let ready = self.poll(false)?;
            // Whoever wants an end of it does not wait for a slow reader.
            if ready.signal && self.signals.take()?.is_some_and(|signal| signal != SIGWINCH) {
                break;
            }
            if ready.copied || self.outputs.iter().any(Pump::is_full) {
                last = Instant::now();
            } else if last.elapsed() >= DRAIN {
                break;
            }
        }
        Ok(())
    }

    /// Waits for something to happen, and lets the pumps do their step.
    fn poll(&mut self, is_running: bool) -> libctr::Result<Ready> {
        let event = self.running.event_fd().filter(|_| is_running);
        let mut wanted: Vec<Option<(BorrowedFd<'_>, PollFlags)>> = vec![
            event.map(|fd| (fd, PollFlags::POLLIN)),
            Some((self.signals.all(), PollFlags::POLLIN)),
        ];
        wanted.extend(self.outputs.iter().chain(&self.input).map(Pump::interest));
        let mut fds: Vec<PollFd<'_>> =
            wanted.iter().flatten().map(|(fd, flags)| PollFd::new(*fd, *flags)).collect();
        let patience = if is_running { PollTimeout::NONE } else { PollTimeout::from(10_u8) };
        match poll(&mut fds, patience) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(Ready { ended: false, signal: false, copied: false }),
            Err(errno) => return Err(Error::sys(Stage::Wait, "poll(container, streams)", errno)),
        }
        let mut polled = fds.iter();
        let mut is_ready = |wanted: &Option<_>| {
            wanted.is_some() && polled.next().is_some_and(|fd| fd.any().unwrap_or(true))
        };
        let ready: Vec<bool> = wanted.iter().map(&mut is_ready).collect();
        let mut copied = false;
        for (pump, ready) in self.outputs.iter_mut().chain(&mut self.input).zip(&ready[2..]) {
            if *ready {
                pump.step();
                copied = true;
            }
        }
        // A handle without a descriptor is one of a container that has ended.
        let ended = ready[0] || self.running.event_fd().is_none();
        Ok(Ready { ended, signal: ready[1], copied })
    }

    fn pass_signals_on(&self) -> libctr::Result<()> {
        while let Some(signal) = self.signals.take()? {
            match (&self.terminal, signal) {
                (Some(terminal), SIGWINCH) => terminal.follow_size()?,
                (None, SIGWINCH) => {}
                _ => ignore_ended(self.running.kill(signal))?,
            }
        }
        Ok(())
    }

    /// Tells the program what it cannot see by itself: that it has written
    /// too much, or that its terminal has nobody behind it.
    fn tell_program(&self) -> libctr::Result<bool> {
        if self.outputs.iter().any(Pump::is_overflown) {
            ignore_ended(self.running.end_for_output())?;
            return Ok(true);
        }
        if self.terminal.is_some() && self.outputs.iter().any(Pump::is_broken) {
            ignore_ended(self.running.kill(SIGHUP))?;
            return Ok(true);
        }
        Ok(false)
    }
}

/// A container may end by itself at any time.
fn ignore_ended(result: libctr::Result<()>) -> libctr::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
