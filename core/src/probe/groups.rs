//! Control groups: where a container's would be, made for a try, limited and
//! removed again; one try for each controller.

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::geteuid;

use super::Finding;
use super::machine::Machine;
use super::places::detail;
use crate::cgroup::{
    Controller, Device, DeviceFilter, Hierarchies, IoLimit, Limits, Manager, Systemd, Trial,
};
use crate::error::{Error, ErrorKind, Result, Stage};

/// The groups of a container without limits of its own, and a finding for each
/// controller.
#[derive(Debug)]
pub(super) struct Groups {
    plain: Result<Trial>,
    kills: Option<bool>,
    controllers: Vec<Finding>,
    delegation: Finding,
}

impl Groups {
    pub(super) fn make(id: &str) -> Groups {
        let machine = Hierarchies::discover();
        // Asked once, because one that is silent is so for five seconds.
        let asks = !geteuid().is_root() && machine.as_ref().is_ok_and(|found| !found.has_v1());
        let manager = asks.then(|| Manager::find(None));
        let again = || match &manager {
            Some(Ok(manager)) => Ok(manager.clone()),
            Some(Err(error)) => Err(same(error)),
            None => Err(Error::new(Stage::Cgroup, ErrorKind::NotFound, "systemd was not asked")),
        };
        let systemd: Systemd<'_> = if asks { Some(&again) } else { None };
        let trial =
            |limits: &Limits| Trial::make(machine.as_ref().map_err(same)?, id, limits, systemd);
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
        let delegation = delegation(&plain, manager.as_ref());
        Groups { plain, kills, controllers, delegation }
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
        findings.push(self.delegation.clone());
        findings
    }

    fn kill(&self) -> Finding {
        let name = "cgroup.kill";
        match (&self.plain, self.kills) {
            (_, Some(true)) => Finding::ok(name, "one write ends all processes of a group"),
            (Ok(trial), _) if trial.is_in_scope() => {
                Finding::ok(name, "in a scope of systemd's, which has v2")
            }
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

/// An error once more.
fn same(error: &Error) -> Error {
    let again = Error::new(error.stage(), error.kind(), error.message());
    let again = match error.errno() {
        Some(errno) => again.with_errno(Errno::from_raw(errno)),
        None => again,
    };
    match error.hint() {
        Some(hint) => again.with_hint(hint),
        None => again,
    }
}

/// Where an ordinary user's groups come from.
fn delegation(plain: &Result<Trial>, manager: Option<&Result<Manager>>) -> Finding {
    let name = "systemd.delegation";
    let without = "an ordinary user can set no limits, unless somebody gives him a group";
    let place = plain.as_ref().ok().and_then(Trial::v2).and_then(Path::parent);
    match (plain, place, manager) {
        _ if geteuid().is_root() => Finding::ok(name, "not needed: root makes its groups itself"),
        (Ok(trial), _, _) if trial.is_in_scope() => {
            Finding::ok(name, "systemd's user manager makes a scope for each container")
        }
        (_, Some(dir), _) => Finding::ok(name, format!("not needed: {} is given", dir.display())),
        (_, None, None) => {
            let detail = "systemd gives users no groups of cgroup v1 hierarchies";
            let fix = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line";
            Finding::degraded(name, detail, without).with_fix(Some(fix.to_owned()))
        }
        (_, None, Some(Err(error))) => {
            Finding::degraded(name, detail(error), without).with_fix(linger())
        }
        (Err(error), None, Some(Ok(_))) => Finding::degraded(name, detail(error), without)
            .with_fix(error.hint().map(ToOwned::to_owned)),
        (Ok(_), None, Some(Ok(_))) => {
            Finding::degraded(name, "systemd's user manager has no group for it", without)
        }
    }
}

/// A user manager that runs also where nobody has logged in (loginctl(1)).
fn linger() -> Option<String> {
    let user = nix::unistd::User::from_uid(geteuid()).ok().flatten()?;
    let booted = Path::new("/run/systemd/system").is_dir();
    booted.then(|| format!("as root: loginctl enable-linger {}", user.name))
}

fn place(trial: &Trial, controller: Controller) -> String {
    match trial.place(controller) {
        _ if trial.is_in_scope() => "limits can be set, v2, in a scope of systemd's".to_owned(),
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
        let names: Vec<_> =
            groups.findings(&Machine::look()).iter().map(|found| found.ability).collect();
        let expected = [
            "cgroup.memory",
            "cgroup.pids",
            "cgroup.cpu",
            "cgroup.cpuset",
            "cgroup.io",
            "devices.filter",
            "cgroup.kill",
            "systemd.delegation",
        ];
        assert_eq!(names, expected);
        drop(groups);
        assert!(dir.is_none_or(|dir| !dir.exists()));
    }
}
