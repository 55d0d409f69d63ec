//! Whether the kernel's OOM killer killed one particular process.
//!
//! The groups count OOM kills, but do not say of whom. The kernel's log does:
//! `Memory cgroup out of memory: Killed process 4711 (name) …`, with the
//! number of the initial pid namespace, for every kill (mm/oom_kill.c,
//! `__oom_kill_process`). Where the log cannot be read, or this process lives
//! in another pid namespace, a program that died of SIGKILL in a group with a
//! kill counts as the victim.

use super::number::{after, leading};
use crate::sys::{self, Errno, Fd};

/// The log's clock and CLOCK_MONOTONIC differ by less than this.
const SLACK_US: u64 = 1_000_000;
/// The log's ring holds far fewer records.
const RECORDS_MAX: usize = 100_000;

/// Whether `pid` was killed since `since` (CLOCK_MONOTONIC, nanoseconds).
pub(crate) fn killed(pid: Option<i32>, since: u64) -> bool {
    let Some(pid) = pid.and_then(|pid| u64::try_from(pid).ok()) else { return true };
    if !in_first_pid_namespace() {
        return true;
    }
    let Ok(log) = sys::open(Fd::CWD, c"/dev/kmsg", sys::O_RDONLY | sys::O_NONBLOCK, 0) else {
        return true;
    };
    let since_us = (since / 1000).saturating_sub(SLACK_US);
    let mut record = [0_u8; 8192];
    for _ in 0..RECORDS_MAX {
        match sys::read(log.borrow(), &mut record) {
            Ok(length) if length > 0 => {
                if is_kill(record.get(..length).unwrap_or(&[]), pid, since_us) {
                    return true;
                }
            }
            // EPIPE: the ring has overtaken the reader; go on with what is left.
            Err(Errno(32)) => {}
            // EAGAIN: the end, and the process was not among the killed.
            Err(Errno::EAGAIN) => return false,
            _ => return true,
        }
    }
    true
}

/// One record: `priority,sequence,microseconds,flags;text`
/// (Documentation/ABI/testing/dev-kmsg).
fn is_kill(record: &[u8], pid: u64, since_us: u64) -> bool {
    let Some(end) = record.iter().position(|byte| *byte == b';') else { return false };
    let (head, text) = record.split_at_checked(end).unwrap_or((&[], &[]));
    let time = head.split(|byte| *byte == b',').nth(2).and_then(leading);
    let text = text.split(|byte| *byte == b':').find_map(|part| part.strip_prefix(b" Killed "));
    time.is_some_and(|time| time >= since_us)
        && text.and_then(|text| after(text, b"process")) == Some(pid)
}

/// The initial pid namespace has a fixed inode (PROC_PID_INIT_INO,
/// include/linux/proc_ns.h).
fn in_first_pid_namespace() -> bool {
    const FIRST: u64 = 0xefff_fffc;
    sys::open(Fd::CWD, c"/proc/self/ns/pid", sys::O_RDONLY, 0)
        .and_then(|fd| sys::stat(fd.borrow()))
        .is_ok_and(|stat| stat.inode == FIRST)
}

#[cfg(test)]
mod tests {
    use super::is_kill;

    const RECORD: &[u8] = b"3,1234,98765432,-;Memory cgroup out of memory: Killed process 4711 (probe) total-vm:1kB\n";

    #[test]
    fn kill_is_found_by_pid_and_time() {
        assert!(is_kill(RECORD, 4711, 98_000_000));
        assert!(!is_kill(RECORD, 471, 98_000_000));
        assert!(!is_kill(RECORD, 4711, 98_765_433));
        assert!(is_kill(b"3,1,5,-;Out of memory: Killed process 7 (x) y\n", 7, 0));
    }

    #[test]
    fn other_records_are_no_kills() {
        let header = b"4,1,5,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=probe,pid=7,uid=0\n";
        assert!(!is_kill(header, 7, 0));
        assert!(!is_kill(b"", 7, 0));
        assert!(!is_kill(b"no head", 7, 0));
    }
}
