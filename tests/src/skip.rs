//! What a machine or a caller may lack, and saying so.

use std::env;
use std::io::{Write, stderr};
use std::path::PathBuf;

/// Prints why the current test does not run; with `LIBCTR_TEST_REQUIRE` set
/// the test fails instead.
#[track_caller]
pub fn skip(reason: &str) {
    let test = test_name();
    assert!(env::var_os("LIBCTR_TEST_REQUIRE").is_none(), "{test}: {reason}");
    say(reason);
}

fn test_name() -> String {
    std::thread::current().name().unwrap_or("test").to_owned()
}

fn say(reason: &str) {
    // Not through the macro, whose output the test harness keeps to itself.
    let _ = writeln!(stderr(), "SKIP {}: {reason}", test_name());
}

/// A skip of what an ordinary user cannot have: a failure only where
/// `LIBCTR_TEST_REQUIRE` asks for more than `user`.
#[track_caller]
pub fn skip_as_user(reason: &str) {
    match env::var("LIBCTR_TEST_REQUIRE").as_deref() {
        Ok("user") if !is_root() => say(reason),
        _ => skip(reason),
    }
}

/// Whether this process is root of the machine, and not of a user namespace.
#[must_use]
pub fn is_root() -> bool {
    // PROC_USER_INIT_INO, include/linux/proc_ns.h.
    let namespace = std::fs::read_link("/proc/self/ns/user");
    let is_first = namespace.is_ok_and(|link| link.to_string_lossy() == "user:[4026531837]");
    nix::unistd::geteuid().is_root() && is_first
}

/// For tests of what only root may do, or may arrange; false after a skip.
#[must_use]
#[track_caller]
pub fn as_root() -> bool {
    if !is_root() {
        skip_as_user("needs root of the machine");
    }
    is_root()
}

/// For tests of what an ordinary user has; false after a skip.
#[must_use]
#[track_caller]
pub fn as_user() -> bool {
    if is_root() {
        // `make test-user` is where it runs.
        say("is for an ordinary user");
    }
    !is_root()
}

/// Prints that the current test is about another machine or user than this. The
/// job that has them sets the variable `job`, and there the test fails.
pub fn not_here(job: &str, reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    assert!(env::var_os(job).is_none(), "{test}: {reason}");
    let _ = writeln!(stderr(), "NOT HERE {test}: {reason}");
}

/// The directory of the test images, or a skip.
#[must_use]
pub fn images() -> Option<PathBuf> {
    let images = env::var_os("LIBCTR_TEST_IMAGES").map(PathBuf::from);
    if images.is_none() {
        skip("LIBCTR_TEST_IMAGES names no directory of images");
    }
    images
}

/// Whether this is the emulated machine of the tests.
#[must_use]
pub fn in_vm() -> bool {
    env::var_os("LIBCTR_VM").is_some()
}

/// Whether the filter of `old_kernel` (`src/bin/old_kernel.rs`) answers for a
/// system call here.
#[must_use]
pub fn lacks(call: &str) -> bool {
    let calls = env::var("LIBCTR_OLD_KERNEL").unwrap_or_default();
    calls.split(',').any(|lacking| lacking == call)
}

/// How often a long loop runs: `LIBCTR_TEST_RUNS`, else `usual`, and a tenth
/// of that in the emulated machine.
#[must_use]
pub fn runs(usual: u32) -> u32 {
    let usual = if in_vm() { usual.div_ceil(10) } else { usual };
    env::var("LIBCTR_TEST_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(usual)
}
