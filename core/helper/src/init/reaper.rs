//! The tiny init: starts the program as its child, reaps what is orphaned,
//! passes signals on, and ends with the program. When it ends, the kernel
//! ends every other process of the pid namespace (pid_namespaces(7)).

use core::sync::atomic::Ordering;

use super::{Inherited, at, filter};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Plan, flag};
use crate::sys::{self, Errno, Fork};

/// CAP_KILL: signals must reach a program of another user.
const KILL_ONLY: u64 = 1 << 5;

/// Returns in the child, which goes on to be the program; the parent stays
/// here for good.
pub(super) fn split(plan: Plan<'_>, inherited: &Inherited) -> Result<(), Fault> {
    // Blocked signals wait for `next_signal` even where pid 1 would ignore
    // them by default.
    sys::block_signals(true);
    let listener = plan.has(flag::LISTENER);
    let shared = if listener { sys::CLONE_FILES } else { 0 };
    let fork = sys::clone(shared, None, false).map_err(at(Step::Launch, Call::Fork, Fault::NO_RECORD))?;
    match fork {
        Fork::Child { .. } => Ok(()),
        Fork::Parent { pid, .. } => {
            if listener {
                match filter::carry(pid, inherited) {
                    Ok(None) => {}
                    Ok(Some(status)) => finish(status, inherited),
                    // The program would wait for answers that never come.
                    Err(_) => sys::exit(125),
                }
            }
            reap(pid, inherited)
        }
    }
}

fn reap(program: i32, inherited: &Inherited) -> ! {
    // Nothing of the setup is needed any more; the program's own copies of the
    // pipe tell the monitor when it has executed.
    sys::close_all();
    let _ = sys::capset(KILL_ONLY, KILL_ONLY, 0);
    let _ = sys::no_new_privs();
    loop {
        let (hang, signal) = match sys::next_signal() {
            Ok(signal) => (false, signal),
            Err(Errno::EINTR) => continue,
            // Without signals the ends of its children are still heard of.
            Err(_) => (true, sys::SIGCHLD),
        };
        if signal != sys::SIGCHLD {
            // A program that is gone already has its SIGCHLD waiting.
            let _ = sys::kill(program, signal);
            continue;
        }
        loop {
            match sys::wait(-1, hang) {
                Ok(Some(ended)) if ended.pid == program => finish(ended.status, inherited),
                Ok(Some(_)) => {}
                Ok(None) => break,
                // How the program ends cannot be known any more.
                Err(_) => sys::exit(125),
            }
        }
    }
}

fn finish(wait_status: i32, inherited: &Inherited) -> ! {
    inherited.status.wait.store(wait_status, Ordering::Relaxed);
    inherited.status.ended.store(1, Ordering::Release);
    sys::exit(0)
}
