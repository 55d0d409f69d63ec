//! pid 1 of the container: the container's list, in order.
//!
//! cgroup → network → filesystem → user → chdir → exec
//!
//! The filter of system calls belongs to `user` and yet is loaded by `exec`, when
//! execve alone is left.
//!
//! With `flag::INIT` this process stays as a tiny init after the filesystem
//! step: the program is its child, orphans are reaped, signals are passed on.
//! Without it, this process itself becomes the program.

pub(crate) mod cgroup;
pub(crate) mod chdir;
pub(crate) mod exec;
pub(crate) mod filesystem;
pub(crate) mod filter;
pub(crate) mod landlock;
mod network;
mod reaper;
pub(crate) mod user;

use crate::fault::{Call, Fault, Step};
use crate::plan::{Field, Plan, flag};
use crate::sys::{self, BorrowedFd, Errno, Fd, Status, Watch};
use crate::userns;

/// What pid 1 has of the monitor's: all of it is gone after exec.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// Where the terminal and the eight bytes of a fault go; its closing says
    /// "executed".
    pub(crate) monitor: Fd,
    /// The page that tells the monitor how the program ended.
    pub(crate) status: &'static Status,
    /// Whether this process was born in the container's v2 group.
    pub(crate) in_group: bool,
    /// With a user namespace, the other side of it: from there it hears that
    /// its ids are mapped, and gets the mounts that it cannot make itself.
    pub(crate) outside: Option<Fd>,
}

impl Inherited {
    /// From where mounts come, if somebody else makes them.
    fn builder(&self, plan: Plan<'_>) -> Option<BorrowedFd> {
        self.outside.as_ref().map(Fd::borrow).filter(|_| plan.has(flag::BUILDER))
    }
}

/// From here on the end of the monitor ends this process. If the monitor has
/// gone before, no signal comes any more, but then nobody reads the faults.
pub(crate) fn end_with_monitor(inherited: &Inherited) -> sys::Result<()> {
    sys::die_with_parent()?;
    let mut watches = [Watch { fd: inherited.monitor.borrow().0, events: 0, ready: 0 }];
    sys::poll(&mut watches, Some(0))?;
    match watches {
        [Watch { ready: 0, .. }] => Ok(()),
        _ => sys::exit(125),
    }
}

/// Turns an errno into the fault of `call` at a step, for the record `index`.
pub(crate) fn at(step: Step, call: Call, index: u16) -> impl FnOnce(Errno) -> Fault {
    move |errno| Fault { step, call, index, errno: errno.0 }
}

/// A descriptor named by the plan.
pub(crate) fn descriptor(plan: Plan<'_>, field: Field) -> Option<BorrowedFd> {
    plan.get(field).and_then(|number| i32::try_from(number).ok()).map(BorrowedFd)
}

/// Runs pid 1; the fault of a step that failed goes to the monitor.
pub(crate) fn run(plan: Plan<'static>, inherited: Inherited) -> ! {
    if let Err(fault) = steps(plan, &inherited) {
        let _ = sys::send(inherited.monitor.borrow(), &fault.to_bytes(), [None, None]);
    }
    sys::exit(125)
}

fn steps(plan: Plan<'static>, inherited: &Inherited) -> Result<(), Fault> {
    let none = Fault::NO_RECORD;
    // Before anything else.
    end_with_monitor(inherited).map_err(at(Step::Launch, Call::Prctl, none))?;
    // Next, so that everything made from here on is counted; with the host's
    // ids, which may write there.
    cgroup::enter(plan, inherited.in_group)?;
    if let Some(outside) = &inherited.outside {
        userns::enter(plan, outside.borrow())?;
        // The change of ids has cleared it (prctl(2)).
        end_with_monitor(inherited).map_err(at(Step::Launch, Call::Prctl, none))?;
    }
    // While its root is put together, this process can be neither traced nor
    // looked into through /proc by anybody of the same user.
    sys::not_dumpable().map_err(at(Step::Launch, Call::Prctl, none))?;

    network::set_up(plan)?;
    let terminal = match plan.has(flag::DEGRADED) {
        true => None,
        false => filesystem::set_up(plan, inherited)?,
    };
    let rulesets = landlock::prepare(plan)?;

    if plan.has(flag::INIT) {
        reaper::split(plan, inherited)?;
    }
    exec::session(terminal.as_ref().map(Fd::borrow))?;
    exec::streams(plan, terminal.as_ref())?;
    exec::limits(plan)?;
    user::become_user(plan, inherited)?;
    // A change of ids has put it back to what the machine says for such
    // processes (proc_sys_fs(5), suid_dumpable).
    sys::not_dumpable().map_err(at(Step::User, Call::Prctl, none))?;
    landlock::restrict(&rulesets)?;
    sys::close_all_but(&[inherited.monitor.borrow().0]);
    chdir::enter(plan)?;
    // From here on an end of this process counts as the program's own. The
    // monitor learns its process id from the packet.
    sys::send(inherited.monitor.borrow(), b"x", [None, None])
        .map_err(at(Step::Exec, Call::Send, none))?;
    exec::execute(plan, inherited)
}
