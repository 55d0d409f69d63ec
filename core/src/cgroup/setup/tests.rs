//! The choice of groups on machines made of plain directories.

use super::Setup;
use crate::cgroup::limits::setting::Setting;
use crate::cgroup::{Controller, Hierarchies, Limits};
use crate::error::{Error, ErrorKind, Stage};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A tree of files that looks like cgroup mounts.
struct Machine {
    root: TempDir,
    mounts: String,
    own: String,
}

impl Machine {
    fn new() -> Machine {
        Machine {
            root: tempfile::tempdir().unwrap(),
            mounts: String::new(),
            own: String::new(),
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A mount of which the group `root` is visible.
    fn mount(mut self, name: &str, root: &str, kind: &str, options: &str) -> Machine {
        let dir = self.dir(name);
        fs::create_dir_all(&dir).unwrap();
        let line = format!(
            "1 0 0:1 {root} {} rw - {kind} none {options}\n",
            dir.display()
        );
        self.mounts.push_str(&line);
        self
    }

    /// A v2 group. Without `enabled` it lacks the file, so that it is closed
    /// to everyone, also to the root user who runs the tests.
    fn group(
        self,
        name: &str,
        kind: &str,
        offered: &str,
        enabled: Option<&str>,
        procs: &str,
    ) -> Machine {
        let dir = self.dir(name);
        fs::create_dir_all(&dir).unwrap();
        if !kind.is_empty() {
            fs::write(dir.join("cgroup.type"), kind).unwrap();
        }
        fs::write(dir.join("cgroup.controllers"), offered).unwrap();
        if let Some(enabled) = enabled {
            fs::write(dir.join("cgroup.subtree_control"), enabled).unwrap();
            fs::write(dir.join("cgroup.procs"), procs).unwrap();
        }
        self
    }

    fn own(mut self, line: &str) -> Machine {
        self.own.push_str(line);
        self.own.push('\n');
        self
    }

    fn choose(&self, limits: &Limits) -> Result<Setup, Error> {
        Setup::choose(&Hierarchies::of(&self.mounts, &self.own), "1f", limits)
    }
}

fn hybrid() -> Machine {
    Machine::new()
        .mount("memory", "/", "cgroup", "rw,memory")
        .mount("pids", "/", "cgroup", "rw,pids")
        .mount("cpu,cpuacct", "/", "cgroup", "rw,cpu,cpuacct")
        .mount("freezer", "/", "cgroup", "rw,freezer")
        .mount("unified", "/", "cgroup2", "rw")
        .group("unified", "", "hugetlb\n", Some("\n"), "1\n")
}

fn pids(limit: u64) -> Limits {
    Limits {
        pids: Some(limit),
        ..Limits::default()
    }
}

fn assert_refused(machine: &Machine, limits: &Limits, kind: ErrorKind, message: &str, hint: &str) {
    let error = machine.choose(limits).unwrap_err();
    assert_eq!((error.kind(), error.stage()), (kind, Stage::Cgroup));
    assert_eq!(error.message(), message);
    let found = error.hint().unwrap();
    assert!(found.contains(hint), "{found}");
}

#[test]
fn hybrid_has_one_v2_group_and_v1_limits() {
    let machine = hybrid();
    let setup = machine.choose(&pids(4096)).unwrap();
    assert_eq!(setup.groups.v2, Some(machine.dir("unified/libctr-1f")));
    let expected = [
        (Controller::Memory, machine.dir("memory/libctr-1f")),
        (Controller::Pids, machine.dir("pids/libctr-1f")),
    ];
    assert_eq!(setup.groups.v1, expected.into_iter().collect());
    assert_eq!(setup.enable, None);
    assert_eq!(
        setup.settings,
        [(
            machine.dir("pids/libctr-1f"),
            Setting::new("limits.pids", "pids.max", 4096)
        )]
    );
}

#[test]
fn cpu_group_exists_only_when_limited() {
    let machine = hybrid();
    let limits = Limits {
        cpu_weight: Some(200),
        ..Limits::default()
    };
    let setup = machine.choose(&limits).unwrap();
    assert_eq!(
        setup.groups.v1[&Controller::Cpu],
        machine.dir("cpu,cpuacct/libctr-1f")
    );
    assert_eq!(setup.settings.len(), 1);
}

#[test]
fn pure_v1_needs_freezer_and_cpuacct() {
    let mut machine = hybrid();
    machine.mounts = machine
        .mounts
        .lines()
        .filter(|line| !line.contains("cgroup2"))
        .fold(String::new(), |text, line| text + line + "\n");
    let setup = machine.choose(&Limits::default()).unwrap();
    assert_eq!(setup.groups.v2, None);
    let found: Vec<Controller> = setup.groups.v1.into_keys().collect();
    use Controller::{Cpuacct, Freezer, Memory, Pids};
    assert_eq!(found, [Memory, Pids, Cpuacct, Freezer]);
}

#[test]
fn pure_v2_root_enables_what_is_missing() {
    let machine = Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group(
            "v2",
            "",
            "cpuset cpu io memory pids\n",
            Some("memory\n"),
            "1\n2\n",
        )
        .own("0::/user.slice");
    let limits = Limits {
        cpus: Some(1.0),
        memory: Some(1 << 20),
        ..pids(9)
    };
    let setup = machine.choose(&limits).unwrap();
    assert_eq!(setup.groups.v2, Some(machine.dir("v2/libctr-1f")));
    assert!(setup.groups.v1.is_empty());
    assert_eq!(
        setup.enable,
        Some((machine.dir("v2"), vec![Controller::Pids, Controller::Cpu]))
    );
    let group = machine.dir("v2/libctr-1f");
    let expected = [
        Setting::new("limits.memory", "memory.max", 1 << 20),
        Setting::new("limits.memory", "memory.swap.max", 0).unless_no_swap(),
        Setting::new("limits.pids", "pids.max", 9),
        Setting::new("limits.cpus", "cpu.max", "100000 100000"),
    ];
    assert_eq!(
        setup.settings,
        expected.map(|setting| (group.clone(), setting))
    );
}

/// As under a systemd user manager: the process sits in a leaf.
fn rootless() -> Machine {
    Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "", "cpu io memory pids", None, "")
        .group("v2/user.slice", "domain\n", "cpu io memory pids", None, "")
        .group(
            "v2/user.slice/me",
            "domain\n",
            "memory pids",
            Some("memory"),
            "",
        )
        .group(
            "v2/user.slice/me/run.scope",
            "domain\n",
            "memory",
            Some(""),
            "77\n",
        )
        .own("0::/user.slice/me/run.scope")
}

#[test]
fn rootless_uses_the_nearest_ancestor_it_may_write() {
    let machine = rootless();
    let setup = machine
        .choose(&Limits {
            pids_explicit: true,
            ..pids(5)
        })
        .unwrap();
    assert_eq!(
        setup.groups.v2,
        Some(machine.dir("v2/user.slice/me/libctr-1f"))
    );
    assert_eq!(
        setup.enable,
        Some((machine.dir("v2/user.slice/me"), vec![Controller::Pids]))
    );
}

#[test]
fn rootless_without_the_controller_names_the_delegation() {
    let machine = rootless();
    assert_refused(
        &machine,
        &Limits {
            cpus: Some(1.0),
            ..Limits::default()
        },
        ErrorKind::Unsupported,
        &format!(
            "limits.cpus cannot be enforced: {:?} was not given the controller cpu",
            machine.dir("v2/user.slice/me")
        ),
        "Delegate=cpu cpuset io memory pids",
    );
}

#[test]
fn a_container_root_that_holds_processes_hands_nothing_down() {
    let machine = Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "domain\n", "memory pids", Some(""), "1\n")
        .own("0::/");
    // the default limit is dropped, kill and freeze stay
    let setup = machine.choose(&pids(4096)).unwrap();
    assert_eq!(setup.groups.v2, Some(machine.dir("v2/libctr-1f")));
    assert!(setup.settings.is_empty() && setup.enable.is_none());
    let dir = machine.dir("v2");
    assert_refused(
        &machine,
        &Limits {
            pids_explicit: true,
            ..pids(5)
        },
        ErrorKind::Unsupported,
        &format!(
            "limits.pids cannot be enforced: {dir:?} holds processes and so cannot hand down pids"
        ),
        &format!(
            "mkdir {0}/init && xargs -rn1 < {0}/cgroup.procs > {0}/init/cgroup.procs",
            dir.display()
        ),
    );
}

#[test]
fn a_threaded_group_is_no_place() {
    let machine = Machine::new().mount("v2", "/", "cgroup2", "rw").group(
        "v2",
        "threaded\n",
        "cpu",
        Some(""),
        "",
    );
    assert_eq!(machine.choose(&Limits::default()).unwrap().groups.v2, None);
}

#[test]
fn a_closed_hierarchy_is_an_error_only_for_asked_limits() {
    let machine = Machine::new()
        .mount("v2", "/", "cgroup2", "rw")
        .group("v2", "", "memory pids", None, "")
        .own("0::/session.scope");
    assert!(machine.choose(&pids(4096)).unwrap().groups.is_none());
    assert_refused(
        &machine,
        &Limits {
            memory: Some(1),
            ..Limits::default()
        },
        ErrorKind::Denied,
        &format!(
            "limits.memory cannot be enforced: access({:?}, W_OK)",
            machine.dir("v2")
        ),
        "systemd-run --user --scope -p Delegate=yes",
    );
}

#[test]
fn the_real_root_without_a_controller_names_the_boot_option() {
    let machine = Machine::new().mount("v2", "/", "cgroup2", "rw").group(
        "v2",
        "",
        "cpu pids",
        Some(""),
        "1\n",
    );
    assert_refused(
        &machine,
        &Limits {
            memory: Some(1),
            ..Limits::default()
        },
        ErrorKind::Unsupported,
        &format!(
            "limits.memory cannot be enforced: the kernel has no controller memory in {:?}",
            machine.dir("v2")
        ),
        "cgroup_enable=memory",
    );
}

#[test]
fn unmounted_controllers_name_the_mount() {
    let limits = Limits {
        memory: Some(1),
        ..Limits::default()
    };
    let message =
        "limits.memory cannot be enforced: no mounted cgroup hierarchy has the controller memory";
    let none = Machine::new();
    assert!(none.choose(&pids(1)).unwrap().groups.is_none());
    assert_refused(
        &none,
        &limits,
        ErrorKind::Unsupported,
        message,
        "mount -t cgroup2 none",
    );

    let mut machine = hybrid();
    machine.mounts = machine.mounts.replace("rw,memory", "rw,devices");
    assert_refused(
        &machine,
        &limits,
        ErrorKind::Unsupported,
        message,
        "mount -t cgroup -o memory",
    );
}

#[test]
fn docker_on_v1_stays_in_its_part() {
    let machine = Machine::new()
        .mount("memory", "/docker/4f", "cgroup", "rw,memory")
        .own("4:memory:/docker/4f");
    let setup = machine.choose(&Limits::default()).unwrap();
    assert_eq!(
        setup.groups.v1[&Controller::Memory],
        machine.dir("memory/libctr-1f")
    );
}

#[test]
fn v1_cpuset_is_checked_and_initialised() {
    let machine = Machine::new().mount("cpuset", "/", "cgroup", "rw,cpuset");
    fs::write(machine.dir("cpuset/cpuset.cpus"), "0-3\n").unwrap();
    fs::write(machine.dir("cpuset/cpuset.mems"), "0-1\n").unwrap();
    let with = |list: &str| Limits {
        cpuset: Some(list.into()),
        ..Limits::default()
    };
    let settings: Vec<Setting> = machine
        .choose(&with("1,3"))
        .unwrap()
        .settings
        .into_iter()
        .map(|(_, s)| s)
        .collect();
    assert_eq!(
        settings,
        [
            Setting::new("limits.cpuset", "cpuset.mems", "0-1"),
            Setting::new("limits.cpuset", "cpuset.cpus", "1,3"),
        ]
    );
    assert_eq!(
        machine.choose(&with("4")).unwrap_err().kind(),
        ErrorKind::InvalidInput
    );
}

#[test]
fn a_failed_start_leaves_nothing() {
    // plain directories do not grow control files, so the limit fails after
    // all groups are made
    let machine = hybrid();
    let setup = machine.choose(&pids(4096)).unwrap();
    let error = setup.create().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(
        error.message(),
        format!(
            "limits.pids cannot be enforced: no pids.max in {:?}",
            machine.dir("pids/libctr-1f")
        )
    );
    assert!(setup.groups.dirs().iter().all(|dir| !dir.exists()));
}

#[test]
fn a_group_of_the_same_id_is_left_alone() {
    let machine = hybrid();
    fs::create_dir(machine.dir("pids/libctr-1f")).unwrap();
    let setup = machine.choose(&Limits::default()).unwrap();
    let error = setup.create().unwrap_err();
    assert_eq!(
        (error.kind(), error.errno()),
        (ErrorKind::AlreadyExists, Some(libc::EEXIST))
    );
    assert_eq!(
        error.message(),
        format!("mkdir({:?})", machine.dir("pids/libctr-1f"))
    );
    let left: Vec<bool> = setup.groups.dirs().iter().map(|dir| dir.exists()).collect();
    assert_eq!(left, [false, false, true]);
}

#[test]
fn ids_stay_in_their_place() {
    for id in ["", "..", "a/b", "a b", "ü", &"x".repeat(129)] {
        let error = Setup::choose(&Hierarchies::default(), id, &Limits::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.message(), format!("{id:?} cannot name a cgroup"));
    }
}
