//! The harness of the behaviour tests, one file of which stands in `tests/`
//! for each step of the pipeline.
//!
//! ```text
//! let Some(fixture) = fixture() else { return };   state of its own, or a printed skip
//! assert_eq!(fixture.ask(&["uid"]), "0 0 0 0");    spec, run, exact answer
//! ```                                              the end: nothing may be left
//!
//! The program inside is the probe (`src/bin/probe`). Environment:
//! `LIBCTR_TEST_REQUIRE=1` makes every skip a failure, `LIBCTR_TEST_REQUIRE=user`
//! every one but those of what an ordinary user cannot have; `LIBCTR_TEST_IMAGES`
//! is a directory with an OCI layout `busybox-oci`, `LIBCTR_TEST_RUNS` scales
//! the long loops. `make test-old-kernel` runs the same tests behind a filter
//! (`src/bin/old_kernel.rs`).

mod apart;
pub mod exec;
mod fixture;
mod host;
mod leaks;
pub mod listener;
pub mod outer;
mod skip;
mod user;

pub use apart::{apart, place, unshare};
pub use fixture::{Fixture, fixture, fixture_of_user, helper, probe_path, program};
pub use host::{HostState, session_key, session_keyring};
pub use skip::{
    as_root, as_user, images, in_vm, is_root, lacks, not_here, runs, skip, skip_as_user,
};
pub use user::{below, own_ids, subordinate, user_fixture};

use std::time::{Duration, Instant};

/// Bound for everything that must happen at all: far over what it takes, for
/// machines that are emulated or busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until something is so; fails the test if it never is.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
