//! The choice of groups on machines made of plain directories.

use super::Setup;
use crate::cgroup::limits::setting::Setting;
use crate::cgroup::{Controller, Hierarchies, Limits};
use crate::error::ErrorKind;
use machine::{Machine, hybrid, pids, rootless};
use std::fs;

mod devices;
mod machine;
mod refusals;
mod scopes;

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
            Setting::new("limits.pids", "pids.max", 4096).best_effort()
        )]
    );
}

#[test]
fn cpu_group_exists_only_when_limited() {
    let machine = hybrid();
    let limits = Limits { cpu_weight: Some(200), ..Limits::default() };
    let setup = machine.choose(&limits).unwrap();
    assert_eq!(setup.groups.v1[&Controller::Cpu], machine.dir("cpu,cpuacct/libctr-1f"));
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
        .group("v2", "", "cpuset cpu io memory pids\n", Some("memory\n"), "1\n2\n")
        .own("0::/user.slice");
    let limits = Limits { cpus: Some(1.0), memory: Some(1 << 20), ..pids(9) };
    let setup = machine.choose(&limits).unwrap();
    assert_eq!(setup.groups.v2, Some(machine.dir("v2/libctr-1f")));
    assert!(setup.groups.v1.is_empty());
    assert_eq!(
        setup.enable,
        Some((
            machine.dir("v2"),
            vec![(Controller::Pids, None), (Controller::Cpu, Some("limits.cpus"))]
        ))
    );
    let group = machine.dir("v2/libctr-1f");
    let expected = [
        Setting::new("limits.memory", "memory.max", 1 << 20),
        Setting::new("limits.memory", "memory.swap.max", 0).unless_no_swap(),
        Setting::new("limits.pids", "pids.max", 9).best_effort(),
        Setting::new("limits.cpus", "cpu.max", "100000 100000"),
    ];
    assert_eq!(setup.settings, expected.map(|setting| (group.clone(), setting)));
}

#[test]
fn rootless_uses_the_nearest_ancestor_it_may_write() {
    let machine = rootless();
    let setup = machine.choose(&Limits { pids_explicit: true, ..pids(5) }).unwrap();
    assert_eq!(setup.groups.v2, Some(machine.dir("v2/user.slice/me/libctr-1f")));
    assert_eq!(
        setup.enable,
        Some((machine.dir("v2/user.slice/me"), vec![(Controller::Pids, Some("limits.pids"))]))
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
fn docker_on_v1_stays_in_its_part() {
    let machine = Machine::new()
        .mount("memory", "/docker/4f", "cgroup", "rw,memory")
        .own("4:memory:/docker/4f");
    let setup = machine.choose(&Limits::default()).unwrap();
    assert_eq!(setup.groups.v1[&Controller::Memory], machine.dir("memory/libctr-1f"));
}

#[test]
fn v1_cpuset_is_checked_and_initialised() {
    let machine = Machine::new().mount("cpuset", "/", "cgroup", "rw,cpuset");
    fs::write(machine.dir("cpuset/cpuset.cpus"), "0-3\n").unwrap();
    fs::write(machine.dir("cpuset/cpuset.mems"), "0-1\n").unwrap();
    let with = |list: &str| Limits { cpuset: Some(list.into()), ..Limits::default() };
    let settings: Vec<Setting> =
        machine.choose(&with("1,3")).unwrap().settings.into_iter().map(|(_, s)| s).collect();
    assert_eq!(
        settings,
        [
            Setting::new("limits.cpuset", "cpuset.mems", "0-1"),
            Setting::new("limits.cpuset", "cpuset.cpus", "1,3"),
        ]
    );
    assert_eq!(machine.choose(&with("4")).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn a_failed_start_leaves_nothing() {
    // plain directories do not grow control files, so the limit fails after
    // all groups are made
    let machine = hybrid();
    let setup = machine.choose(&Limits { pids_explicit: true, ..pids(5) }).unwrap();
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
    assert_eq!((error.kind(), error.errno()), (ErrorKind::AlreadyExists, Some(libc::EEXIST)));
    assert_eq!(error.message(), format!("mkdir({:?})", machine.dir("pids/libctr-1f")));
    let left: Vec<bool> = setup.groups.dirs().iter().map(|dir| dir.exists()).collect();
    assert_eq!(left, [false, false, true]);
}

#[test]
fn ids_stay_in_their_place() {
    for id in ["", "..", "a/b", "a b", "ü", &"x".repeat(129)] {
        let error =
            Setup::choose(&Hierarchies::default(), id, &Limits::default(), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert_eq!(error.message(), format!("{id:?} cannot name a cgroup"));
    }
}
