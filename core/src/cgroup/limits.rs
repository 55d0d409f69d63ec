//! What the caller wants limited, in the units of the user.
//!
//! Host side, values only. How a limit is written for v2 and for v1 is in
//! `cgroup/v2.rs` and `cgroup/v1.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Controller, DeviceFilter};
use crate::error::{Error, Result, Stage};
use setting::Setting;
pub use weight::weight_of_shares;

pub(super) mod cpuset;
pub(super) mod setting;
pub(super) mod weight;

/// The period of the processor quota, which is also the kernel's default.
pub(super) const PERIOD_US: u64 = 100_000;

/// The kernel refuses a quota below one millisecond per period.
const LEAST_QUOTA_US: u64 = 1_000;

/// Limits for one container. `None` and empty mean: no limit, or in
/// [`super::Groups::update`], no change.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Limits {
    /// Memory in bytes, page cache and kernel memory of the container included.
    pub(crate) memory: Option<u64>,
    /// Swap in bytes beyond the memory. None with a memory limit means 0.
    pub(crate) swap: Option<u64>,
    /// Processes and threads.
    pub(crate) pids: Option<u64>,
    /// Whether the caller asked for `pids`; the default limit is dropped
    /// where it cannot be enforced, an asked one is an error.
    pub(crate) pids_explicit: bool,
    /// Processor time per time, 1.5 meaning one and a half processors.
    pub(crate) cpus: Option<f64>,
    /// Share of processor time under contention, 1 to 10000, 100 is usual.
    pub(crate) cpu_weight: Option<u32>,
    /// Processors that may be used, `0-3,7`.
    pub(crate) cpuset: Option<String>,
    /// Rates of block devices.
    pub(crate) io: Vec<IoLimit>,
    /// Share of I/O under contention, 1 to 10000, 100 is usual.
    pub(crate) io_weight: Option<u32>,
    /// Whether the processor time of all processes must be known; of a new
    /// group only.
    pub(crate) cpu_time: bool,
    /// Which devices may be used; of a new group only.
    pub(crate) devices: Option<DeviceFilter>,
}

/// A block device. Limits work on whole disks, not on partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Major number.
    pub(crate) major: u32,
    /// Minor number.
    pub(crate) minor: u32,
}

/// The rates of one block device: bytes and operations per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IoLimit {
    pub(crate) device: Device,
    pub(crate) read_bps: Option<u64>,
    pub(crate) write_bps: Option<u64>,
    pub(crate) read_iops: Option<u64>,
    pub(crate) write_iops: Option<u64>,
}

impl IoLimit {
    /// The rates that are given, by their names in v2 `io.max` and by their
    /// files on v1.
    pub(super) fn rates(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        [
            ("rbps", "blkio.throttle.read_bps_device", self.read_bps),
            ("wbps", "blkio.throttle.write_bps_device", self.write_bps),
            ("riops", "blkio.throttle.read_iops_device", self.read_iops),
            ("wiops", "blkio.throttle.write_iops_device", self.write_iops),
        ]
        .into_iter()
        .filter_map(|(v2, v1, rate)| Some((v2, v1, rate?)))
    }
}

impl Limits {
    /// The controllers without which a limit that was asked for is a lie, each
    /// with the key that asks for it.
    pub(super) fn asked(&self) -> BTreeMap<Controller, &'static str> {
        let keys = [
            (self.memory.is_some(), Controller::Memory, "limits.memory"),
            (self.swap.is_some(), Controller::Memory, "limits.swap"),
            (self.pids.is_some() && self.pids_explicit, Controller::Pids, "limits.pids"),
            (self.cpus.is_some(), Controller::Cpu, "limits.cpus"),
            (self.cpu_weight.is_some(), Controller::Cpu, "limits.cpu_weight"),
            (self.cpuset.is_some(), Controller::Cpuset, "limits.cpuset"),
            (!self.io.is_empty(), Controller::Blkio, "limits.io"),
            (self.io_weight.is_some(), Controller::Blkio, "limits.io weight"),
        ];
        let mut asked = BTreeMap::new();
        for (is_asked, controller, key) in keys {
            if is_asked {
                asked.entry(controller).or_insert(key);
            }
        }
        asked
    }

    /// The limit of processes, which is the same on v1 and v2.
    pub(super) fn pids_setting(&self) -> Option<Setting> {
        let setting = Setting::new("limits.pids", "pids.max", self.pids?);
        Some(if self.pids_explicit { setting } else { setting.best_effort() })
    }

    /// The quota in microseconds per [`PERIOD_US`].
    pub(super) fn quota_us(&self) -> Result<Option<u64>> {
        let Some(cpus) = self.cpus else {
            return Ok(None);
        };
        // Through a duration, because it refuses negative, infinite and NaN.
        Duration::try_from_secs_f64(cpus / 10.0)
            .ok()
            .and_then(|quota| u64::try_from(quota.as_micros()).ok())
            .filter(|&quota| quota >= LEAST_QUOTA_US)
            .map(Some)
            .ok_or_else(|| {
                Error::invalid(
                    Stage::Cgroup,
                    format!("limits.cpus {cpus} is not a number of processors, 0.01 or more"),
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::Limits;
    use crate::error::{ErrorKind, Stage};

    #[test]
    fn quota_is_per_tenth_of_a_second() {
        for (cpus, quota) in [(0.01, 1_000), (0.015, 1_500), (1.0, 100_000), (2.5, 250_000)] {
            let limits = Limits { cpus: Some(cpus), ..Limits::default() };
            assert_eq!(limits.quota_us().unwrap(), Some(quota));
        }
        assert_eq!(Limits::default().quota_us().unwrap(), None);
    }

    #[test]
    fn quota_that_is_no_number_is_refused() {
        for cpus in [0.0, 0.009, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            let limits = Limits { cpus: Some(cpus), ..Limits::default() };
            let error = limits.quota_us().unwrap_err();
            assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Cgroup));
            assert_eq!(
                error.message(),
                format!("limits.cpus {cpus} is not a number of processors, 0.01 or more")
            );
        }
    }

    #[test]
    fn default_pids_limit_is_not_asked_for() {
        let mut limits = Limits { pids: Some(4096), ..Limits::default() };
        assert!(limits.asked().is_empty());
        limits.pids_explicit = true;
        assert_eq!(limits.asked().into_values().collect::<Vec<_>>(), ["limits.pids"]);
    }
}
