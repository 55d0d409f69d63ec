//! What a machine may lack, and saying so.

use std::env;
use std::io::{Write, stderr};
use std::path::PathBuf;

/// Prints why the current test does not run; with `LIBCTR_TEST_REQUIRE=1` the
/// test fails instead.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("test");
    assert_ne!(env::var("LIBCTR_TEST_REQUIRE").as_deref(), Ok("1"), "{test}: {reason}");
    // Not through the macro, whose output the test harness keeps to itself.
    let _ = writeln!(stderr(), "SKIP {test}: {reason}");
}

/// Whether this process may start containers; false after a skip.
#[must_use]
pub fn privileged() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skip("containers need root in this version");
    }
    root
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
