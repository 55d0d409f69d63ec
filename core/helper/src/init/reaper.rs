//! The tiny init: starts the program as its child, reaps what is orphaned,
//! passes signals on, and ends with the program. When it ends, the kernel
//! ends every other process of the pid namespace (pid_namespaces(7)).

use core::sync::atomic::Ordering;

use super::{Inherited, at};
use crate::fault::{Call, Fault, Step};
use crate::sys::{self, Fork};

/// CAP_KILL: signals must reach a program of another user.
const KILL_ONLY: u64 = 1 << 5;

/// Returns in the child, which goes on to be the program; the parent stays
/// here for good.
pub(super) fn split(inherited: &Inherited) -> Result<(), Fault> {
    // Blocked signals wait for `next_signal` even where pid 1 would ignore
    // them by default.
    sys::block_signals(true);
    let fork = sys::clone(0, None, false).map_err(at(Step::Launch, Call::Fork, Fault::NO_RECORD))?;
    match fork {
        Fork::Child => Ok(()),
        Fork::Parent { pid, .. } => reap(pid, inherited),
    }
}

fn reap(program: i32, inherited: &Inherited) -> ! {
    // Nothing of the setup is needed any more; the program's own copies of the
    // pipe tell the monitor when it has executed.
    sys::close_all();
    let _ = sys::capset(KILL_ONLY, KILL_ONLY, 0);
    let _ = sys::no_new_privs();
    loop {
        match sys::next_signal() {
            Ok(sys::SIGCHLD) => {
                while let Ok(Some(ended)) = sys::wait(-1, false) {
                    if ended.pid == program {
                        finish(ended.status, inherited);
                    }
                }
            }
            // A program that is gone already has its SIGCHLD waiting.
            Ok(signal) => drop(sys::kill(program, signal)),
            Err(_) => {}
        }
    }
}

fn finish(wait_status: i32, inherited: &Inherited) -> ! {
    inherited.status.wait.store(wait_status, Ordering::Relaxed);
    inherited.status.ended.store(1, Ordering::Release);
    sys::exit(0)
}
