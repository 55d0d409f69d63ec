//! The rung below: no namespaces, a process of the host that Landlock,
//! seccomp and resource limits keep in. Only where the caller allows it
//! ([`crate::spec::Degraded`]) and namespaces cannot be made.
//!
//! Host side. What cannot be had without namespaces is refused, so that
//! nothing is silently left out but what the caller has agreed to.

use std::fs;
use std::path::{Path, PathBuf};

use libctr_helper::plan::{Field, Kind, flag};
use nix::unistd::{getegid, geteuid};

use super::landlock::{self, Rights};
use super::seccomp::Filter;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::process::Process;
use crate::sandbox;
use crate::spec::{MountKind, Network, RunSpec};
use crate::sys;

/// The first version of Landlock that keeps signals in (Linux 6.12).
const VERSION: i64 = 6;

/// Whether a run can do without namespaces.
///
/// # Errors
/// `Unsupported`, with the key that cannot.
pub(super) fn check(spec: &RunSpec, process: &Process, filter: Option<&Filter>) -> Result<()> {
    let refuse = |what: &str| {
        let message = format!("degraded: {what}");
        Err(Error::new(Stage::Launch, ErrorKind::Unsupported, message))
    };
    let user = geteuid().as_raw();
    let in_place = |mount: &crate::spec::Mount| {
        mount.kind == MountKind::Bind && mount.source.as_ref() == Some(&mount.target)
    };
    if sys::landlock_version().unwrap_or(0) < VERSION {
        return refuse("the kernel has no Landlock of version 6 (Linux 6.12)");
    }
    match spec {
        _ if spec.tty => refuse("tty needs namespaces"),
        _ if spec.hostname.is_some() => refuse("hostname needs namespaces"),
        _ if !spec.devices.is_empty() => refuse("devices need namespaces"),
        _ if !spec.hosts.is_empty() || !spec.dns.is_empty() => {
            refuse("hosts and dns need namespaces")
        }
        _ if !spec.mounts.iter().all(in_place) => {
            refuse("mounts need namespaces, but for binds of a path onto itself")
        }
        _ if spec.user.is_some() && process.uid != user => {
            refuse("another user than the caller needs namespaces")
        }
        // pid 1 of the container carries it.
        _ if filter.is_some_and(Filter::notifies) => refuse("SCMP_ACT_NOTIFY needs namespaces"),
        _ if !spec.security.no_new_privileges => refuse("no_new_privileges cannot be off"),
        _ => Ok(()),
    }
}

/// Writes what takes the place of root, user and capabilities. `own` is the
/// directory in which the program may write.
pub(super) fn write(plan: &mut Plan, spec: &RunSpec, process: &Process, own: &Path) -> Result<()> {
    let tmp = own.join("tmp");
    fs::create_dir(&tmp)
        .map_err(|error| Error::io(Stage::Rootfs, format!("mkdir({tmp:?})"), error))?;
    plan.without(flag::INIT | flag::LOOPBACK | flag::CGROUP_NAMESPACE | flag::NO_SETGROUPS);
    plan.without(flag::ROOT_IDS | flag::BUILDER);
    plan.flag(flag::DEGRADED, true);
    plan.set(Field::CloneFlags, 0_u64);
    plan.set(Field::Uid, geteuid().as_raw());
    plan.set(Field::Gid, getegid().as_raw());
    plan.flag(flag::NO_NEW_PRIVS, true);
    if !process.env.iter().any(|entry| entry.as_encoded_bytes().starts_with(b"TMPDIR=")) {
        plan.record(Kind::Environment, |body| {
            body.string(format!("TMPDIR={}", tmp.display()));
        });
    }
    wall(plan, spec, &tmp);
    Ok(())
}

fn wall(plan: &mut Plan, spec: &RunSpec, tmp: &Path) {
    landlock::closed(plan, spec.network == Network::None);
    for visible in sandbox::visible() {
        landlock::allow(plan, Rights::Read, &visible);
    }
    for kernel in ["/proc", "/sys"] {
        landlock::allow(plan, Rights::Read, Path::new(kernel));
    }
    let devices = ["null", "zero", "full", "random", "urandom", "tty"];
    for device in devices.map(|name| PathBuf::from("/dev").join(name)) {
        landlock::allow(plan, Rights::Write, &device);
    }
    landlock::allow(plan, Rights::Write, tmp);
    for mount in &spec.mounts {
        let rights = if mount.is_read_only() { Rights::Read } else { Rights::Write };
        landlock::allow(plan, rights, &mount.target);
    }
}
