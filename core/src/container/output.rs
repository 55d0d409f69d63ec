//! Collecting what a program writes, with a bound.
//!
//! One loop on the caller's thread feeds standard input and drains both
//! outputs, so that no pipe can block another. `limits.output` bounds what is
//! kept of each stream; what is over it is counted as lost.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use libctr_helper::message::Control;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::Container;
use crate::error::{Error, Result, Stage};
use crate::spec::{ExecLimits, Keep, Limits};
use crate::sys;
use crate::wait::Exit;

/// What a container wrote, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// What is kept of standard output.
    pub stdout: Vec<u8>,
    /// What is kept of standard error.
    pub stderr: Vec<u8>,
    /// Bytes of standard output that are not kept.
    pub stdout_lost: u64,
    /// Bytes of standard error that are not kept.
    pub stderr_lost: u64,
    /// How the container ended.
    pub exit: Exit,
}

/// After the container has ended its pipes are drained for at most this long:
/// a process outside may hold their other ends.
const DRAIN: Duration = Duration::from_millis(100);
/// How often a caller who may want to stop is asked.
const ASK: Duration = Duration::from_millis(100);

/// What runs and may write: a container, or one program in it.
pub(super) trait Running {
    fn take_stream(&self, number: usize) -> Option<OwnedFd>;
    fn event_fd(&self) -> Option<BorrowedFd<'_>>;
    fn wait(&self, timeout: Option<Duration>) -> Result<Option<Exit>>;
    fn control(&self, control: Control) -> Result<()>;
}

/// How much is kept, and of which end.
pub(super) struct Bound {
    output: Option<u64>,
    keep: Keep,
}

impl From<&Limits> for Bound {
    fn from(limits: &Limits) -> Bound {
        Bound { output: limits.output, keep: limits.keep }
    }
}

impl From<&ExecLimits> for Bound {
    fn from(limits: &ExecLimits) -> Bound {
        Bound { output: limits.output, keep: limits.keep }
    }
}

impl Container {
    /// Writes `input` to the program's standard input, reads its outputs
    /// until they end, and waits. Streams that are no pipes of this handle
    /// give nothing. With `limits.keep` head the container is ended when a
    /// stream goes over `limits.output`; with tail it goes on.
    ///
    /// # Errors
    /// Stage `wait` if reading or waiting fails.
    pub fn output(&self, input: &[u8], limits: &Limits) -> Result<Output> {
        self.owned()?;
        collect(self, input, &Bound::from(limits), None)
    }

    /// As [`Container::output`], for callers who must look after something
    /// else meanwhile, such as an interpreter that has signals to handle:
    /// `stop` is asked every 100 ms, and at once when a signal interrupts the
    /// wait. When it says true the container is cancelled and `stop` is not
    /// asked again; what was written until then is still collected.
    ///
    /// # Errors
    /// As [`Container::output`].
    pub fn output_until(
        &self,
        input: &[u8],
        limits: &Limits,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Output> {
        self.owned()?;
        collect(self, input, &Bound::from(limits), Some(stop))
    }

    /// Ends the container because it wrote more than `limits.output`; the
    /// outcome is `output_limit`. For callers that read the streams
    /// themselves; [`Container::output`] does it by itself. Returns at once.
    ///
    /// # Errors
    /// NotFound if it has ended.
    pub fn end_for_output(&self) -> Result<()> {
        self.owned()?;
        self.control(Control::OutputLimit)
    }
}

impl Running for Container {
    fn take_stream(&self, number: usize) -> Option<OwnedFd> {
        Container::take_stream(self, number)
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        Container::event_fd(self)
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<Option<Exit>> {
        Container::wait(self, timeout)
    }

    fn control(&self, control: Control) -> Result<()> {
        Container::control(self, control)
    }
}

/// Collects what something writes until it has ended.
pub(super) fn collect(
    of: &dyn Running,
    input: &[u8],
    bound: &Bound,
    mut stop: Option<&mut dyn FnMut() -> bool>,
) -> Result<Output> {
    let mut feed = Feed::new(of.take_stream(0), input)?;
    let mut sinks = [Sink::new(of.take_stream(1), bound)?, Sink::new(of.take_stream(2), bound)?];
    let mut ended: Option<Instant> = None;
    // A program that closes its outputs, or has none here, may still read.
    while feed.pipe.is_some() || sinks.iter().any(|sink| sink.pipe.is_some()) {
        ask(of, &mut stop);
        if ended.is_some_and(|ended| ended.elapsed() > DRAIN) {
            break;
        }
        let [ready_feed, ready_helper, ready_out, ready_err] =
            poll(of, &feed, &sinks, ended.is_some(), stop.is_some())?;
        if ready_feed {
            feed.write();
        }
        if ready_helper && ended.is_none() {
            ended = Some(Instant::now());
        }
        for (sink, ready) in sinks.iter_mut().zip([ready_out, ready_err]) {
            if ready && sink.read()? && bound.keep == Keep::Head {
                // It may have ended by itself meanwhile.
                let _ = of.control(Control::OutputLimit);
            }
        }
    }
    drop(feed);
    while stop.is_some() && of.wait(Some(ASK))?.is_none() {
        ask(of, &mut stop);
    }
    let exit = of.wait(None)?.unwrap_or_else(Exit::lost);
    let [out, err] = sinks;
    let (stdout, stdout_lost) = out.finish();
    let (stderr, stderr_lost) = err.finish();
    Ok(Output { stdout, stderr, stdout_lost, stderr_lost, exit })
}

/// Asks the caller, until he wants to stop, whether he does.
fn ask(of: &dyn Running, stop: &mut Option<&mut dyn FnMut() -> bool>) {
    if stop.as_mut().is_some_and(|stop| stop()) {
        *stop = None;
        // It may have ended by itself meanwhile.
        let _ = of.control(Control::Cancel);
    }
}

/// Which of the descriptors are ready.
fn poll(
    of: &dyn Running,
    feed: &Feed<'_>,
    sinks: &[Sink; 2],
    ended: bool,
    asks: bool,
) -> Result<[bool; 4]> {
    let wanted = [
        (feed.pipe.as_ref().map(File::as_fd), PollFlags::POLLOUT),
        (of.event_fd().filter(|_| !ended), PollFlags::POLLIN),
        (sinks[0].pipe.as_ref().map(File::as_fd), PollFlags::POLLIN),
        (sinks[1].pipe.as_ref().map(File::as_fd), PollFlags::POLLIN),
    ];
    let mut fds: Vec<PollFd<'_>> =
        wanted.iter().filter_map(|(fd, flags)| Some(PollFd::new((*fd)?, *flags))).collect();
    let patience = match (ended, asks) {
        (true, _) => PollTimeout::from(10_u8),
        (false, true) => crate::wait::patience(Instant::now().checked_add(ASK)),
        (false, false) => PollTimeout::NONE,
    };
    match nix::poll::poll(&mut fds, patience) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok([false; 4]),
        Err(errno) => {
            return Err(Error::sys(Stage::Wait, "poll(streams of the container)", errno));
        }
    }
    let mut polled = fds.iter();
    Ok(wanted
        .map(|(fd, _)| fd.is_some() && polled.next().is_some_and(|fd| fd.any().unwrap_or(true))))
}

fn nonblocking(pipe: Option<OwnedFd>) -> Result<Option<File>> {
    if let Some(pipe) = &pipe {
        fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| Error::sys(Stage::Wait, "fcntl(F_SETFL, O_NONBLOCK)", errno))?;
    }
    Ok(pipe.map(File::from))
}

/// Standard input, being written.
struct Feed<'a> {
    pipe: Option<File>,
    rest: &'a [u8],
}

impl<'a> Feed<'a> {
    fn new(pipe: Option<OwnedFd>, input: &'a [u8]) -> Result<Feed<'a>> {
        let pipe = nonblocking(pipe)?;
        Ok(Feed { pipe: pipe.filter(|_| !input.is_empty()), rest: input })
    }

    fn write(&mut self) {
        let Some(pipe) = &mut self.pipe else { return };
        match sys::write_quietly(pipe.as_fd(), self.rest) {
            Ok(0) => self.pipe = None,
            Ok(n) => {
                self.rest = &self.rest[n..];
                if self.rest.is_empty() {
                    self.pipe = None;
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // The reader has gone.
            Err(_) => self.pipe = None,
        }
    }
}

/// One output, being read.
struct Sink {
    pipe: Option<File>,
    kept: VecDeque<u8>,
    lost: u64,
    limit: usize,
    keep: Keep,
}

impl Sink {
    fn new(pipe: Option<OwnedFd>, bound: &Bound) -> Result<Sink> {
        let limit =
            bound.output.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(Sink {
            pipe: nonblocking(pipe)?,
            kept: VecDeque::new(),
            lost: 0,
            limit,
            keep: bound.keep,
        })
    }

    /// Reads one chunk. True: the stream is over its limit.
    fn read(&mut self) -> Result<bool> {
        let mut chunk = [0_u8; 65_536];
        let Some(pipe) = &mut self.pipe else { return Ok(false) };
        match pipe.read(&mut chunk) {
            Ok(0) => self.pipe = None,
            Ok(n) => self.take(&chunk[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(Error::io(Stage::Wait, "read(output of the container)", error));
            }
        }
        Ok(self.lost > 0)
    }

    fn take(&mut self, chunk: &[u8]) {
        let over = match self.keep {
            Keep::Head => {
                let room = self.limit.saturating_sub(self.kept.len()).min(chunk.len());
                self.kept.extend(&chunk[..room]);
                chunk.len() - room
            }
            Keep::Tail => {
                self.kept.extend(chunk);
                let over = self.kept.len().saturating_sub(self.limit);
                self.kept.drain(..over);
                over
            }
        };
        self.lost = self.lost.saturating_add(u64::try_from(over).unwrap_or(u64::MAX));
    }

    fn finish(self) -> (Vec<u8>, u64) {
        (self.kept.into(), self.lost)
    }
}
