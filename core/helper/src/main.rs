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
mod fault;
mod init;
#[allow(dead_code, reason = "shared with the host, which uses the other half")]
mod message;
mod monitor;
#[allow(dead_code, reason = "shared with the host, which uses the other half")]
mod plan;
mod sys;

use core::ffi::CStr;

use plan::Plan;

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
        Ok(Some(plan)) => monitor::run(plan, sys::BorrowedFd(number)),
        _ => sys::exit(125),
    }
}
