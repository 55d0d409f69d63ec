//! The v1 hierarchies: limits as v1 control files.
//!
//! Host side. Source: Documentation/admin-guide/cgroup-v1/ (memory.rst,
//! cpusets.rst, blkio-controller.rst), Documentation/scheduler/sched-bwc.rst.

use std::path::Path;

use super::limits::Limits;
use super::limits::cpuset;
use super::limits::setting::{IO, SWAP_HINT, Setting};
use super::limits::weight;
use super::{Controller, file};
use crate::error::{Error, ErrorKind, Result, Stage};

const LIMIT: &str = "memory.limit_in_bytes";
/// Memory and swap together; only where the kernel accounts swap.
const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

/// A group without limit shows the largest multiple of a page below 2^63.
pub(super) const UNLIMITED: u64 = 1 << 62;

/// The settings for a new group below `parent`.
pub(super) fn first_settings(
    controller: Controller,
    limits: &Limits,
    parent: &Path,
) -> Result<Vec<Setting>> {
    match controller {
        Controller::Memory => first_memory(limits, file::exists(&parent.join(WITH_SWAP))),
        Controller::Cpuset => {
            // A new group has neither processors nor memory nodes, and takes no
            // process before it has both.
            let mems = cpuset::available(parent, &["cpuset.mems", "cpuset.effective_mems"])?;
            let mut settings = vec![Setting::new("limits.cpuset", "cpuset.mems", mems)];
            settings.extend(other(controller, limits, parent)?);
            Ok(settings)
        }
        _ => other(controller, limits, parent),
    }
}

/// The settings that change the group `dir` of a running container.
pub(super) fn changes(controller: Controller, limits: &Limits, dir: &Path) -> Result<Vec<Setting>> {
    if controller == Controller::Memory {
        let with_swap = file::read_if_there(dir, WITH_SWAP)?;
        let old = number(&file::read(dir, LIMIT)?, dir)?;
        let old_with_swap = with_swap.map(|text| number(&text, dir)).transpose()?;
        return changed_memory(limits, old, old_with_swap);
    }
    other(controller, limits, dir.parent().unwrap_or(dir))
}

fn number(text: &str, dir: &Path) -> Result<u64> {
    text.trim().parse().map_err(|_| {
        Error::new(
            Stage::Cgroup,
            ErrorKind::SetupFailed,
            format!("{:?} holds {text:?} instead of a number", dir.join(LIMIT)),
        )
    })
}

/// A new group is unlimited, so its limit may be lowered first.
fn first_memory(limits: &Limits, accounts_swap: bool) -> Result<Vec<Setting>> {
    let mut settings = memory_alone(limits, None, accounts_swap)?;
    if let (Some(memory), true) = (limits.memory, accounts_swap) {
        settings.push(with_swap(memory, limits.swap.unwrap_or(0)));
    }
    Ok(settings)
}

/// The kernel keeps memory ≤ memory and swap at every moment, so the sum is
/// raised before the memory and lowered after it.
fn changed_memory(limits: &Limits, old: u64, old_with_swap: Option<u64>) -> Result<Vec<Setting>> {
    let mut settings = memory_alone(limits, Some(old), old_with_swap.is_some())?;
    if let Some(old_with_swap) = old_with_swap {
        let memory = limits.memory.unwrap_or(old);
        let swap = limits.swap.unwrap_or(old_with_swap.saturating_sub(old));
        let place = if memory > old { 0 } else { settings.len() };
        settings.insert(place, with_swap(memory, swap));
    }
    Ok(settings)
}

/// The limit of memory itself. Where swap is not accounted, a group that may
/// not swap at all (`memory.swappiness` 0) keeps the default of no swap.
fn memory_alone(limits: &Limits, old: Option<u64>, accounts_swap: bool) -> Result<Vec<Setting>> {
    let unsupported = |message: &str, hint: &str| {
        Err(Error::new(Stage::Cgroup, ErrorKind::Unsupported, message).with_hint(hint))
    };
    if limits.swap.is_some() {
        if !accounts_swap {
            return unsupported(
                &format!("limits.swap cannot be enforced: the kernel has no {WITH_SWAP}"),
                SWAP_HINT,
            );
        }
        if limits.memory.is_none() && old.is_none_or(|old| old >= UNLIMITED) {
            return unsupported(
                "limits.swap cannot be enforced alone: cgroup v1 limits memory and swap together",
                "give limits.memory too",
            );
        }
    }
    let Some(memory) = limits.memory else {
        return Ok(Vec::new());
    };
    let mut settings = vec![Setting::new("limits.memory", LIMIT, memory)];
    if !accounts_swap {
        settings.push(Setting::new("limits.memory", "memory.swappiness", 0).unless_no_swap());
    }
    Ok(settings)
}

fn with_swap(memory: u64, swap: u64) -> Setting {
    Setting::new("limits.swap", WITH_SWAP, memory.saturating_add(swap))
}

/// What is written alike into a new and into an old group.
fn other(controller: Controller, limits: &Limits, parent: &Path) -> Result<Vec<Setting>> {
    let mut settings = Vec::new();
    match controller {
        Controller::Pids => {
            settings.extend(limits.pids_setting());
        }
        Controller::Cpu => {
            // The period is the kernel's default in every new group.
            settings.extend(
                limits
                    .quota_us()?
                    .map(|quota| Setting::new("limits.cpus", "cpu.cfs_quota_us", quota)),
            );
            settings.extend(
                limits
                    .cpu_weight
                    .map(|n| Setting::new("limits.cpu_weight", "cpu.shares", weight::shares(n))),
            );
        }
        Controller::Cpuset => {
            if let Some(list) = &limits.cpuset {
                cpuset::check(list, parent, &["cpuset.cpus", "cpuset.effective_cpus"])?;
                settings.push(Setting::new("limits.cpuset", "cpuset.cpus", list));
            }
        }
        Controller::Blkio => {
            for limit in &limits.io {
                let device = limit.device;
                settings.extend(limit.rates().map(|(_, name, rate)| {
                    let value = format!("{}:{} {rate}", device.major, device.minor);
                    Setting::new(IO, name, value)
                }));
            }
            settings.extend(limits.io_weight.map(|n| {
                Setting::new("limits.io weight", "blkio.weight", weight::cfq(n))
                    .or("blkio.bfq.weight", weight::bfq(n))
                    .hint("load the disk scheduler that has weights: modprobe bfq")
            }));
        }
        Controller::Memory | Controller::Cpuacct | Controller::Freezer | Controller::Devices => {}
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::{LIMIT, Limits, Setting, UNLIMITED, WITH_SWAP, changed_memory, first_memory};
    use crate::error::ErrorKind;

    fn limits(memory: Option<u64>, swap: Option<u64>) -> Limits {
        Limits { memory, swap, ..Limits::default() }
    }

    fn memory(value: u64) -> Setting {
        Setting::new("limits.memory", LIMIT, value)
    }

    fn both(value: u64) -> Setting {
        Setting::new("limits.swap", WITH_SWAP, value)
    }

    #[test]
    fn a_new_group_takes_memory_then_the_sum() {
        assert_eq!(first_memory(&limits(Some(10), Some(5)), true).unwrap(), [memory(10), both(15)]);
        assert_eq!(first_memory(&limits(Some(10), None), true).unwrap(), [memory(10), both(10)]);
        assert_eq!(first_memory(&limits(None, None), true).unwrap(), []);
        let most = first_memory(&limits(Some(10), Some(u64::MAX)), true).unwrap();
        assert_eq!(most, [memory(10), both(u64::MAX)]);
    }

    #[test]
    fn without_swap_accounting_the_group_may_not_swap() {
        let settings = first_memory(&limits(Some(10), None), false).unwrap();
        let still = Setting::new("limits.memory", "memory.swappiness", 0).unless_no_swap();
        assert_eq!(settings, [memory(10), still]);
    }

    #[test]
    fn swap_that_cannot_be_limited_is_refused() {
        let error = first_memory(&limits(Some(10), Some(0)), false).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(
            error.to_string(),
            "cgroup: limits.swap cannot be enforced: the kernel has no memory.memsw.limit_in_bytes; \
             boot with swapaccount=1"
        );
        for alone in [
            first_memory(&limits(None, Some(5)), true),
            changed_memory(&limits(None, Some(5)), UNLIMITED, Some(UNLIMITED)),
        ] {
            assert_eq!(
                alone.unwrap_err().to_string(),
                "cgroup: limits.swap cannot be enforced alone: cgroup v1 limits memory and swap \
                 together; give limits.memory too"
            );
        }
    }

    #[test]
    fn the_sum_is_raised_first_and_lowered_last() {
        let change = |new: Limits| changed_memory(&new, 100, Some(120)).unwrap();
        assert_eq!(change(limits(Some(200), None)), [both(220), memory(200)]);
        assert_eq!(change(limits(Some(50), None)), [memory(50), both(70)]);
        assert_eq!(change(limits(Some(200), Some(0))), [both(200), memory(200)]);
        assert_eq!(change(limits(Some(50), Some(500))), [memory(50), both(550)]);
        assert_eq!(change(limits(None, Some(0))), [both(100)]);
    }
}
