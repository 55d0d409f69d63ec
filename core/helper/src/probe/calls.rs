//! Single system calls, and what needs no mount.

use super::{Tried, Verdict, alone, refused};
use crate::fault::Call;
use crate::plan::{Kind, Plan};
use crate::sys::{self, CLONE_NEWCGROUP, Fd};

pub(super) fn nothing(_: Plan<'static>) -> Tried {
    Ok(0)
}

/// What a call came to, and its child if it has made one.
fn forked(child: sys::Result<Option<i32>>) -> Tried {
    match child.map_err(alone)? {
        None => sys::exit(0),
        Some(pid) => sys::wait(pid, true).map(|_| 0).map_err(refused(Call::Died)),
    }
}

pub(super) fn clone3(_: Plan<'static>) -> Tried {
    forked(sys::fork3(None))
}

pub(super) fn into_group(plan: Plan<'static>) -> Tried {
    let Some(path) = plan.of(Kind::GroupV2).next().and_then(|mut body| body.string()) else {
        return Err(Verdict::Untried);
    };
    let flags = sys::O_PATH | sys::O_DIRECTORY;
    let group = sys::open(Fd::CWD, path, flags, 0).map_err(refused(Call::Open))?;
    forked(sys::fork3(Some(group.borrow())))
}

pub(super) fn openat2(_: Plan<'static>) -> Tried {
    sys::openat2_root().map(|_| 0).map_err(alone)
}

pub(super) fn pidfd(_: Plan<'static>) -> Tried {
    let this = sys::pidfd_open(sys::getpid()).map_err(alone)?;
    sys::signal(this.borrow(), 0).map(|()| 0).map_err(alone)
}

pub(super) fn close_range(_: Plan<'static>) -> Tried {
    sys::close_range_nothing().map(|()| 0).map_err(alone)
}

/// Needs a right in the user namespace: one may be made and give none (as
/// AppArmor has it).
pub(super) fn right(_: Plan<'static>) -> Tried {
    sys::unshare(sys::CLONE_NEWUTS).map(|()| 0).map_err(refused(Call::Unshare))
}

pub(super) fn host_name(_: Plan<'static>) -> Tried {
    sys::unshare(sys::CLONE_NEWUTS).map_err(refused(Call::Unshare))?;
    sys::sethostname(c"libctr").map(|()| 0).map_err(refused(Call::Sethostname))
}

pub(super) fn first_process(_: Plan<'static>) -> Tried {
    if sys::getpid() == 1 { Ok(0) } else { Err(Verdict::Wrong(0)) }
}

pub(super) fn loopback(_: Plan<'static>) -> Tried {
    let socket = sys::socket().map_err(refused(Call::Socket))?;
    sys::loopback_up(socket.borrow()).map(|()| 0).map_err(refused(Call::Ioctl))
}

pub(super) fn cgroup_namespace(_: Plan<'static>) -> Tried {
    sys::unshare(CLONE_NEWCGROUP).map(|()| 0).map_err(refused(Call::Unshare))
}

pub(super) fn time_namespace(_: Plan<'static>) -> Tried {
    sys::unshare(sys::CLONE_NEWTIME).map(|()| 0).map_err(refused(Call::Unshare))
}

pub(super) fn filter(_: Plan<'static>) -> Tried {
    sys::no_new_privs().map_err(refused(Call::Prctl))?;
    sys::filter_system_calls(0, &sys::filter_without_getpid()).map_err(alone)?;
    // It has no answer now.
    if sys::getpid() == 0 { Ok(0) } else { Err(Verdict::Wrong(0)) }
}

pub(super) fn notify(_: Plan<'static>) -> Tried {
    const NEW_LISTENER: u32 = 8;
    sys::no_new_privs().map_err(refused(Call::Prctl))?;
    sys::filter_system_calls(NEW_LISTENER, &sys::filter_without_getpid()).map(|_| 0).map_err(alone)
}

pub(super) fn landlock(_: Plan<'static>) -> Tried {
    const EXECUTE: u64 = 1;
    let version = sys::landlock_version().map_err(alone)?;
    let rules = sys::landlock_ruleset([EXECUTE, 0, 0]).map_err(alone)?;
    sys::no_new_privs().map_err(refused(Call::Prctl))?;
    sys::landlock_restrict(rules.borrow()).map(|()| version).map_err(alone)
}

pub(super) fn tun(_: Plan<'static>) -> Tried {
    let file =
        sys::open(Fd::CWD, c"/dev/net/tun", sys::O_RDWR, 0).map_err(refused(Call::Open))?;
    sys::tun(file.borrow()).map(|()| 0).map_err(refused(Call::Ioctl))
}
