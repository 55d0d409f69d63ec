//! Control groups: where a container's would be, made for a try, limited and
//! removed again; one try for each controller.

use std::fs;
use std::path::Path;

use super::Finding;
use super::machine::Machine;
use super::places::detail;
use crate::cgroup::{Controller, Device, DeviceFilter, Hierarchies, IoLimit, Limits, Trial};
use crate::error::Result;

/// The groups of a container without limits of its own, and a finding for each
/// controller.
#[derive(Debug)]
pub(super) struct Groups {
    plain: Result<Trial>,
    kills: Option<bool>,
    controllers: Vec<Finding>,
}

impl Groups {
    pub(super) fn make(id: &str) -> Groups {
        let machine = Hierarchies::discover();
        let trial = |limits: &Limits| {
            let machine = machine.as_ref().map_err(|error| {
                crate::Error::new(error.stage(), error.kind(), error.message())
            })?;
            Trial::make(machine, id, limits)
        };
        let controllers = controllers().map(|(name, key, controller, limits)| {
            let without = format!("{key} is refused");
            match trial(&limits) {
                Err(error) => Finding::missing(name, detail(&error), &without)
                    .with_fix(error.hint().map(ToOwned::to_owned)),
                Ok(trial) => Finding::ok(name, place(&trial, controller)),
            }
        });
        let mut controllers = Vec::from(controllers);
        controllers.push(devices(&trial));
        let plain = trial(&Limits::default());
        let kills = plain.as_ref().ok().and_then(|trial| trial.kill_at_once().ok());
        Groups { plain, kills, controllers }
    }

    /// The v2 group, into which a process can be born.
    pub(super) fn v2(&self) -> Option<&Path> {
        self.plain.as_ref().ok()?.v2()
    }

    pub(super) fn findings(&self, machine: &Machine) -> Vec<Finding> {
        let mut findings = self.controllers.clone();
        // What is read-only in a container is not for those inside to change.
        for finding in findings.iter_mut().filter(|found| found.detail.contains("EROFS")) {
            finding.fix = machine.writable_groups().or(finding.fix.take());
        }
        findings.push(self.kill());
        findings
    }

    fn kill(&self) -> Finding {
        let name = "cgroup.kill";
        match (&self.plain, self.kills) {
            (_, Some(true)) => Finding::ok(name, "one write ends all processes of a group"),
            (Ok(trial), _) if !trial.is_none() => {
                let detail = "no v2 group with cgroup.kill (Linux 5.14)";
                let consequence = "a container's group is frozen and its processes are ended one \
                                   by one";
                Finding::degraded(name, detail, consequence)
            }
            _ => {
                let detail = "no control group can be made";
                let consequence = "the pid namespace ends what is left of a container";
                Finding::degraded(name, detail, consequence)
            }
        }
    }
}

/// Name, key of the document, controller, and a limit that anybody can bear.
fn controllers() -> [(&'static str, &'static str, Controller, Limits); 5] {
    let none = Limits::default;
    [
        (
            "cgroup.memory",
            "limits.memory",
            Controller::Memory,
            Limits { memory: Some(64 << 20), ..none() },
        ),
        (
            "cgroup.pids",
            "limits.pids",
            Controller::Pids,
            Limits { pids: Some(64), pids_explicit: true, ..none() },
        ),
        ("cgroup.cpu", "limits.cpus", Controller::Cpu, Limits { cpus: Some(1.0), ..none() }),
        (
            "cgroup.cpuset",
            "limits.cpuset",
            Controller::Cpuset,
            Limits { cpuset: Some(first_processor()), ..none() },
        ),
        ("cgroup.io", "limits.io", Controller::Blkio, io()),
    ]
}

fn place(trial: &Trial, controller: Controller) -> String {
    match trial.place(controller) {
        Some(dir) if trial.v2().and_then(Path::parent) == Some(&dir) => {
            format!("limits can be set, v2, in {}", dir.display())
        }
        Some(dir) => format!("limits can be set, v1, in {}", dir.display()),
        None => "limits can be set".to_owned(),
    }
}

/// One on which this process may run (proc(5), Cpus_allowed_list).
fn first_processor() -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let digits = list.unwrap_or("0").trim().chars().take_while(char::is_ascii_digit);
    digits.collect()
}

/// A rate on the first disk, or a weight where there is none.
fn io() -> Limits {
    let disk = || {
        let mut disks: Vec<_> = fs::read_dir("/sys/block").ok()?.flatten().collect();
        disks.sort_by_key(fs::DirEntry::file_name);
        disks.iter().find_map(|disk| {
            let name = disk.file_name();
            let name = name.to_str()?;
            if ["loop", "ram", "zram"].iter().any(|start| name.starts_with(start)) {
                return None;
            }
            let text = fs::read_to_string(disk.path().join("dev")).ok()?;
            let (major, minor) = text.trim().split_once(':')?;
            Some(Device { major: major.parse().ok()?, minor: minor.parse().ok()? })
        })
    };
    match disk() {
        None => Limits { io_weight: Some(100), ..Limits::default() },
        Some(device) => {
            let read_bps = Some(1 << 40);
            let rate =
                IoLimit { device, read_bps, write_bps: None, read_iops: None, write_iops: None };
            Limits { io: vec![rate], ..Limits::default() }
        }
    }
}

fn devices(trial: &impl Fn(&Limits) -> Result<Trial>) -> Finding {
    let name = "devices.filter";
    let asked = Some("the filter of devices".to_owned());
    let filter = DeviceFilter { asked, ..DeviceFilter::default() };
    let consequence = "containers go without CAP_MKNOD, and a device cannot be given for reading \
                       only";
    match trial(&Limits { devices: Some(filter), ..Limits::default() }) {
        Ok(trial) if trial.filters_devices() => {
            Finding::ok(name, "the control group says which devices can be opened")
        }
        Ok(_) => Finding::degraded(name, "no control group to filter in", consequence),
        Err(error) => Finding::degraded(name, detail(&error), consequence)
            .with_fix((!crate::userns::is_host_root()).then(|| "run it as root".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::{Groups, Machine};

    #[test]
    fn groups_of_the_probe_are_gone_when_it_is() {
        let id = format!("probe-test-{}", std::process::id());
        let groups = Groups::make(&id);
        let dir = groups.v2().map(std::path::Path::to_owned);
        assert!(dir.as_ref().is_none_or(|dir| dir.exists()));
        let names: Vec<_> = groups.findings(&Machine::look()).iter().map(|found| found.ability).collect();
        let expected = [
            "cgroup.memory",
            "cgroup.pids",
            "cgroup.cpu",
            "cgroup.cpuset",
            "cgroup.io",
            "devices.filter",
            "cgroup.kill",
        ];
        assert_eq!(names, expected);
        drop(groups);
        assert!(dir.is_none_or(|dir| !dir.exists()));
    }
}
