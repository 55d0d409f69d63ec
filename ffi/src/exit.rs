//! `ctr_exit_t`: how a container ended. The only place that maps outcomes of
//! the library to the numbers of C.

use std::ffi::{c_char, c_int};

use libctr::Outcome;

use crate::input::Versioned;

/// The program ended by itself, with `code`.
pub const CTR_OUTCOME_EXITED: c_int = 1;
/// A signal ended the program: `signal`.
pub const CTR_OUTCOME_SIGNALED: c_int = 2;
/// The kernel killed the program because the memory limit was reached.
pub const CTR_OUTCOME_OOM_KILLED: c_int = 3;
/// `limits.wall_time` had passed.
pub const CTR_OUTCOME_WALL_TIMEOUT: c_int = 4;
/// `limits.cpu_time` was used up.
pub const CTR_OUTCOME_CPU_TIMEOUT: c_int = 5;
/// The program wrote more than `limits.output`.
pub const CTR_OUTCOME_OUTPUT_LIMIT: c_int = 6;
/// The program failed after `limits.pids` had refused it a process.
pub const CTR_OUTCOME_PIDS_LIMIT: c_int = 7;
/// The caller ended it, or its host went away.
pub const CTR_OUTCOME_CANCELLED: c_int = 8;
/// The container's helper was killed before it could tell how it ended.
pub const CTR_OUTCOME_LOST: c_int = 9;

/// A figure that was not measured on this machine. It is never 0 instead.
pub const CTR_UNKNOWN: u64 = 0xffff_ffff_ffff_ffff;

/// How a container ended, and what all its processes together used. Set
/// `size` before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// `sizeof(ctr_exit_t)`; not changed.
    pub size: usize,
    /// One of `CTR_OUTCOME_...`; numbers above those are of later versions.
    pub outcome: i32,
    /// The program's exit code, 0 to 255; -1 if it has none.
    pub code: i32,
    /// The signal that ended the program; 0 if none did.
    pub signal: i32,
    /// 1 if a core was dumped, else 0.
    pub core_dumped: i32,
    /// When the program was executed: nanoseconds since 1970 (UTC).
    pub started_at_ns: u64,
    /// When everything had ended: nanoseconds since 1970 (UTC).
    pub ended_at_ns: u64,
    /// Nanoseconds from exec to the end of the last process.
    pub wall_ns: u64,
    /// Nanoseconds of CPU time in user mode.
    pub cpu_user_ns: u64,
    /// Nanoseconds of CPU time in the kernel.
    pub cpu_system_ns: u64,
    /// Most bytes of memory at one time.
    pub memory_peak: u64,
    /// Processes that the kernel killed because memory had run out.
    pub oom_kills: u64,
    /// Most processes and threads at one time.
    pub pids_peak: u64,
    /// How often `limits.pids` refused a process.
    pub pids_refused: u64,
    /// Bytes read from block devices.
    pub io_read: u64,
    /// Bytes written to block devices.
    pub io_written: u64,
    /// Nanoseconds from the call of `ctr_run` to exec.
    pub started_in_ns: u64,
}

// SAFETY: repr(C), a word, four 32-bit and then 64-bit numbers: no padding.
unsafe impl Versioned for Exit {}

impl From<&libctr::Exit> for Exit {
    fn from(exit: &libctr::Exit) -> Exit {
        let figure = |value: Option<u64>| value.unwrap_or(CTR_UNKNOWN);
        let usage = &exit.usage;
        Exit {
            size: size_of::<Exit>(),
            outcome: number(exit.outcome),
            code: exit.code.unwrap_or(-1),
            signal: exit.signal.unwrap_or(0),
            core_dumped: i32::from(exit.core_dumped),
            started_at_ns: figure(exit.started_at_ns),
            ended_at_ns: figure(exit.ended_at_ns),
            wall_ns: figure(usage.wall_ns),
            cpu_user_ns: figure(usage.cpu_user_ns),
            cpu_system_ns: figure(usage.cpu_system_ns),
            memory_peak: figure(usage.memory_peak),
            oom_kills: figure(usage.oom_kills),
            pids_peak: figure(usage.pids_peak),
            pids_refused: figure(usage.pids_refused),
            io_read: figure(usage.io_read),
            io_written: figure(usage.io_written),
            started_in_ns: figure(usage.started_in_ns),
        }
    }
}

fn number(outcome: Outcome) -> c_int {
    match outcome {
        Outcome::Exited => CTR_OUTCOME_EXITED,
        Outcome::Signaled => CTR_OUTCOME_SIGNALED,
        Outcome::OomKilled => CTR_OUTCOME_OOM_KILLED,
        Outcome::WallTimeout => CTR_OUTCOME_WALL_TIMEOUT,
        Outcome::CpuTimeout => CTR_OUTCOME_CPU_TIMEOUT,
        Outcome::OutputLimit => CTR_OUTCOME_OUTPUT_LIMIT,
        Outcome::PidsLimit => CTR_OUTCOME_PIDS_LIMIT,
        Outcome::Cancelled => CTR_OUTCOME_CANCELLED,
        Outcome::Lost => CTR_OUTCOME_LOST,
        _ => 0,
    }
}

/// An outcome as the word that documents use: `exited`, `oom_killed`, ...
///
/// Lives for ever. `unknown` for any other number.
#[unsafe(no_mangle)]
pub extern "C" fn ctr_outcome_name(outcome: c_int) -> *const c_char {
    let name = match outcome {
        CTR_OUTCOME_EXITED => c"exited",
        CTR_OUTCOME_SIGNALED => c"signaled",
        CTR_OUTCOME_OOM_KILLED => c"oom_killed",
        CTR_OUTCOME_WALL_TIMEOUT => c"wall_timeout",
        CTR_OUTCOME_CPU_TIMEOUT => c"cpu_timeout",
        CTR_OUTCOME_OUTPUT_LIMIT => c"output_limit",
        CTR_OUTCOME_PIDS_LIMIT => c"pids_limit",
        CTR_OUTCOME_CANCELLED => c"cancelled",
        CTR_OUTCOME_LOST => c"lost",
        _ => c"unknown",
    };
    name.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::{CTR_UNKNOWN, Exit, ctr_outcome_name, number};
    use libctr::Outcome;
    use std::ffi::CStr;

    fn name(number: i32) -> String {
        // SAFETY: a string constant.
        unsafe { CStr::from_ptr(ctr_outcome_name(number)) }.to_string_lossy().into_owned()
    }

    #[test]
    fn outcomes_have_frozen_numbers_and_the_names_of_documents() {
        let outcomes = [
            Outcome::Exited,
            Outcome::Signaled,
            Outcome::OomKilled,
            Outcome::WallTimeout,
            Outcome::CpuTimeout,
            Outcome::OutputLimit,
            Outcome::PidsLimit,
            Outcome::Cancelled,
            Outcome::Lost,
        ];
        for (outcome, want) in outcomes.into_iter().zip(1..) {
            assert_eq!(number(outcome), want);
            assert_eq!(name(want), outcome.as_str());
        }
        assert_eq!((name(0), name(10)), ("unknown".into(), "unknown".into()));
    }

    #[test]
    fn what_was_not_measured_is_unknown() {
        let exit = Exit::from(&libctr::Exit::lost());
        assert_eq!((exit.outcome, exit.code, exit.signal), (9, -1, 0));
        assert_eq!((exit.started_at_ns, exit.memory_peak), (CTR_UNKNOWN, CTR_UNKNOWN));
        assert_eq!(size_of::<Exit>(), size_of::<usize>() + 16 + 12 * 8);
    }
}
