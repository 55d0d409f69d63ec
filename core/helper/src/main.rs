//! The program: monitor of one container and, in new namespaces, its init.
//!
//! Started by the library in an address space of its own, with its plan in a
//! descriptor whose number is the only argument, and with no environment. One
//! thread, no allocator, no libc. `build.rs` builds it.
//!
//! It cannot panic: the panic handler calls a symbol that nothing defines, so
//! a panic that the compiler cannot rule out fails the link.

#![no_std]
#![no_main]

#[allow(dead_code, reason = "shared with the host, which uses the other half")]
mod ability;
mod builder;
#[allow(dead_code, reason = "shared with the host, which uses the other half")]
mod fault;
mod init;
mod job;
mod join;
#[allow(dead_code, reason = "shared with the host, which uses the other half")]
mod message;
mod monitor;
mod numbered;
#[allow(dead_code, reason = "shared with the host, which uses the other half")]
mod plan;
mod probe;
mod sys;
mod userns;

use core::ffi::CStr;

use plan::{Field, Plan, job as kinds};
use sys::BorrowedFd;

unsafe extern "C" {
    fn libctr_helper_must_not_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: never reached, by construction: see above.
    unsafe { libctr_helper_must_not_panic() }
}

/// Where the first instructions (`sys/start.rs`) go on.
fn begin(argument: Option<&CStr>) -> ! {
    let Some(number) = argument.and_then(|text| sys::decimal(text.to_bytes())) else { sys::exit(125) };
    match sys::map_plan(number).map(Plan::new) {
        Ok(Some(plan)) => {
            settle(plan, BorrowedFd(number));
            match plan.get(Field::Job) {
                None => monitor::run(plan),
                Some(kinds::PROBE) => probe::run(plan),
                Some(kinds::EXEC) => join::run(plan),
                Some(job) => job::run(plan, job),
            }
        }
        _ => sys::exit(125),
    }
}

/// Makes this process independent of its host.
fn settle(plan: Plan<'_>, plan_file: BorrowedFd) {
    sys::set_name(c"libctr");
    // With a user namespace only once its maps are written.
    if !userns::is_wanted(plan) {
        let _ = sys::not_dumpable();
    }
    sys::default_signals();
    sys::block_signals(true);
    let _ = sys::setsid();
    let _ = sys::chdir(c"/");
    sys::umask(0);
    // The host's standard streams are not ours to hold open: whoever reads
    // their other end would wait for this process too.
    for number in 0..3 {
        let _ = sys::dup_to(plan_file, number);
    }
    sys::close_on_exec_from(3);
}
