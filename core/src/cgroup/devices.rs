//! Which devices the container may use, whoever its program is and whatever
//! nodes it finds or makes.
//!
//! Host side. Rules → on v1 a group of the `devices` hierarchy, on v2 a program
//! on the container's group, both in place before pid 1 enters. On a hybrid
//! machine the v1 hierarchy is used where it is mounted. Nothing has to be
//! removed but the groups: a program goes with its group.
//!
//! # Two walls
//! A node can be opened only where it lies on a mount that is not `nodev`, and
//! then only as the rules say.
//!
//! 1. Mounts: the root, binds and views are `nodev`, so that nodes in an
//!    image's layers, in a volume or made by the program itself are dead. The
//!    container's own `/dev` alone is not.
//! 2. Rules: what the container's `/dev` was given and no more. They stop root
//!    who calls mknod(2) in `/dev`, and one whom the caller gave CAP_SYS_ADMIN
//!    and so a way around the first wall (a remount, a devtmpfs).
//!
//! Where the rules cannot be enforced (no hierarchy, or bpf(2) refused), the
//! first wall is made to hold alone: the container goes without CAP_MKNOD, in
//! its bounding set too, so that there are no nodes but those it was given.
//! What would be a lie then is an error: MKNOD or SYS_ADMIN asked for by name,
//! and a device of which less than reading and writing was allowed.
//!
//! # The default set
//! That of runc and crun: mknod of any device (a node that cannot be opened is
//! harmless, and package managers and archives make some); null, zero, full,
//! random, urandom, tty, ptmx and pseudo-terminals to read and write. Left out
//! are the host's console (5:1: `/dev/console` inside is a pseudo-terminal) and
//! tun (10:200, which runc had up to 1.1).
//!
//! Sources: OCI runtime-spec config-linux.md ("Default Devices", "Allowed
//! Device list"), cgroup-v1/devices.rst and cgroup-v2.rst of the kernel,
//! `AllowedDevices` in runc's specconv, `default_devices` in crun's ebpf.c.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::place::{self, Closed, Place};
use super::{Controller, Groups, Hierarchies, file};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::sys;

mod program;
mod rule;

use rule::DEFAULT;
pub(crate) use rule::{DeviceAccess, DeviceKind, DeviceRule};

/// What a container's devices are limited to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeviceFilter {
    /// What is allowed besides the default set.
    pub(crate) rules: Vec<DeviceRule>,
    /// What of the document would be a lie without the filter. `None`: the
    /// container can do without.
    pub(crate) asked: Option<String>,
}

impl DeviceFilter {
    /// The default set and the rules of the caller, those for the same devices
    /// added up, as the kernel does in a v1 group: an access is allowed when
    /// one rule covers all of it.
    pub(crate) fn all(&self) -> Vec<DeviceRule> {
        let mut all = DEFAULT.to_vec();
        for rule in &self.rules {
            match all.iter_mut().find(|other| other.is_about(rule)) {
                Some(other) => other.access = other.access.and(rule.access),
                None => all.push(*rule),
            }
        }
        all
    }
}

/// The filter of one container: where it is set, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wall {
    place: Filtered,
    filter: DeviceFilter,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Filtered {
    /// A group of the v1 hierarchy.
    V1(PathBuf),
    /// A program on the v2 group.
    V2(PathBuf),
}

/// Chooses where the filter is set. A v1 group is added to `groups`.
pub(super) fn choose(
    hierarchies: &Hierarchies,
    unified: Option<&std::result::Result<Place, Closed>>,
    groups: &mut Groups,
    name: &str,
    filter: &DeviceFilter,
) -> Result<Option<Wall>> {
    let controller = Controller::Devices;
    let mount = hierarchies.v1.get(&controller);
    let v1 = mount.map(|mount| place::v1(hierarchies, mount, controller));
    let place = match (v1, &groups.v2) {
        (Some(Ok(dir)), _) => {
            let group = dir.join(name);
            groups.v1.insert(controller, group.clone());
            Filtered::V1(group)
        }
        (_, Some(group)) => Filtered::V2(group.clone()),
        (v1, None) => {
            let Some(key) = &filter.asked else { return Ok(None) };
            let closed = v1.as_ref().and_then(|v1| v1.as_ref().err());
            let closed = closed.or(unified.and_then(|unified| unified.as_ref().err()));
            return Err(match closed {
                // A group of one's own would not do.
                Some(closed) => {
                    closed.refuse(key).with_hint("only root can filter devices: run it as root")
                }
                None => place::refuse_unmounted(key, controller, !hierarchies.v1.is_empty()),
            });
        }
    };
    Ok(Some(Wall { place, filter: filter.clone() }))
}

impl Wall {
    /// Sets the filter; the group exists and is empty. False: it cannot be set
    /// here, and nothing was asked for that needs it.
    pub(super) fn set(&self) -> Result<bool> {
        let result = match &self.place {
            Filtered::V1(group) => deny_all(group),
            Filtered::V2(group) => attach(group, &self.filter.all()),
        };
        match (result, &self.filter.asked) {
            (Ok(()), _) => {}
            (Err(error), None) if is_refusal(&error) => {
                log::debug!("no filter of devices, so no CAP_MKNOD: {error}");
                return Ok(false);
            }
            (Err(error), Some(key)) if is_refusal(&error) => return Err(refuse(key, &error)),
            (Err(error), _) => return Err(error),
        }
        if let Filtered::V1(group) = &self.place {
            allow(group, &self.filter)?;
        }
        Ok(true)
    }
}

/// Whether the kernel says that there is no such thing here, as opposed to one
/// that failed.
fn is_refusal(error: &Error) -> bool {
    let errno = error.errno().map(Errno::from_raw);
    let refusals = [Errno::EPERM, Errno::EACCES, Errno::EINVAL, Errno::ENOSYS, Errno::EOPNOTSUPP];
    errno.is_some_and(|errno| refusals.contains(&errno))
}

fn refuse(key: &str, error: &Error) -> Error {
    let errno = error.errno().map_or(Errno::UnknownErrno, Errno::from_raw);
    let hint = match errno {
        Errno::EPERM | Errno::EACCES => {
            "it needs CAP_SYS_ADMIN outside of any user namespace, and before Linux 5.11 \
             some locked memory (ulimit -l)"
        }
        _ => {
            "it needs a kernel with CONFIG_CGROUP_BPF, or with CONFIG_CGROUP_DEVICE and its \
              v1 hierarchy mounted"
        }
    };
    let call = format!("{key} cannot be enforced: {}", error.message());
    Error::sys(Stage::Cgroup, call, errno).with_kind(ErrorKind::Unsupported).with_hint(hint)
}

fn deny_all(group: &Path) -> Result<()> {
    file::write(group, "devices.deny", "a")
}

/// The kernel takes one rule with each write. A rule that the group above does
/// not have is refused (EPERM): of the default set it is left out, which only
/// denies more.
fn allow(group: &Path, filter: &DeviceFilter) -> Result<()> {
    const FILE: &str = "devices.allow";
    let mut file = file::open_for_writing(group, FILE)?;
    for rule in filter.all() {
        let text = rule.to_string();
        let written = loop {
            match file.write(text.as_bytes()) {
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                other => break other,
            }
        };
        match written {
            Ok(_) => {}
            Err(error)
                if error.raw_os_error() == Some(libc::EPERM)
                    && !filter.rules.iter().any(|asked| asked.is_about(&rule)) => {}
            Err(error) => {
                let call = format!("devices: write({:?}, {text:?})", group.join(FILE));
                return Err(Error::io(Stage::Cgroup, call, error)
                    .with_hint("the group above must have the device, see its devices.list"));
            }
        }
    }
    Ok(())
}

fn attach(group: &Path, rules: &[DeviceRule]) -> Result<()> {
    let dir = file::open_dir(group)?;
    let failed = |call: &str| {
        let call = format!("bpf({call}) of the device filter for {group:?}");
        move |errno| Error::sys(Stage::Cgroup, call, errno)
    };
    let program = sys::load_device_program(&program::program(rules))
        .map_err(failed("BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE"))?;
    sys::attach_device_program(dir.as_fd(), program.as_fd())
        .map_err(failed("BPF_PROG_ATTACH, BPF_CGROUP_DEVICE"))
}

#[cfg(test)]
mod tests;
