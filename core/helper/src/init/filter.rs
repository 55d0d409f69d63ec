//! `user`, its last act: the filter of system calls (seccomp(2)).
//!
//! It is loaded when nothing but execve is left to do, so a profile need not
//! allow what the steps before do. From then on any system call may be
//! refused, so what has to be told lies in the page that is shared with pid 1
//! and the monitor.
//!
//! A listener, a descriptor on which the host answers calls, is carried to the
//! monitor by the init: it shares the program's descriptors up to execve and
//! is not filtered itself.

use core::sync::atomic::Ordering;

use super::{Inherited, at};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Kind, Plan, flag};
use crate::sys::{self, BorrowedFd, POLLIN, Watch};

/// How often the init looks for the listener.
const SOON_NS: u64 = 100_000;

/// Loads the filter; false if there is none.
pub(super) fn load(plan: Plan<'_>, inherited: &Inherited) -> Result<bool, Fault> {
    let Some(mut record) = plan.records().find(|record| record.kind == Kind::Filter) else {
        return Ok(false);
    };
    let broken = Fault::broken_plan(Step::User, record.index);
    let flags = record.body.u32().ok_or(broken)?;
    let count = record.body.u32().and_then(|count| usize::try_from(count).ok()).ok_or(broken)?;
    let length = count.checked_mul(8).ok_or(broken)?;
    let program = record.body.bytes(length).ok_or(broken)?;
    let descriptor = sys::filter_system_calls(flags, program)
        .map_err(at(Step::User, Call::Seccomp, record.index))?;
    if plan.has(flag::LISTENER) {
        let number = i32::try_from(descriptor).unwrap_or(0).wrapping_add(1);
        inherited.status.listener.store(number, Ordering::Release);
    }
    Ok(true)
}

/// Leaves a fault where the monitor finds it, and ends.
pub(super) fn fail(fault: Fault, inherited: &Inherited) -> ! {
    inherited.status.fault.store(u64::from_le_bytes(fault.to_bytes()), Ordering::Release);
    sys::exit(125)
}

/// In the init: waits for the program's listener and sends it to the monitor.
/// The wait status of the program if it ended first.
pub(super) fn carry(program: i32, inherited: &Inherited) -> sys::Result<Option<i32>> {
    loop {
        let number = inherited.status.listener.load(Ordering::Acquire);
        if number > 0 {
            let listener = BorrowedFd(number.wrapping_sub(1));
            sys::send(inherited.monitor.borrow(), b"n", [Some(listener), None])?;
            break;
        }
        if let Some(ended) = sys::wait(program, false)? {
            return Ok(Some(ended.status));
        }
        sys::poll(&mut [], Some(SOON_NS))?;
    }
    // What is closed from here on the program keeps.
    sys::unshare(sys::CLONE_FILES).map(|()| None)
}

/// In the joiner of another program: sends that one's listener to the monitor,
/// unless it ends first.
pub(crate) fn pass_on(program: BorrowedFd, inherited: &Inherited) {
    let mut watches = [Watch { fd: program.0, events: POLLIN, ready: 0 }];
    while watches[0].ready == 0 && sys::poll(&mut watches, Some(SOON_NS)).is_ok() {
        let number = inherited.status.listener.load(Ordering::Acquire);
        if number > 0 {
            let listener = BorrowedFd(number.wrapping_sub(1));
            let _ = sys::send(inherited.monitor.borrow(), b"n", [Some(listener), None]);
            break;
        }
    }
}
