//! A filter around the library itself, as on a kernel that lacks a call or in
//! a container of somebody else.

#![allow(unsafe_code, reason = "loads the filter")]

use std::time::{Duration, Instant};

use libctr_seccomp::{Action, Instruction, Machine, Profile, Rule, compile};

/// Does something on a thread of which the named calls fail with `errno`, and
/// on whose children they do.
///
/// # Panics
/// If this kernel has no filters.
pub fn without<T: Send>(names: &[&str], errno: u16, act: impl FnOnce() -> T + Send) -> T {
    under(names, Action::Errno(errno), act)
}

/// The same, of which the named calls end the process that makes them. The
/// thread itself must not make any.
///
/// # Panics
/// If this kernel has no filters.
pub fn killing<T: Send>(names: &[&str], act: impl FnOnce() -> T + Send) -> T {
    under(names, Action::KillProcess, act)
}

fn under<T: Send>(names: &[&str], action: Action, act: impl FnOnce() -> T + Send) -> T {
    let rule = |name: &&str| Rule { name: (*name).to_owned(), action, arguments: Vec::new() };
    let profile = Profile {
        default: Action::Allow,
        foreign: Action::Allow,
        unknown: None,
        abis: Vec::new(),
        rules: names.iter().map(rule).collect(),
    };
    let program = compile(&profile, Machine::NATIVE).expect("a program");
    std::thread::scope(|scope| {
        let filtered = || {
            load(&program);
            act()
        };
        scope.spawn(filtered).join().expect("no panic")
    })
}

/// Loads a filter into the calling thread; how long that took.
///
/// # Panics
/// If it cannot be loaded.
#[must_use]
pub fn timed(program: &[Instruction]) -> Duration {
    std::thread::scope(|scope| scope.spawn(|| load(program)).join().expect("no panic"))
}

#[expect(clippy::disallowed_methods, reason = "a thread's own attribute, and it ends")]
fn load(program: &[Instruction]) -> Duration {
    let length = u16::try_from(program.len()).expect("a length");
    let whole = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut().cast() };
    // SAFETY: numbers only.
    let privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(privileges, 0);
    let begun = Instant::now();
    // SAFETY: struct sock_fprog and the instructions, which have the kernel's
    // layout, live through the call; the kernel only reads them.
    let loaded = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const whole)
    };
    let took = begun.elapsed();
    assert_eq!(loaded, 0, "{}", std::io::Error::last_os_error());
    took
}
