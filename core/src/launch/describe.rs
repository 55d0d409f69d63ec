//! The part of the plan that says how the container lives and what it runs:
//! namespaces, groups, limits of time, what is removed at the end; working
//! directory, rlimits, arguments, environment, program.

use std::path::{Path, PathBuf};
use std::time::Duration;

use libctr_helper::plan::{Field, Kind, controller, flag, when};
use nix::libc;

use crate::cgroup::{Controller, Groups};
use crate::helper::plan::Plan;
use crate::process::Process;
use crate::spec::{Network, RunSpec};
use crate::state::Meta;
use crate::userns::Users;

/// The namespace that pid 1 makes when it is in its groups, all others are made
/// with it.
const CGROUP: u32 = libc::CLONE_NEWCGROUP.cast_unsigned();

/// The namespaces that a container has of its own, as `CLONE_NEW…` bits.
pub(super) fn namespaces(spec: &RunSpec, users: Option<&Users>, groups: &Groups) -> u32 {
    let mut namespaces =
        libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    if spec.network != Network::Host {
        namespaces |= libc::CLONE_NEWNET;
    }
    if users.is_some() {
        namespaces |= libc::CLONE_NEWUSER;
    }
    // Also where the container has no group of its own: the names of the host's
    // are none of its business. Kernels without groups have no such file.
    if !groups.is_none() || Path::new("/proc/self/ns/cgroup").exists() {
        namespaces |= libc::CLONE_NEWCGROUP;
    }
    namespaces.cast_unsigned()
}

/// Namespaces, groups, limits of time, and what is removed at the end.
pub(super) fn life(
    plan: &mut Plan,
    spec: &RunSpec,
    process: &Process,
    users: Option<&Users>,
    meta: &Meta,
    run: &Path,
    dir: &Path,
) {
    plan.flag(flag::LOOPBACK, spec.network != Network::Host);
    if let Some(users) = users {
        users.write(plan);
    }
    plan.set(Field::CloneFlags, meta.exec.namespaces & !CGROUP);
    plan.flag(flag::INIT, spec.init);
    plan.flag(flag::TERMINAL, spec.tty);
    plan.flag(flag::READ_ONLY, spec.read_only);
    plan.flag(flag::KEYRING, true);
    plan.flag(flag::CGROUP_NAMESPACE, meta.exec.namespaces & CGROUP != 0);
    groups(plan, &meta.groups);

    if let Some(time) = spec.limits.wall_time {
        plan.set(Field::WallTime, ns(time));
    }
    if let Some(time) = spec.limits.cpu_time {
        plan.set(Field::CpuTime, ns(time));
    }
    plan.set(Field::Grace, ns(spec.limits.grace));
    plan.set(Field::StopSignal, process.stop_signal.cast_unsigned());
    plan.set(Field::LogMax, spec.limits.log);
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    plan.set(Field::Processors, u64::try_from(processors).unwrap_or(1));

    let when = if meta.removed { when::ALWAYS } else { when::FAILED };
    let name = meta.name.as_ref().map(|name| run.join("names").join(name));
    for path in meta.upper.iter().chain(&name).map(PathBuf::as_path).chain([dir]) {
        plan.record(Kind::Remove, |body| {
            body.u32(when).path(path);
        });
    }
    plan.record(Kind::Hostname, |body| {
        body.string(&meta.hostname);
    });
}

pub(super) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn groups(plan: &mut Plan, groups: &Groups) {
    if let Some(v2) = &groups.v2 {
        plan.record(Kind::GroupV2, |body| {
            body.path(v2);
        });
    }
    for (name, path) in &groups.v1 {
        let number = match name {
            Controller::Memory => controller::MEMORY,
            Controller::Pids => controller::PIDS,
            Controller::Cpuacct => controller::CPUACCT,
            Controller::Freezer => controller::FREEZER,
            Controller::Blkio => controller::BLKIO,
            Controller::Cpu | Controller::Cpuset | Controller::Devices => controller::OTHER,
        };
        plan.record(Kind::GroupV1, |body| {
            body.u32(number).path(path);
        });
    }
}

/// Working directory, limits, arguments, environment, program.
pub(super) fn program(plan: &mut Plan, spec: &RunSpec, process: &Process) {
    plan.set(Field::Umask, process.umask);
    let limits = &spec.limits;
    let resources = [
        (libc::RLIMIT_NOFILE, limits.nofile),
        (libc::RLIMIT_CORE, limits.core),
        (libc::RLIMIT_STACK, limits.stack),
        (libc::RLIMIT_FSIZE, limits.fsize),
    ];
    for (resource, limit) in resources {
        if let Some(limit) = limit {
            plan.record(Kind::Rlimit, |body| {
                body.u32(resource).u64(limit).u64(limit);
            });
        }
    }
    plan.record(Kind::Cwd, |body| {
        body.path(&process.cwd);
    });
    // The lists of which calls can fail come before those that may be longer
    // than an index counts.
    let lists = [
        (Kind::Program, &process.programs),
        (Kind::Argument, &process.args),
        (Kind::Environment, &process.env),
    ];
    for (kind, list) in lists {
        for item in list {
            plan.record(kind, |body| {
                body.string(item);
            });
        }
    }
}
