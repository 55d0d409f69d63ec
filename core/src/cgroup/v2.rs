//! The unified hierarchy: limits as v2 control files, and its events.
//!
//! Host side. Source: Documentation/admin-guide/cgroup-v2.rst.

use std::path::Path;

use super::limits::cpuset;
use super::limits::setting::{IO, SWAP_HINT, Setting};
use super::limits::weight;
use super::limits::{Limits, PERIOD_US};
use super::{Controller, file};
use crate::error::Result;

/// The settings for what `limits` gives of one controller. `parent` is the
/// group's parent, against whose processors a list is checked.
pub(super) fn settings(
    controller: Controller,
    limits: &Limits,
    parent: &Path,
) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    match controller {
        Controller::Memory => {
            settings.extend(limits.memory.map(|n| Setting::new("limits.memory", "memory.max", n)));
            settings.extend(
                limits
                    .swap
                    .map(|n| Setting::new("limits.swap", "memory.swap.max", n).hint(SWAP_HINT)),
            );
        }
        Controller::Pids => {
            settings.extend(limits.pids_setting());
        }
        Controller::Cpu => {
            if let Some(quota) = limits.quota_us()? {
                let value = format!("{quota} {PERIOD_US}");
                settings.push(Setting::new("limits.cpus", "cpu.max", value));
            }
            settings.extend(
                limits.cpu_weight.map(|n| Setting::new("limits.cpu_weight", "cpu.weight", n)),
            );
        }
        Controller::Cpuset => {
            if let Some(list) = &limits.cpuset {
                cpuset::check(list, parent, &["cpuset.cpus.effective"])?;
                settings.push(Setting::new("limits.cpuset", "cpuset.cpus", list));
            }
        }
        Controller::Blkio => {
            for limit in &limits.io {
                let device = limit.device;
                let rates: String =
                    limit.rates().map(|(name, _, rate)| format!(" {name}={rate}")).collect();
                let value = format!("{}:{}{rates}", device.major, device.minor);
                settings.push(Setting::new(IO, "io.max", value));
            }
            settings.extend(limits.io_weight.map(|n| {
                Setting::new("limits.io weight", "io.weight", n)
                    .or("io.bfq.weight", weight::bfq(n))
                    .hint("needs CONFIG_BLK_CGROUP_IOCOST, or the disk's scheduler bfq")
            }));
        }
        Controller::Cpuacct | Controller::Freezer | Controller::Devices => {}
    }
    Ok(settings)
}

/// A memory limit without swap means no swap at all.
pub(super) fn no_swap() -> Setting {
    Setting::new("limits.memory", "memory.swap.max", 0).unless_no_swap()
}

/// One field of `cgroup.events`. A group that is gone has no events.
pub(super) fn event(dir: &Path, name: &str) -> Result<bool> {
    let text = file::read_if_there(dir, "cgroup.events")?;
    Ok(text.is_some_and(|text| file::keyed(&text, name) == Some(1)))
}

#[cfg(test)]
mod tests {
    use super::settings;
    use crate::cgroup::limits::setting::Setting;
    use crate::cgroup::{Controller, Device, IoLimit, Limits};

    #[test]
    fn rates_of_a_device_are_one_line() {
        let limit = IoLimit {
            device: Device { major: 8, minor: 16 },
            read_bps: Some(1_000_000),
            write_bps: None,
            read_iops: None,
            write_iops: Some(50),
        };
        let limits = Limits { io: vec![limit], ..Limits::default() };
        assert_eq!(
            settings(Controller::Blkio, &limits, "/".as_ref()).unwrap(),
            [Setting::new("limits.io", "io.max", "8:16 rbps=1000000 wiops=50")]
        );
    }

    #[test]
    fn quota_carries_its_period() {
        let limits = Limits { cpus: Some(0.5), cpu_weight: Some(7), ..Limits::default() };
        assert_eq!(
            settings(Controller::Cpu, &limits, "/".as_ref()).unwrap(),
            [
                Setting::new("limits.cpus", "cpu.max", "50000 100000"),
                Setting::new("limits.cpu_weight", "cpu.weight", 7),
            ]
        );
    }
}
