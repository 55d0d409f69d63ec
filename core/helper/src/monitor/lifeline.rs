//! The host of an attached container, with whose end it ends.
//!
//! A pidfd wakes the monitor. Where the host could make none (`pidfd_open`
//! came with Linux 5.3) the lifeline is the host's directory in /proc, which
//! is looked at ten times a second: proc_pid_stat(5).

use super::number::leading;
use crate::init::descriptor;
use crate::plan::{Field, Plan, flag};
use crate::sys::{self, BorrowedFd, Errno};

/// Between two looks.
const PAUSE_NS: u64 = 100_000_000;

/// What to watch, if it can be watched.
pub(crate) fn watched(plan: Plan<'_>) -> Option<BorrowedFd> {
    descriptor(plan, Field::Lifeline).filter(|_| !plan.has(flag::LIFELINE_DIRECTORY))
}

/// How long to wait at most, if somebody has to look.
pub(crate) fn patience(plan: Plan<'_>, otherwise: Option<u64>) -> Option<u64> {
    match plan.has(flag::LIFELINE_DIRECTORY) {
        true => Some(otherwise.unwrap_or(PAUSE_NS).min(PAUSE_NS)),
        false => otherwise,
    }
}

/// Looks whether the host has ended; only where somebody has to look.
pub(crate) fn is_gone(plan: Plan<'_>) -> bool {
    let directory = descriptor(plan, Field::Lifeline).filter(|_| plan.has(flag::LIFELINE_DIRECTORY));
    let Some(directory) = directory else { return false };
    let mut buffer = [0; 1024];
    let read = sys::open(directory, c"stat", sys::O_RDONLY, 0)
        .and_then(|stat| sys::read(stat.borrow(), &mut buffer));
    match read {
        Ok(length) => is_dead(buffer.get(..length).unwrap_or(&[])),
        Err(errno) => matches!(errno, Errno::ENOENT | Errno::ESRCH),
    }
}

/// A zombie, which has ended unless other threads of it go on (pidfds do not
/// wake before that either). The name before the state may hold anything.
fn is_dead(stat: &[u8]) -> bool {
    let name = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    let mut words = stat.get(name..).unwrap_or(&[]).split(|byte| *byte == b' ').skip(1);
    let state = words.next().unwrap_or(b"");
    // The state is the third field, the number of threads the twentieth.
    let threads = words.nth(16).and_then(leading);
    matches!(state, b"Z" | b"X") && threads.is_none_or(|threads| threads <= 1)
}

#[cfg(test)]
mod tests {
    use super::is_dead;

    #[test]
    fn zombie_without_threads_is_dead_and_others_are_not() {
        let stat = |state: &str, threads: u32| {
            std::format!("12 (a) Z b) {state} 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 {threads} 0 5 0 0\n")
        };
        assert!(is_dead(stat("Z", 1).as_bytes()));
        assert!(is_dead(stat("X", 0).as_bytes()));
        assert!(!is_dead(stat("Z", 2).as_bytes()));
        assert!(!is_dead(stat("S", 1).as_bytes()));
        assert!(!is_dead(b""));
    }

    #[test]
    fn this_process_lives() {
        assert!(!is_dead(&std::fs::read("/proc/self/stat").expect("stat")));
    }
}
