//! The controllers that libctr uses, and their names.
//!
//! Host side. Source: cgroups(7).

use serde::{Deserialize, Serialize};

/// A cgroup controller that libctr uses, by its v1 name. On v2 `blkio` is
/// called `io`, `cpuacct` and `freezer` are part of every group, and programs on
/// it do what `devices` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Controller {
    /// Memory and swap: limits, peak, out-of-memory kills.
    Memory,
    /// Number of processes and threads.
    Pids,
    /// Share and quota of processor time.
    Cpu,
    /// Processor time used (v1 only).
    Cpuacct,
    /// Which processors may be used.
    Cpuset,
    /// Block devices: rates, weight, bytes read and written.
    Blkio,
    /// Stopping and continuing all processes (v1 only).
    Freezer,
    /// Which devices may be used (v1 only; v2 has programs for that).
    Devices,
}

impl Controller {
    pub(in crate::cgroup) const ALL: [Controller; 8] = [
        Controller::Memory,
        Controller::Pids,
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Cpuset,
        Controller::Blkio,
        Controller::Freezer,
        Controller::Devices,
    ];

    pub(in crate::cgroup) fn v1_name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Pids => "pids",
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Cpuset => "cpuset",
            Controller::Blkio => "blkio",
            Controller::Freezer => "freezer",
            Controller::Devices => "devices",
        }
    }

    pub(in crate::cgroup) fn v2_name(self) -> &'static str {
        match self {
            Controller::Blkio => "io",
            other => other.v1_name(),
        }
    }
}
