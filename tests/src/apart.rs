//! A part of a test in a mount namespace of its own: mounts that it makes are
//! nobody else's, and go with it.

use std::ffi::OsStr;
use std::path::Path;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;

/// Does something on a thread that has a mount namespace of its own, from
/// which nothing spreads until the test makes it.
///
/// # Panics
/// As `act` does.
pub fn apart<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let inside = || {
            unshare();
            place("none", Path::new("/"), "", MsFlags::MS_REC | MsFlags::MS_PRIVATE);
            act()
        };
        match scope.spawn(inside).join() {
            Ok(value) => value,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Gives the calling thread, which ends soon, a copy of its mount namespace;
/// what is shared stays shared with the one that it leaves.
///
/// # Panics
/// Without the rights of root.
#[expect(clippy::disallowed_methods, reason = "a thread of the test's own, which ends")]
pub fn unshare() {
    nix::sched::unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).expect("unshare");
}

/// mount(2).
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn place(source: impl AsRef<OsStr>, target: &Path, kind: &str, flags: MsFlags) {
    mount(Some(source.as_ref()), target, Some(kind), flags, None::<&str>).expect("mount");
}
