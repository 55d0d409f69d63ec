//! How a container ended: the exit record.
//!
//! Runs in the host. The helper writes the record once, as one JSON object
//! (`core/helper/src/monitor/record.rs`), into a file that exists from before
//! the container's start; whoever waits has that file open, watches the
//! helper's pidfd, and reads the file when the helper has ended. So waiting
//! works from any thread and any process, any number of times, and for a
//! container whose directory is already removed.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, Stage};

/// How a container ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The program ended by itself, with [`Exit::code`].
    Exited,
    /// A signal ended the program: [`Exit::signal`].
    Signaled,
    /// The kernel killed the program because the memory limit was reached: it
    /// died of SIGKILL and the kernel counted an OOM kill in its group.
    OomKilled,
    /// `limits.wall_time` had passed.
    WallTimeout,
    /// `limits.cpu_time` was used up.
    CpuTimeout,
    /// The program wrote more than `limits.output`.
    OutputLimit,
    /// The program failed after `limits.pids` had refused it a process.
    PidsLimit,
    /// The caller ended it, or the host went away.
    Cancelled,
    /// The helper is gone without having written a record: it was killed.
    Lost,
}

impl Outcome {
    /// The outcome as a word, as in JSON: `exited`, `oom_killed`, …
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Exited => "exited",
            Outcome::Signaled => "signaled",
            Outcome::OomKilled => "oom_killed",
            Outcome::WallTimeout => "wall_timeout",
            Outcome::CpuTimeout => "cpu_timeout",
            Outcome::OutputLimit => "output_limit",
            Outcome::PidsLimit => "pids_limit",
            Outcome::Cancelled => "cancelled",
            Outcome::Lost => "lost",
        }
    }
}

/// The exit record. C: `ctr_exit_t`.
#[doc(alias = "ctr_exit_t")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Exit {
    /// How it ended.
    pub outcome: Outcome,
    /// The program's exit code, 0 to 255. `None` if a signal ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// The signal that ended the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Whether a core was dumped.
    #[serde(default)]
    pub core_dumped: bool,
    /// When the program was executed: nanoseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at_ns: Option<u64>,
    /// When everything had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ns: Option<u64>,
    /// What it used.
    #[serde(default)]
    pub usage: Usage,
}

/// What a container used, all its processes together. A figure that was not
/// measured on this machine is `None`, never 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Usage {
    /// Nanoseconds from exec to the end of the last process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ns: Option<u64>,
    /// Nanoseconds of CPU time in user mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_user_ns: Option<u64>,
    /// Nanoseconds of CPU time in the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_system_ns: Option<u64>,
    /// Most bytes of memory at one time (`memory.peak`,
    /// `memory.max_usage_in_bytes`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_peak: Option<u64>,
    /// Processes that the kernel killed because memory had run out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Most processes and threads at one time (`pids.peak`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_peak: Option<u64>,
    /// How often `limits.pids` refused a process (`pids.events`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pids_refused: Option<u64>,
    /// Bytes read from block devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_read: Option<u64>,
    /// Bytes written to block devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_written: Option<u64>,
    /// Nanoseconds from the call that ran the container to exec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_in_ns: Option<u64>,
}

impl Exit {
    /// The record of a container whose helper did not write one.
    #[must_use]
    pub fn lost() -> Exit {
        Exit {
            outcome: Outcome::Lost,
            code: None,
            signal: None,
            core_dumped: false,
            started_at_ns: None,
            ended_at_ns: None,
            usage: Usage::default(),
        }
    }

    /// Whether the program ended by itself with code 0.
    #[must_use]
    pub fn success(&self) -> bool {
        self.outcome == Outcome::Exited && self.code == Some(0)
    }
}

/// One line for people: `exited 0; wall 3.1 ms, cpu 2.0 ms, memory 1.0 MiB,
/// processes 3`. What was not measured is left out.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.outcome.as_str())?;
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, " {code}")?,
            (None, Some(signal)) => write!(f, " by signal {signal}")?,
            (None, None) => {}
        }
        let usage = &self.usage;
        let cpu = usage.cpu_user_ns.zip(usage.cpu_system_ns);
        let mut separator = "; ";
        for (name, ns) in
            [("wall", usage.wall_ns), ("cpu", cpu.map(|(user, system)| user + system))]
        {
            if let Some(ns) = ns {
                write!(f, "{separator}{name} {}.{} ms", ns / 1_000_000, ns / 100_000 % 10)?;
                separator = ", ";
            }
        }
        if let Some(bytes) = usage.memory_peak {
            write!(f, "{separator}memory {}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)?;
            separator = ", ";
        }
        if let Some(processes) = usage.pids_peak {
            write!(f, "{separator}processes {processes}")?;
        }
        Ok(())
    }
}

/// Reads the record from its file. `None`: it has not been written.
pub(crate) fn read(file: &File) -> Result<Option<Exit>> {
    let mut bytes = [0_u8; 1024];
    let length = file
        .read_at(&mut bytes, 0)
        .map_err(|error| Error::io(Stage::Wait, "read(exit record)", error))?;
    if length == 0 {
        return Ok(None);
    }
    serde_json::from_slice(&bytes[..length]).map(Some).map_err(|error| {
        Error::new(Stage::Wait, crate::ErrorKind::Internal, "the exit record is damaged")
            .with_source(error)
    })
}

/// Waits until `fd` is readable. False: the time has passed first. `None`
/// waits for ever; a zero duration only looks.
pub(crate) fn until_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> Result<bool> {
    let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    loop {
        match nix::poll::poll(&mut fds, patience(deadline)) {
            Ok(0) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {}
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(Error::sys(Stage::Wait, "poll(pidfd of the helper)", errno)),
        }
    }
}

/// The time until a deadline as `poll(2)` takes it: whole milliseconds,
/// rounded up.
pub(crate) fn patience(deadline: Option<Instant>) -> PollTimeout {
    let Some(deadline) = deadline else { return PollTimeout::NONE };
    let left = deadline.saturating_duration_since(Instant::now());
    let ms = left.as_micros().div_ceil(1000).min(60_000);
    u16::try_from(ms).map_or(PollTimeout::MAX, PollTimeout::from)
}

#[cfg(test)]
mod tests {
    use super::{Exit, Outcome, until_readable};
    use std::os::fd::AsFd;
    use std::time::Duration;

    #[test]
    fn record_of_the_helper_is_read() {
        let json = br#"{"outcome":"oom_killed","signal":9,"core_dumped":false,
            "started_at_ns":1,"ended_at_ns":2,"usage":{"wall_ns":5,"memory_peak":4096}}"#;
        let exit: Exit = serde_json::from_slice(json).expect("a record");
        assert_eq!(exit.outcome, Outcome::OomKilled);
        assert_eq!((exit.code, exit.signal), (None, Some(9)));
        assert_eq!(exit.usage.memory_peak, Some(4096));
        assert_eq!(exit.usage.oom_kills, None);
        assert!(!exit.success());
    }

    #[test]
    fn exit_for_people_leaves_out_what_was_not_measured() {
        let mut exit = Exit::lost();
        assert_eq!(exit.to_string(), "lost");
        (exit.outcome, exit.code) = (Outcome::Exited, Some(0));
        exit.usage.wall_ns = Some(3_149_999);
        exit.usage.memory_peak = Some((3 << 20) + (1 << 19));
        assert_eq!(exit.to_string(), "exited 0; wall 3.1 ms, memory 3.5 MiB");
    }

    #[test]
    fn waiting_ends_with_its_time_and_with_the_event() {
        let (reader, writer) = nix::unistd::pipe().expect("pipe");
        let ms = Duration::from_millis(2);
        assert!(!until_readable(reader.as_fd(), Some(Duration::ZERO)).expect("poll"));
        assert!(!until_readable(reader.as_fd(), Some(ms)).expect("poll"));
        drop(writer);
        assert!(until_readable(reader.as_fd(), None).expect("poll"));
    }
}
