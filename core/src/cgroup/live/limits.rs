//! Limits in force, and changed while in force.

use super::{Container, machines, until};
use crate::cgroup::{Controller, Device, Hierarchies, IoLimit, Limits, Setup};
use crate::error::{Error, ErrorKind, Stage};
use std::fs;

const MIB: u64 = 1 << 20;

fn none() -> Limits {
    Limits::default()
}

/// Whether the machine lacks the controller; then asking for it must fail, and
/// the failure must name it.
fn lacks(machine: &Hierarchies, controller: Controller, limits: &Limits) -> bool {
    let error = match Setup::choose(machine, "probe", limits, None) {
        Err(error) if error.kind() == ErrorKind::Unsupported => error,
        _ => return false,
    };
    let names = [controller.v1_name(), controller.v2_name()];
    assert!(names.iter().any(|name| error.message().contains(name)), "{error}");
    assert!(error.hint().is_some(), "{error}");
    true
}

fn refused(machine: &Hierarchies, limits: &Limits) -> Error {
    let error = Container::create(machine, limits).map(|c| c.groups.clone()).unwrap_err();
    assert_eq!(error.stage(), Stage::Cgroup);
    error
}

#[test]
fn memory_beyond_the_limit_is_killed_and_counted() {
    for machine in machines() {
        let limits = Limits { memory: Some(16 * MIB), ..none() };
        // tail keeps the last line, and this one never ends
        let mut container = Container::start(&machine, &limits, "exec tail /dev/zero");
        assert_eq!(container.wait_signal(), Some(libc::SIGKILL));
        let memory = container.groups.stats().unwrap().memory;
        assert_eq!(memory.limit, Some(16 * MIB));
        assert!(memory.oom_kills >= Some(1), "{memory:?}");
        assert!(memory.peak > Some(8 * MIB) && memory.peak <= Some(16 * MIB), "{memory:?}");
        container.finish();
    }
}

#[test]
fn swap_is_none_beside_a_memory_limit_unless_given() {
    for machine in machines() {
        for (swap, expected) in [(None, 0), (Some(4 * MIB), 4 * MIB)] {
            let limits = Limits { memory: Some(16 * MIB), swap, ..none() };
            let container = Container::create(&machine, &limits).unwrap();
            let memory = if container.has_v2(Controller::Memory) { 0 } else { 16 * MIB };
            let text = container.text(
                Controller::Memory,
                "memory.swap.max",
                "memory.memsw.limit_in_bytes",
            );
            assert_eq!(text, (memory + expected).to_string());
            container.finish();
        }
    }
}

#[test]
fn processes_beyond_the_limit_are_refused_and_counted() {
    for machine in machines() {
        let limits = Limits { pids: Some(3), pids_explicit: true, ..none() };
        let script = "sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & wait";
        let container = Container::start(&machine, &limits, script);
        let stats = || container.groups.stats().unwrap().pids;
        until("one is refused", || stats().refused.is_none_or(|n| n > 0));
        assert_eq!(stats().limit, Some(3));
        assert!(stats().peak.is_none_or(|peak| peak == 3), "{:?}", stats());
        container.finish();
    }
}

#[test]
fn quota_throttles() {
    for machine in machines() {
        let limits = Limits { cpus: Some(0.05), ..none() };
        if lacks(&machine, Controller::Cpu, &limits) {
            continue;
        }
        let container = Container::start(&machine, &limits, "while :; do :; done");
        until("it is throttled", || {
            let cpu = container.groups.stats().unwrap().cpu;
            cpu.throttled_periods > Some(1) && cpu.periods > Some(1) && cpu.throttled_ns > Some(0)
        });
        container.finish();
    }
}

#[test]
fn weight_is_converted() {
    for machine in machines() {
        let limits = Limits { cpu_weight: Some(100), ..none() };
        if lacks(&machine, Controller::Cpu, &limits) {
            continue;
        }
        let container = Container::create(&machine, &limits).unwrap();
        let expected = if container.has_v2(Controller::Cpu) { "100" } else { "1024" };
        assert_eq!(container.text(Controller::Cpu, "cpu.weight", "cpu.shares"), expected);
        container.finish();
    }
}

#[test]
fn cpuset_binds_the_process() {
    for machine in machines() {
        let limits = Limits { cpuset: Some("0".into()), ..none() };
        if lacks(&machine, Controller::Cpuset, &limits) {
            continue;
        }
        let container = Container::start(&machine, &limits, "exec sleep 1000");
        let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
        assert!(status.contains("Cpus_allowed_list:\t0\n"), "{status}");
        container.finish();

        let error = refused(&machine, &Limits { cpuset: Some("0,4000".into()), ..none() });
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.message().starts_with("limits.cpuset \"0,4000\" has processors"), "{error}");
    }
}

/// Any whole disk.
fn disk() -> Device {
    let disks = fs::read_dir("/sys/block").unwrap();
    let numbers = disks
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("dev")).ok())
        .next()
        .expect("the machine has no block device");
    let (major, minor) = numbers.trim_end().split_once(':').unwrap();
    Device { major: major.parse().unwrap(), minor: minor.parse().unwrap() }
}

fn read_bps(device: Device, rate: u64) -> Limits {
    let limit = IoLimit {
        device,
        read_bps: Some(rate),
        write_bps: None,
        read_iops: None,
        write_iops: Some(7),
    };
    Limits { io: vec![limit], ..none() }
}

#[test]
fn io_rates_are_set_per_device() {
    for machine in machines() {
        let device = disk();
        let limits = read_bps(device, MIB);
        if lacks(&machine, Controller::Blkio, &limits) {
            continue;
        }
        let container = Container::create(&machine, &limits).unwrap();
        let name = format!("{}:{}", device.major, device.minor);
        let found = container.text(Controller::Blkio, "io.max", "blkio.throttle.read_bps_device");
        if container.has_v2(Controller::Blkio) {
            assert_eq!(found, format!("{name} rbps=1048576 wbps=max riops=max wiops=7"));
        } else {
            assert_eq!(found, format!("{name} 1048576"));
        }
        let io = container.groups.stats().unwrap().io;
        assert_eq!((io.read_bytes, io.written_bytes), (Some(0), Some(0)));
        container.finish();

        let error = refused(&machine, &read_bps(Device { major: 4000, minor: 1 }, MIB));
        assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, Some(libc::ENODEV)));
        assert_eq!(error.hint(), Some("limits work on whole disks, see lsblk -d"));
    }
}

#[test]
fn io_weight_is_set_or_refused_by_name() {
    for machine in machines() {
        let limits = Limits { io_weight: Some(200), ..none() };
        if lacks(&machine, Controller::Blkio, &limits) {
            continue;
        }
        match Container::create(&machine, &limits) {
            Ok(container) => {
                let (v2, v1) = ("io.weight", "blkio.bfq.weight");
                let expected =
                    if container.has_v2(Controller::Blkio) { "default 200" } else { "109" };
                assert_eq!(container.text(Controller::Blkio, v2, v1), expected);
                container.finish();
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unsupported);
                assert!(error.message().contains("io.weight or io.bfq.weight"), "{error}");
            }
        }
    }
}

#[test]
fn a_value_that_the_kernel_refuses_leaves_nothing() {
    for machine in machines() {
        let limits = Limits { cpus: Some(1e9), ..none() };
        if lacks(&machine, Controller::Cpu, &limits) {
            continue;
        }
        let setup =
            Setup::choose(&machine, &format!("refused-{}", std::process::id()), &limits, None);
        let setup = setup.unwrap();
        let error = setup.create().unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::InvalidInput, Some(libc::EINVAL)));
        assert!(error.message().starts_with("limits.cpus: write("), "{error}");
        assert!(setup.groups.dirs().iter().all(|dir| !dir.exists()));
    }
}

#[test]
fn limits_are_raised_and_lowered_while_it_runs() {
    for machine in machines() {
        let limits =
            Limits { memory: Some(32 * MIB), pids: Some(9), pids_explicit: true, ..none() };
        let container = Container::start(&machine, &limits, "exec sleep 1000");
        for (memory, swap) in
            [(64, None), (16, None), (48, Some(8)), (24, Some(0)), (40, None), (20, None)]
        {
            let new = Limits { memory: Some(memory * MIB), swap: swap.map(|n| n * MIB), ..none() };
            container.groups.update(&new).unwrap();
            let stats = container.groups.stats().unwrap();
            assert_eq!(stats.memory.limit, Some(memory * MIB));
            assert_eq!(stats.pids.limit, Some(9));
        }
        container.groups.update(&Limits { pids: Some(5), pids_explicit: true, ..none() }).unwrap();
        assert_eq!(container.groups.stats().unwrap().pids.limit, Some(5));
        container.finish();
    }
}

#[test]
fn a_limit_without_its_group_cannot_be_added_later() {
    for machine in machines() {
        let limits = Limits { cpus: Some(0.5), ..none() };
        if lacks(&machine, Controller::Cpu, &limits) {
            continue;
        }
        let container = Container::start(&machine, &none(), "exec sleep 1000");
        let changed = container.groups.update(&limits);
        if machine.v1.contains_key(&Controller::Cpu) {
            let error = changed.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert_eq!(
                error.message(),
                "limits.cpus cannot be changed: the container has no cpu group"
            );
        } else {
            changed.unwrap();
            assert_eq!(container.text(Controller::Cpu, "cpu.max", ""), "50000 100000");
        }
        container.finish();
    }
}
