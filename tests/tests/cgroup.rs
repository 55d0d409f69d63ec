//! Step `set cgroup`: limits hold before the first instruction; freezing,
//! changing, measuring; refusals are in `errors.rs`.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use libctr::cgroup::Controller;
use libctr::spec::{Limits, RunSpec};
use libctr::{Container, ErrorKind, Stage, Status};
use libctr_tests::{Fixture, PATIENCE, fixture, until};

/// The group that has a controller.
fn group(container: &Container, controller: Controller) -> (bool, PathBuf) {
    let groups = container.info().expect("info").groups;
    match groups.v1.get(&controller) {
        Some(dir) => (false, dir.clone()),
        None => (true, groups.v2.expect("a group")),
    }
}

/// A control file of a container that runs.
fn control(container: &Container, controller: Controller, v2: &str, v1: &str) -> String {
    let (unified, dir) = group(container, controller);
    let path = dir.join(if unified { v2 } else { v1 });
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}")).trim_end().into()
}

/// A container that has run its first instruction and waits for a line.
fn waiting(fixture: &Fixture, change: impl FnOnce(&mut Limits)) -> Container {
    let mut spec = fixture.probe(&["say", "ready", ",", "line"]);
    change(&mut spec.limits);
    let container = fixture.start(&spec);
    let mut out = File::from(container.take_stream(1).expect("pipe"));
    out.read_exact(&mut [0; 6]).expect("ready");
    container
}

fn end(container: &Container) {
    drop(container.take_stream(0));
    assert!(container.wait(Some(PATIENCE)).expect("wait").expect("end").success());
}

/// Whether the machine can limit at all; a skip if not.
fn limited(fixture: &Fixture, limits: &Limits) -> bool {
    let spec = RunSpec { limits: limits.clone(), ..fixture.probe(&["uid"]) };
    match fixture.try_start(&spec) {
        Ok(container) => {
            container.wait(Some(PATIENCE)).expect("wait");
            true
        }
        Err(error) if matches!(error.kind(), ErrorKind::Unsupported | ErrorKind::Denied) => {
            libctr_tests::skip_as_user(&error.to_string());
            false
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn memory_pids_and_processors_are_written() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let set = |limits: &mut Limits| {
        limits.memory = Some(64 << 20);
        limits.pids = Some(33);
        limits.cpus = Some(0.5);
    };
    let mut limits = Limits::default();
    set(&mut limits);
    if !limited(&fixture, &limits) {
        return;
    }
    let container = waiting(&fixture, set);
    let memory = control(&container, Controller::Memory, "memory.max", "memory.limit_in_bytes");
    assert_eq!(memory, "67108864");
    assert_eq!(control(&container, Controller::Pids, "pids.max", "pids.max"), "33");
    let quota = control(&container, Controller::Cpu, "cpu.max", "cpu.cfs_quota_us");
    assert!(matches!(quota.as_str(), "50000 100000" | "50000"), "{quota}");
    end(&container);
}

#[test]
fn pids_are_limited_by_default_and_unlimited_when_asked() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    for (limit, expected) in [(Limits::default().pids, "4096"), (None, "max")] {
        let container = waiting(&fixture, |limits| limits.pids = limit);
        assert_eq!(control(&container, Controller::Pids, "pids.max", "pids.max"), expected);
        end(&container);
    }
}

#[test]
fn weight_is_a_share_of_the_kernels_scale() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let limits = Limits { cpu_weight: Some(100), ..Limits::default() };
    if !limited(&fixture, &limits) {
        return;
    }
    let container = waiting(&fixture, |limits| limits.cpu_weight = Some(100));
    let weight = control(&container, Controller::Cpu, "cpu.weight", "cpu.shares");
    let unified = group(&container, Controller::Cpu).0;
    assert_eq!(weight, if unified { "100" } else { "1024" });
    end(&container);
}

#[test]
fn processors_are_bound_before_the_first_instruction() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let limits = Limits { cpuset: Some("0".into()), ..Limits::default() };
    if !limited(&fixture, &limits) {
        return;
    }
    let spec = RunSpec { limits, ..fixture.probe(&["cpus"]) };
    assert_eq!(fixture.answer(&spec), "0");
}

#[test]
fn every_process_is_in_the_group_from_the_start() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    for init in [true, false] {
        let mut spec = fixture.probe(&["daemon", ",", "fork", "3", ",", "line"]);
        spec.init = init;
        let container = fixture.start(&spec);
        let mut out = File::from(container.take_stream(1).expect("pipe"));
        out.read_exact(&mut [0; 2]).expect("ready");
        let groups = container.info().expect("info").groups;
        let expected = 5 + usize::from(init);
        for dir in groups.v1.values().chain(&groups.v2) {
            let processes = fs::read_to_string(dir.join("cgroup.procs")).expect("list");
            assert_eq!(processes.lines().count(), expected, "{dir:?}: {processes}");
        }
        end(&container);
    }
}

#[test]
fn inside_the_group_is_the_root_of_all() {
    let Some(fixture) = fixture() else { return };
    for line in fixture.ask(&["cgroup"]).lines() {
        // Hierarchies in which the container has no group show the host's.
        let path = line.splitn(3, ':').nth(2).unwrap_or_default();
        assert!(!path.contains("libctr-"), "{line}");
    }
}

#[test]
fn memory_limit_holds_for_the_first_page() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["allocate", "64"]);
    spec.limits.memory = Some(16 << 20);
    let exit = fixture.run(&spec).exit;
    assert_eq!(exit.outcome, libctr::Outcome::OomKilled);
    spec.limits.memory = Some(128 << 20);
    assert!(fixture.run(&spec).exit.success());
}

#[test]
fn processor_quota_slows_down() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let limits = Limits { cpus: Some(0.1), ..Limits::default() };
    if !limited(&fixture, &limits) {
        return;
    }
    let container = fixture.start(&RunSpec { limits, ..fixture.probe(&["burn", "600000"]) });
    until("the quota has run out three times", || {
        container.stats().expect("stats").cpu.throttled_periods.is_some_and(|periods| periods >= 3)
    });
    container.kill(9).expect("kill");
    container.wait(Some(PATIENCE)).expect("wait");
}

/// Processor time of a container that burns it.
fn used(container: &Container) -> u64 {
    container.stats().expect("stats").cpu.usage_ns.expect("measured")
}

#[test]
fn paused_container_uses_no_time_and_goes_on_after() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let container = fixture.start(&fixture.probe(&["burn", "600000"]));
    for _ in 0..3 {
        container.pause().expect("pause");
        container.pause().expect("pausing twice is pausing");
        assert_eq!(container.info().expect("info").status, Status::Paused);
        let before = used(&container);
        std::thread::sleep(Duration::from_millis(200));
        // Freezing itself takes a little time in the kernel.
        let passed = Duration::from_nanos(used(&container) - before);
        assert!(passed < Duration::from_millis(20), "{passed:?}");
        container.unpause().expect("unpause");
        assert_eq!(container.info().expect("info").status, Status::Running);
        until("it runs again", || used(&container) > before);
    }
    container.kill(9).expect("kill");
    container.wait(Some(PATIENCE)).expect("wait");
}

#[test]
fn limits_of_a_running_container_change_and_only_those() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let container = waiting(&fixture, |limits| limits.memory = Some(64 << 20));
    let none = Limits { pids: None, ..Limits::default() };
    container.update(&Limits { memory: Some(128 << 20), ..none.clone() }).expect("update");
    let memory = control(&container, Controller::Memory, "memory.max", "memory.limit_in_bytes");
    assert_eq!(memory, "134217728");
    assert_eq!(control(&container, Controller::Pids, "pids.max", "pids.max"), "4096");
    container.update(&Limits { pids: Some(7), ..none.clone() }).expect("update");
    assert_eq!(control(&container, Controller::Pids, "pids.max", "pids.max"), "7");
    let memory = control(&container, Controller::Memory, "memory.max", "memory.limit_in_bytes");
    assert_eq!(memory, "134217728");
    end(&container);
    let error = container.update(&Limits { pids: Some(9), ..none }).expect_err("it has ended");
    assert_eq!(
        (error.kind(), error.stage(), error.errno()),
        (ErrorKind::NotFound, Stage::State, None)
    );
    assert_eq!(
        error.to_string(),
        format!("state: container {} not running", &container.id()[..12])
    );
}

#[test]
fn update_without_a_change_of_pids_keeps_them() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let container = waiting(&fixture, |limits| limits.pids = Some(50));
    // The default of the document is no wish of the caller's.
    let change = Limits { memory: Some(128 << 20), ..Limits::default() };
    container.update(&change).expect("update");
    assert_eq!(control(&container, Controller::Pids, "pids.max", "pids.max"), "50");
    end(&container);
}

#[test]
fn figures_are_of_this_container() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["allocate", "20", ",", "fork", "3", ",", "line"]);
    spec.limits.memory = Some(256 << 20);
    spec.limits.pids = Some(20);
    let container = fixture.start(&spec);
    let mut out = File::from(container.take_stream(1).expect("pipe"));
    out.read_exact(&mut [0; 2]).expect("ready");
    let stats = container.stats().expect("stats");
    assert_eq!(stats.pids.current, Some(5));
    assert_eq!(stats.pids.limit, Some(20));
    assert_eq!(stats.memory.limit, Some(256 << 20));
    let current = stats.memory.current.expect("measured");
    assert!((20 << 20..64 << 20).contains(&current), "{current}");
    assert!(stats.memory.peak.is_none_or(|peak| peak >= current));
    assert_eq!(stats.memory.oom_kills, Some(0));
    end(&container);
}

#[test]
fn groups_that_the_program_makes_go_with_its_own() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&[]);
    let script = "mount -t cgroup2 none /mnt && mkdir -p /mnt/a/b /mnt/c && ls -d /mnt/a/b /mnt/c";
    spec.args = ["sh", "-c", script].map(Into::into).to_vec();
    spec.security.capabilities.add = vec!["SYS_ADMIN".into()];
    assert_eq!(fixture.answer(&spec), "/mnt/a/b\n/mnt/c");
}
