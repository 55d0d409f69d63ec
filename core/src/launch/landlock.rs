//! The part of the plan that puts a wall behind the mounts (landlock(7)).
//!
//! Host side, stage `user`. What it means: [`crate::spec::Landlock`].

use std::path::Path;

use libctr_helper::plan::Kind;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::spec::{Landlock, RunSpec, Seccomp, capability};
use crate::sys;

/// All rights of Linux 5.19 (version 2), which was the first to let files be
/// moved between directories (uapi/linux/landlock.h): execute, read and write
/// files, read, make and remove entries, refer.
const ALL: u64 = (1 << 14) - 1;
/// Truncate: version 3, Linux 6.2.
const TRUNCATE: u64 = 1 << 14;
/// Bind and connect TCP sockets: version 4.
const TCP: u64 = 3;
/// Scopes of version 6.
const ABSTRACT_SOCKETS: u64 = 1;
const SIGNALS: u64 = 2;
/// Those that a file can have that is no directory.
const OF_FILES: u64 = 1 | (1 << 1) | (1 << 2) | TRUNCATE;
/// Execute, read a file, read a directory.
const READING: u64 = 1 | (1 << 2) | (1 << 3);

pub(super) fn write(plan: &mut Plan, spec: &RunSpec) -> Result<()> {
    let wanted = spec.security.landlock;
    if wanted == Landlock::Off || (wanted == Landlock::Auto && takes_something(spec)) {
        return Ok(());
    }
    let all = match sys::landlock_version() {
        Ok(3..) => ALL | TRUNCATE,
        Ok(2) => ALL,
        _ if wanted == Landlock::Auto => return Ok(()),
        _ => {
            let message = "security.landlock: the kernel has no Landlock of version 2 or later";
            return Err(Error::new(Stage::User, ErrorKind::Unsupported, message)
                .with_hint("Linux 5.19 with landlock in CONFIG_LSM or lsm= of its command line"));
        }
    };
    if !spec.security.no_new_privileges {
        let message = "security.landlock: required needs no_new_privileges";
        return Err(Error::invalid(Stage::User, message));
    }
    ruleset(plan, [all, 0, 0]);
    rule(plan, all, Path::new("/"));
    if spec.read_only {
        let writing = all & !READING;
        ruleset(plan, [writing, 0, 0]);
        // The kernel's own file systems and the devices have rules of their own.
        for own in ["/dev", "/proc"] {
            rule(plan, writing, Path::new(own));
        }
        for mount in spec.mounts.iter().filter(|mount| !mount.is_read_only()) {
            let source = mount.source.as_deref().map(Path::is_dir);
            let rights = if source == Some(false) { writing & OF_FILES } else { writing };
            rule(plan, rights, &mount.target);
        }
    }
    Ok(())
}

/// What a process without namespaces may do with a file, or with a directory
/// and all below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    /// Read and execute.
    Read,
    /// Everything.
    Write,
}

/// Begins a wall that closes all files, abstract sockets, signals to others,
/// and with `network` TCP (version 6, Linux 6.12).
pub(super) fn closed(plan: &mut Plan, network: bool) {
    let tcp = if network { TCP } else { 0 };
    ruleset(plan, [ALL | TRUNCATE, tcp, ABSTRACT_SOCKETS | SIGNALS]);
}

/// Opens the wall for one path of the host; one that does not exist needs no
/// rule.
pub(super) fn allow(plan: &mut Plan, rights: Rights, path: &Path) {
    let Ok(found) = path.metadata() else { return };
    let rights = match rights {
        Rights::Read => READING,
        Rights::Write => ALL | TRUNCATE,
    };
    rule(plan, if found.is_dir() { rights } else { rights & OF_FILES }, path);
}

fn ruleset(plan: &mut Plan, handled: [u64; 3]) {
    plan.record(Kind::Landlock, |body| {
        for bits in handled {
            body.u64(bits);
        }
    });
}

fn rule(plan: &mut Plan, rights: u64, below: &Path) {
    plan.record(Kind::LandlockRule, |body| {
        body.u64(rights).path(below);
    });
}

/// Whether the program may do something that Landlock would forbid.
fn takes_something(spec: &RunSpec) -> bool {
    let security = &spec.security;
    let powerful = |name: &String| {
        name.eq_ignore_ascii_case("ALL")
            || ["SYS_ADMIN", "SYS_PTRACE"].iter().any(|other| capability(name) == capability(other))
    };
    !security.no_new_privileges
        || security.seccomp != Seccomp::Default
        || security.capabilities.add.iter().any(powerful)
}
