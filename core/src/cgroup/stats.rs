//! What the kernel has counted for a container.
//!
//! Host side. Sources: cgroup-v2.rst (interface files), cgroup-v1/memory.rst,
//! cpuacct.rst, blkio-controller.rst. A figure that this kernel does not
//! measure, or for which the container has no group, is absent, never 0.

use std::path::Path;

use serde::Serialize;

use super::file::{keyed, read_if_there};
use super::{Controller, Groups, v1};
use crate::error::Result;

/// Counters and limits of a container at one moment. Every figure is absent
/// where it was not measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Processor time.
    pub cpu: CpuStats,
    /// Memory and swap.
    pub memory: MemoryStats,
    /// Processes and threads.
    pub pids: PidsStats,
    /// Block devices.
    pub io: IoStats,
}

/// Processor time used, and how often the quota stopped the container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CpuStats {
    /// All processor time, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_ns: Option<u64>,
    /// Part of it in user mode. Absent on pure v1, whose split is sampled at
    /// timer ticks and wrong by up to a third.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ns: Option<u64>,
    /// Part of it in the kernel. Absent on pure v1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_ns: Option<u64>,
    /// Periods of 100 ms in which the container wanted to run, with a quota.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub periods: Option<u64>,
    /// Those of them in which the quota ran out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_periods: Option<u64>,
    /// How long its threads were held back, in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled_ns: Option<u64>,
}

/// Memory and swap, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct MemoryStats {
    /// In use now, page cache included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// The most that was in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// The limit; absent also when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Swap in use now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub swap: Option<u64>,
    /// Processes that the kernel killed for lack of memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
}

/// Processes and threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PidsStats {
    /// Now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// At most until now (Linux 6.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// The limit; absent also when there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How often the limit refused a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
}

/// Bytes and operations on block devices, over all devices. Absent on v1
/// unless I/O is limited, on v2 where the controller is not enabled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct IoStats {
    /// Bytes read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_bytes: Option<u64>,
    /// Bytes written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written_bytes: Option<u64>,
    /// Read operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reads: Option<u64>,
    /// Write operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<u64>,
}

/// All figures, each from the hierarchy that has the controller.
pub(super) fn read(groups: &Groups) -> Result<Stats> {
    let mut stats = Stats::default();
    if let Some(dir) = &groups.v2 {
        stats.cpu = cpu(dir)?;
        stats.memory = memory(dir)?;
        stats.pids = pids(dir)?;
        stats.io = read_if_there(dir, "io.stat")?.map_or_else(IoStats::default, |text| io(&text));
    }
    for (controller, dir) in &groups.v1 {
        match controller {
            Controller::Memory => stats.memory = memory_v1(dir)?,
            Controller::Pids => stats.pids = pids(dir)?,
            Controller::Cpu => throttling_v1(dir, &mut stats.cpu)?,
            Controller::Cpuacct => stats.cpu.usage_ns = value(dir, "cpuacct.usage")?,
            Controller::Blkio => stats.io = io_v1(dir)?,
            Controller::Cpuset | Controller::Freezer | Controller::Devices => {}
        }
    }
    Ok(stats)
}

/// A file with one number, or `max` for none.
fn value(dir: &Path, name: &str) -> Result<Option<u64>> {
    Ok(read_if_there(dir, name)?.and_then(|text| text.trim().parse().ok()))
}

/// One field of a file of `key value` lines.
fn field(dir: &Path, name: &str, key: &str) -> Result<Option<u64>> {
    Ok(read_if_there(dir, name)?.and_then(|text| keyed(&text, key)))
}

fn cpu(dir: &Path) -> Result<CpuStats> {
    let text = read_if_there(dir, "cpu.stat")?.unwrap_or_default();
    let ns = |key| keyed(&text, key).map(|us| us.saturating_mul(1000));
    Ok(CpuStats {
        usage_ns: ns("usage_usec"),
        user_ns: ns("user_usec"),
        system_ns: ns("system_usec"),
        periods: keyed(&text, "nr_periods"),
        throttled_periods: keyed(&text, "nr_throttled"),
        throttled_ns: ns("throttled_usec"),
    })
}

fn throttling_v1(dir: &Path, cpu: &mut CpuStats) -> Result<()> {
    let text = read_if_there(dir, "cpu.stat")?.unwrap_or_default();
    cpu.periods = keyed(&text, "nr_periods");
    cpu.throttled_periods = keyed(&text, "nr_throttled");
    // v1 says throttled_time, in nanoseconds
    cpu.throttled_ns = keyed(&text, "throttled_time");
    Ok(())
}

fn memory(dir: &Path) -> Result<MemoryStats> {
    Ok(MemoryStats {
        current: value(dir, "memory.current")?,
        peak: value(dir, "memory.peak")?,
        limit: value(dir, "memory.max")?,
        swap: value(dir, "memory.swap.current")?,
        oom_kills: field(dir, "memory.events", "oom_kill")?,
    })
}

fn memory_v1(dir: &Path) -> Result<MemoryStats> {
    let current = value(dir, "memory.usage_in_bytes")?;
    let with_swap = value(dir, "memory.memsw.usage_in_bytes")?;
    Ok(MemoryStats {
        current,
        peak: value(dir, "memory.max_usage_in_bytes")?,
        limit: value(dir, "memory.limit_in_bytes")?.filter(|&limit| limit < v1::UNLIMITED),
        swap: with_swap.zip(current).map(|(both, memory)| both.saturating_sub(memory)),
        oom_kills: field(dir, "memory.oom_control", "oom_kill")?,
    })
}

/// Alike on v1 and v2.
fn pids(dir: &Path) -> Result<PidsStats> {
    Ok(PidsStats {
        current: value(dir, "pids.current")?,
        peak: value(dir, "pids.peak")?,
        limit: value(dir, "pids.max")?,
        refused: field(dir, "pids.events", "max")?,
    })
}

/// `io.stat`: a line per device, `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`. An
/// empty file means that nothing was read or written.
fn io(text: &str) -> IoStats {
    let sum = |key: &str| {
        let values = text.split_whitespace().filter_map(|word| {
            let (name, value) = word.split_once('=')?;
            (name == key).then(|| value.parse::<u64>().ok())?
        });
        Some(values.fold(0, u64::saturating_add))
    };
    IoStats {
        read_bytes: sum("rbytes"),
        written_bytes: sum("wbytes"),
        reads: sum("rios"),
        writes: sum("wios"),
    }
}

fn io_v1(dir: &Path) -> Result<IoStats> {
    let bytes = read_if_there(dir, "blkio.throttle.io_service_bytes_recursive")?;
    let count = read_if_there(dir, "blkio.throttle.io_serviced_recursive")?;
    let sum = |text: &Option<String>, kind| text.as_deref().map(|text| sum_v1(text, kind));
    Ok(IoStats {
        read_bytes: sum(&bytes, "Read"),
        written_bytes: sum(&bytes, "Write"),
        reads: sum(&count, "Read"),
        writes: sum(&count, "Write"),
    })
}

/// Lines `8:0 Read 4096`, and at the end a `Total 4096` over all.
fn sum_v1(text: &str, kind: &str) -> u64 {
    let value = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next() == Some(kind)).then(|| words.next()?.parse::<u64>().ok())?
    };
    text.lines().filter_map(value).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::{CpuStats, Groups, IoStats, Stats, io, sum_v1};
    use std::fs;

    #[test]
    fn io_is_summed_over_devices() {
        let text = "8:16 rbytes=10 wbytes=1 rios=2 wios=1 dbytes=9 dios=9\n\
                    8:0 rbytes=5 wbytes=x rios=1 wios=18446744073709551615\n7:0 \n";
        let expected = IoStats {
            read_bytes: Some(15),
            written_bytes: Some(1),
            reads: Some(3),
            writes: Some(u64::MAX),
        };
        assert_eq!(io(text), expected);
        assert_eq!(io("").read_bytes, Some(0));
    }

    #[test]
    fn v1_io_leaves_out_totals() {
        let text = "8:0 Read 4096\n8:0 Write 10\n8:0 Total 4106\n8:16 Read 4\nTotal 4110\nRead\n";
        assert_eq!((sum_v1(text, "Read"), sum_v1(text, "Write")), (4100, 10));
        assert_eq!(sum_v1("Total 0\n", "Read"), 0);
    }

    #[test]
    fn figures_that_are_not_measured_are_absent() {
        let dir = tempfile::tempdir().unwrap();
        let groups = Groups { v2: Some(dir.path().to_owned()), ..Groups::default() };
        assert_eq!(super::read(&groups).unwrap(), Stats::default());
        assert_eq!(
            serde_json::to_string(&Stats::default()).unwrap(),
            r#"{"cpu":{},"memory":{},"pids":{},"io":{}}"#
        );
        assert_eq!(super::read(&Groups::default()).unwrap(), Stats::default());

        fs::write(dir.path().join("cpu.stat"), "usage_usec 3\nuser_usec 2\nsystem_usec 1\n")
            .unwrap();
        fs::write(dir.path().join("memory.max"), "max\n").unwrap();
        fs::write(dir.path().join("pids.events"), "max 7\n").unwrap();
        let stats = super::read(&groups).unwrap();
        let cpu = CpuStats {
            usage_ns: Some(3000),
            user_ns: Some(2000),
            system_ns: Some(1000),
            ..CpuStats::default()
        };
        assert_eq!((stats.cpu, stats.memory.limit, stats.pids.refused), (cpu, None, Some(7)));
    }
}
