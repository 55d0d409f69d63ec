//! From the caller's limits to those of the control groups.

use std::os::unix::fs::MetadataExt;

use nix::libc;

use crate::cgroup::{self, DeviceFilter, Hierarchies, Setup};
use crate::error::{Error, Result, Stage};
use crate::spec::{Device, Limits};

/// Chooses the groups; nothing is made yet.
pub(super) fn choose(id: &str, limits: &Limits, devices: &DeviceFilter) -> Result<Setup> {
    let limits = cgroup::Limits { devices: Some(devices.clone()), ..of(limits)? };
    Setup::choose(Hierarchies::get()?, id, &limits)
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
