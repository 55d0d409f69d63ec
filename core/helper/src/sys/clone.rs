//! New processes.

use super::{BorrowedFd, CLONE_PARENT, Errno, Fd, Result, SIGCHLD, SIGKILL, address, address_mut, call, signed, wide};

/// Which side of a fork this is.
pub(crate) enum Fork {
    /// `in_group`: it was born in the v2 group that was given.
    Child { in_group: bool },
    Parent { pid: i32, pidfd: Option<Fd> },
}

const CLONE_PIDFD: u64 = 0x1000;

/// clone3(2) without shared memory: a fork with new namespaces, into a v2
/// group where one is given, with all signal handlers reset.
///
/// Where it is missing (before Linux 5.3) or does not know the group (5.7) or
/// the handlers (5.5), and behind the filters that refuse it because they
/// cannot see its flags, clone(2) does the same but for those two: the child
/// has to enter its group itself, and handlers are none's as this program
/// never sets any.
pub(crate) fn clone(namespaces: u64, group: Option<BorrowedFd>, pidfd: bool) -> Result<Fork> {
    const CLONE_CLEAR_SIGHAND: u64 = 1 << 32;
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    let mut made = -1_i32;
    let into = if group.is_some() { CLONE_INTO_CGROUP } else { 0 };
    let flags = namespaces | if pidfd { CLONE_PIDFD } else { 0 };
    // struct clone_args: flags, pidfd, child_tid, parent_tid, exit_signal,
    // stack, stack_size, tls, set_tid, set_tid_size, cgroup.
    let arguments: [u64; 11] = [
        flags | into | CLONE_CLEAR_SIGHAND,
        address_mut(&mut made) as u64,
        0,
        0,
        // One of the same parent ends with the same signal as its maker.
        if namespaces & CLONE_PARENT == 0 { u64::from(SIGCHLD.cast_unsigned()) } else { 0 },
        0,
        0,
        0,
        0,
        0,
        group.map_or(0, |group| u64::from(group.0.cast_unsigned())),
    ];
    let (pid, in_group) = match call!(CLONE3, address(&arguments), size_of_val(&arguments)) {
        Err(Errno::ENOSYS | Errno::EPERM | Errno::EINVAL | Errno::E2BIG) => {
            (old_clone(flags, &mut made)?, false)
        }
        pid => (pid?, true),
    };
    match i32::try_from(pid) {
        Ok(0) => Ok(Fork::Child { in_group }),
        // Before Linux 5.2 the kernel took no notice of the flag. The host has
        // found that out before (`core/src/launch/spawn.rs`).
        Ok(pid) if pidfd && made < 0 => {
            let _ = super::kill(pid, SIGKILL);
            Err(Errno::ENOSYS)
        }
        Ok(pid) => Ok(Fork::Parent { pid, pidfd: pidfd.then(|| Fd(made)) }),
        Err(_) => Err(Errno::EINVAL),
    }
}

/// clone(2), which writes the pidfd where clone3 has `parent_tid`. Of the
/// flags only the lower half exists there, and its lowest byte is the signal.
fn old_clone(flags: u64, made: &mut i32) -> Result<usize> {
    const CSIGNAL: u64 = 0xff;
    if flags & CSIGNAL != 0 {
        return Err(Errno::EINVAL);
    }
    // The last two arguments change places between processors; both are zero.
    call!(CLONE, wide(flags) | signed(SIGCHLD), 0, address_mut(made), 0, 0)
}
