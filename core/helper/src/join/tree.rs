//! Ends a program and what descends from it, in a container where others go on.
//!
//! Which processes those are says the host's /proc: the program's session, and
//! all whose parents lead to the program. A process that left both (a daemon
//! whose parent has ended in a session of its own) belongs to the container's
//! pid 1 and ends with that.
//!
//! All of them are stopped first, so that none can make another or leave its
//! place; then they are killed, those farthest from the program first, because
//! the children of one that is gone are somebody else's. Every signal goes to
//! a pidfd behind which the process was seen to be one of them.

use crate::sys::{self, BorrowedFd, Fd, SIGKILL};
use crate::userns::pid_text;

/// As far as parents are followed.
const DEPTH_MAX: u32 = 256;
/// Looks until everything stands still, a millisecond apart.
const LOOKS: u32 = 50;
const SIGSTOP: i32 = 19;

/// SIGKILL to `program`, a child of this process that is not reaped, and to
/// its descendants.
pub(super) fn kill(program: i32) {
    if let Ok(proc) = sys::open(Fd::CWD, c"/proc", sys::O_RDONLY | sys::O_DIRECTORY, 0) {
        descendants(&proc, program);
    }
    // Its process group, then itself.
    let _ = sys::kill(program.wrapping_neg(), SIGKILL);
    let _ = sys::kill(program, SIGKILL);
}

fn descendants(proc: &Fd, program: i32) {
    let mut farthest = 0;
    for look in 0..LOOKS {
        let mut moving = false;
        farthest = 0;
        each(proc, |pid| {
            let Some((distance, stat)) = distance(proc.borrow(), pid, program) else { return };
            farthest = farthest.max(distance);
            if !matches!(stat.state, b'T' | b't' | b'Z' | b'X') {
                moving = true;
                signal(proc.borrow(), pid, program, SIGSTOP);
            }
        });
        if !moving {
            break;
        }
        if look > 0 {
            let _ = sys::poll(&mut [], Some(1_000_000));
        }
    }
    for far in (1..=farthest).rev() {
        each(proc, |pid| {
            if distance(proc.borrow(), pid, program).is_some_and(|(distance, _)| distance == far) {
                signal(proc.borrow(), pid, program, SIGKILL);
            }
        });
    }
}

fn signal(proc: BorrowedFd, pid: i32, program: i32, signal: i32) {
    if let Ok(pidfd) = sys::pidfd_open(pid)
        && distance(proc, pid, program).is_some()
    {
        let _ = sys::signal(pidfd.borrow(), signal);
    }
}

/// Calls `of` with every process id of /proc.
fn each(proc: &Fd, mut of: impl FnMut(i32)) {
    let Ok(listing) = sys::open(proc.borrow(), c".", sys::O_RDONLY | sys::O_DIRECTORY, 0) else { return };
    let mut buffer = [0_u8; 4096];
    while let Ok(length @ 1..) = sys::getdents(listing.borrow(), &mut buffer) {
        sys::entries(buffer.get(..length).unwrap_or(&[]), |name| {
            if let Some(pid) = sys::decimal(name.to_bytes()) {
                of(pid);
            }
        });
    }
}

/// How many parents lie between a process and the program; one of its session
/// whose parents lead elsewhere counts as a child. `None`: neither.
fn distance(proc: BorrowedFd, pid: i32, program: i32) -> Option<(u32, Stat)> {
    let own = Stat::of(proc, pid)?;
    let mut at = pid;
    let mut parent = own.parent;
    for distance in 0..DEPTH_MAX {
        if at == program {
            return Some((distance, own));
        }
        if parent <= 1 {
            break;
        }
        at = parent;
        parent = Stat::of(proc, at).map_or(0, |stat| stat.parent);
    }
    (own.session == program).then_some((1, own))
}

/// What /proc/PID/stat says (proc_pid_stat(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    state: u8,
    parent: i32,
    session: i32,
}

impl Stat {
    fn of(proc: BorrowedFd, pid: i32) -> Option<Stat> {
        let mut digits = [0; 21];
        let process = sys::open(proc, pid_text(pid, &mut digits), sys::O_PATH | sys::O_DIRECTORY, 0).ok()?;
        let file = sys::open(process.borrow(), c"stat", sys::O_RDONLY, 0).ok()?;
        let mut line = [0_u8; 512];
        let length = sys::read(file.borrow(), &mut line).ok()?;
        Stat::parse(line.get(..length)?)
    }

    /// `pid (name) state parent group session …`; a name may hold anything.
    fn parse(line: &[u8]) -> Option<Stat> {
        let name_end = line.iter().rposition(|byte| *byte == b')')?;
        let mut words = line.get(name_end.checked_add(2)?..)?.split(|byte| *byte == b' ');
        let state = *words.next()?.first()?;
        let parent = sys::decimal(words.next()?)?;
        let _group = words.next()?;
        // Kernel threads have none, as 0 or −1.
        let session = sys::decimal(words.next()?).unwrap_or(0);
        Some(Stat { state, parent, session })
    }
}

#[cfg(test)]
mod tests {
    use super::Stat;

    #[test]
    fn line_is_read_behind_any_name() {
        let line = b"17 (a ) R 1 (b) S 5 17 17 34816 17 4194560 85";
        assert_eq!(Stat::parse(line), Some(Stat { state: b'S', parent: 5, session: 17 }));
        assert_eq!(Stat::parse(b"2 (kthreadd) S 0 -1 -1 0"), Some(Stat { state: b'S', parent: 0, session: 0 }));
        for cut in [&b""[..], b"17 (a", b"17 (a)", b"17 (a) S", b"17 (a) S x 1 1", b"17 (a) S 1 1"] {
            assert_eq!(Stat::parse(cut), None);
        }
    }
}
