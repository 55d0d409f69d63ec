//! The exit record: one JSON object in a file that the host has made before
//! the container existed and that whoever waits has open.
//!
//! One `pwrite` of less than a page; a reader that finds the file empty after
//! the monitor has gone knows that the container was lost.

use super::groups::Figures;
use super::number::decimal;
use crate::init::descriptor;
use crate::plan::{Field, Plan};
use crate::message::Control;
use crate::sys::{self, BorrowedFd};

/// Why the monitor ended the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Cancelled,
    WallTimeout,
    CpuTimeout,
    OutputLimit,
    /// The caller's SIGKILL: the program's wait status tells the rest.
    Killed,
}

impl Reason {
    /// The next one that somebody gives by a signal, from the signalfd of a
    /// monitor: SIGTERM, or what the host asks for.
    pub(crate) fn asked(signals: BorrowedFd) -> Option<Reason> {
        while let Some((signal, value)) = sys::queued(signals) {
            match (signal, Control::from_value(value)) {
                (sys::SIGTERM, _) | (Control::SIGNAL, Some(Control::Cancel)) => {
                    return Some(Reason::Cancelled);
                }
                (Control::SIGNAL, Some(Control::OutputLimit)) => return Some(Reason::OutputLimit),
                (Control::SIGNAL, Some(Control::Kill)) => return Some(Reason::Killed),
                _ => {}
            }
        }
        None
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct End {
    /// Wait status of the program.
    pub(crate) status: i32,
    pub(crate) reason: Option<Reason>,
    /// Whether the kernel killed the program because memory had run out.
    pub(crate) oom_killed: bool,
    pub(crate) usage: Figures,
    pub(crate) wall_ns: u64,
    pub(crate) started_in_ns: Option<u64>,
    pub(crate) started_at_ns: u64,
    pub(crate) ended_at_ns: u64,
}

impl End {
    fn signal(&self) -> Option<i32> {
        Some(self.status & 0x7f).filter(|signal| *signal != 0)
    }

    fn code(&self) -> Option<i32> {
        self.signal().is_none().then_some((self.status >> 8) & 0xff)
    }

    /// One word. What the monitor did explains the end before anything that
    /// followed from it.
    fn outcome(&self) -> &'static str {
        match self.reason {
            Some(Reason::Cancelled) => return "cancelled",
            Some(Reason::WallTimeout) => return "wall_timeout",
            Some(Reason::CpuTimeout) => return "cpu_timeout",
            Some(Reason::OutputLimit) => return "output_limit",
            Some(Reason::Killed) | None => {}
        }
        let some =
            |count: Option<u64>| self.reason.is_none() && count.is_some_and(|count| count > 0);
        match (self.signal(), self.code()) {
            _ if self.oom_killed => "oom_killed",
            (None, Some(0)) => "exited",
            _ if some(self.usage.pids_refused) => "pids_limit",
            (Some(_), _) => "signaled",
            (None, _) => "exited",
        }
    }
}

/// Writes the record of a container that was started.
pub(crate) fn write(plan: Plan<'_>, end: &End) {
    let mut json = Json { bytes: [0; 1024], used: 0, first: true };
    json.open("");
    json.word("outcome", end.outcome());
    json.number("code", end.code().map(|code| u64::from(code.cast_unsigned())));
    json.number("signal", end.signal().map(|signal| u64::from(signal.cast_unsigned())));
    if end.signal().is_some() {
        json.literal("core_dumped", if end.status & 0x80 != 0 { "true" } else { "false" });
    }
    json.number("started_at_ns", Some(end.started_at_ns));
    json.number("ended_at_ns", Some(end.ended_at_ns));
    json.open("usage");
    json.number("wall_ns", Some(end.wall_ns));
    json.number("cpu_user_ns", end.usage.cpu_user_ns);
    json.number("cpu_system_ns", end.usage.cpu_system_ns);
    json.number("memory_peak", end.usage.memory_peak);
    json.number("oom_kills", end.usage.oom_kills);
    json.number("pids_peak", end.usage.pids_peak);
    json.number("pids_refused", end.usage.pids_refused);
    json.number("io_read", end.usage.io_read);
    json.number("io_written", end.usage.io_written);
    json.number("started_in_ns", end.started_in_ns);
    json.push(b"}}\n");
    json.write(plan, Field::Exit);
}

/// Writes the process ids once the program was executed.
pub(crate) fn status(plan: Plan<'_>, pids: [(&str, i32); 3], started_at_ns: u64) {
    let mut json = Json { bytes: [0; 1024], used: 0, first: true };
    json.open("");
    for (name, pid) in pids {
        json.number(name, Some(u64::from(pid.cast_unsigned())));
    }
    json.number("started_at_ns", Some(started_at_ns));
    json.push(b"}\n");
    json.write(plan, Field::Status);
}

/// A JSON object of constant keys, words and numbers.
struct Json {
    bytes: [u8; 1024],
    used: usize,
    first: bool,
}

impl Json {
    /// All keys together are far shorter than the buffer.
    fn push(&mut self, bytes: &[u8]) {
        let end = self.used.saturating_add(bytes.len());
        if let Some(room) = self.bytes.get_mut(self.used..end) {
            sys::copy(room, bytes);
            self.used = end;
        }
    }

    fn key(&mut self, key: &str) {
        if !core::mem::take(&mut self.first) {
            self.push(b",");
        }
        self.push(b"\"");
        self.push(key.as_bytes());
        self.push(b"\":");
    }

    fn open(&mut self, key: &str) {
        if !key.is_empty() {
            self.key(key);
        }
        self.push(b"{");
        self.first = true;
    }

    fn literal(&mut self, key: &str, value: &str) {
        self.key(key);
        self.push(value.as_bytes());
    }

    fn word(&mut self, key: &str, value: &str) {
        self.key(key);
        self.push(b"\"");
        self.push(value.as_bytes());
        self.push(b"\"");
    }

    /// Writes it at the start of a file. A full file system leaves the file
    /// empty: the container then counts as lost, which can still be said.
    fn write(&self, plan: Plan<'_>, file: Field) {
        if let Some(file) = descriptor(plan, file) {
            let _ = sys::write_at_start(file, self.bytes.get(..self.used).unwrap_or(&[]));
        }
    }

    /// A figure that was not measured is absent.
    fn number(&mut self, key: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.key(key);
            self.push(decimal(value, &mut [0; 20]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{End, Figures, Reason};

    fn outcome(status: i32, reason: Option<Reason>, oom_kills: u64, pids_refused: u64) -> &'static str {
        let usage = Figures {
            oom_kills: Some(oom_kills),
            pids_refused: Some(pids_refused),
            ..Figures::default()
        };
        let (started_in_ns, wall_ns, started_at_ns, ended_at_ns) = (None, 0, 0, 0);
        let oom_killed = status == 9 && reason.is_none() && oom_kills > 0;
        End {
            status,
            reason,
            oom_killed,
            usage,
            wall_ns,
            started_in_ns,
            started_at_ns,
            ended_at_ns,
        }
        .outcome()
    }

    #[test]
    fn outcome_follows_from_the_reason_then_the_kernel_then_the_status() {
        const CODE_1: i32 = 0x100;
        for (status, reason, oom_kills, pids_refused, expected) in [
            (0, None, 0, 0, "exited"),
            (0, None, 1, 1, "exited"),
            (CODE_1, None, 1, 0, "exited"),
            (CODE_1, None, 0, 1, "pids_limit"),
            (9, None, 0, 0, "signaled"),
            (9, None, 1, 0, "oom_killed"),
            (15, None, 1, 0, "signaled"),
            (9, Some(Reason::Killed), 1, 1, "signaled"),
            (CODE_1, Some(Reason::Killed), 0, 1, "exited"),
            (9, Some(Reason::WallTimeout), 1, 0, "wall_timeout"),
            (0, Some(Reason::Cancelled), 0, 0, "cancelled"),
        ] {
            let found = outcome(status, reason, oom_kills, pids_refused);
            assert_eq!(found, expected, "{status} {reason:?} {oom_kills} {pids_refused}");
        }
    }
}
