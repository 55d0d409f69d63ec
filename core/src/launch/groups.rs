//! From the caller's limits to those of the control groups.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use nix::libc;

use crate::cgroup::{self, DeviceFilter, Hierarchies, Manager, Setup};
use crate::error::{Error, Result, Stage};
use crate::helper::channel::Channel;
use crate::spec::{Device, Limits};
use crate::sys;

/// Chooses the groups; nothing is made yet. An ordinary user's may have to come
/// from systemd, whose answer is awaited no longer than `cancel` allows.
pub(super) fn choose(
    id: &str,
    limits: &Limits,
    devices: &DeviceFilter,
    cancel: Option<BorrowedFd<'_>>,
) -> Result<Setup> {
    let limits = cgroup::Limits { devices: Some(devices.clone()), ..of(limits)? };
    let ask = || Manager::find(cancel);
    let systemd: cgroup::Systemd<'_> = match nix::unistd::geteuid().is_root() {
        true => None,
        false => Some(&ask),
    };
    Setup::choose(Hierarchies::get()?, id, &limits, systemd)
}

/// Makes the groups for which the helper has to run, and lets it go on. Of a
/// helper that has ended its last words on the channel say more.
pub(super) fn create_around(
    setup: &Setup,
    helper: &OwnedFd,
    channel: &Channel,
    cancel: Option<BorrowedFd<'_>>,
) -> Result<()> {
    let failed = |errno| Error::sys(Stage::Launch, "pid of the helper", errno);
    let made = sys::pid_of(helper.as_fd())
        .map_err(failed)
        .and_then(|helper| setup.create_around(helper, cancel));
    // If it is still there its number was its own all the time.
    match crate::wait::until_readable(helper.as_fd(), Some(Duration::ZERO))? {
        true => Ok(()),
        false => made.and_then(|()| channel.go_on()),
    }
}

/// The limits that control groups enforce.
pub(crate) fn of(limits: &Limits) -> Result<cgroup::Limits> {
    let mut io = Vec::new();
    for device in &limits.io.devices {
        io.push(cgroup::IoLimit {
            device: number(&device.device)?,
            read_bps: device.read_bps,
            write_bps: device.write_bps,
            read_iops: device.read_iops,
            write_iops: device.write_iops,
        });
    }
    Ok(cgroup::Limits {
        memory: limits.memory,
        swap: limits.swap,
        pids: limits.pids.map(u64::from),
        // The default is dropped where nothing can enforce it.
        pids_explicit: limits.pids != Limits::default().pids,
        cpus: limits.cpus,
        cpu_weight: limits.cpu_weight,
        cpuset: limits.cpuset.clone(),
        io,
        io_weight: limits.io.weight,
        cpu_time: limits.cpu_time.is_some(),
        devices: None,
    })
}

/// The number of a block device that may be given by its path.
fn number(device: &Device) -> Result<cgroup::Device> {
    match device {
        Device::Number(major, minor) => Ok(cgroup::Device { major: *major, minor: *minor }),
        Device::Path(path) => {
            let metadata = std::fs::metadata(path)
                .map_err(|error| Error::io(Stage::Cgroup, format!("stat({path:?})"), error))?;
            if metadata.mode() & libc::S_IFMT != libc::S_IFBLK {
                let message = format!("limits.io: {path:?} is no block device");
                return Err(Error::invalid(Stage::Cgroup, message));
            }
            let number = metadata.rdev();
            let part = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
            Ok(cgroup::Device {
                major: part(nix::sys::stat::major(number)),
                minor: part(nix::sys::stat::minor(number)),
            })
        }
    }
}
