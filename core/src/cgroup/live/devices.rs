//! The filter of devices, with a shell that opens and makes some: harmless ones,
//! and only for reading.

use super::{Container, machines, skip};
use crate::cgroup::Limits;
use crate::cgroup::{Controller, DeviceAccess, DeviceFilter, DeviceKind, DeviceRule, Hierarchies};

/// The kernel's log: every machine has it, and reading its end changes nothing.
const KMSG: (u32, u32) = (1, 11);

fn filter(access: &[DeviceAccess]) -> Limits {
    let rule = |&access| DeviceRule {
        kind: DeviceKind::Character,
        major: Some(KMSG.0),
        minor: Some(KMSG.1),
        access,
    };
    let filter = DeviceFilter {
        rules: access.iter().map(rule).collect(),
        asked: Some("devices[0].access (\"r\")".into()),
    };
    Limits { devices: Some(filter), ..Limits::default() }
}

/// The machines, and a hybrid one without the v1 hierarchy of devices.
fn all_machines() -> Vec<Hierarchies> {
    let mut machines = machines();
    if let Some(first) = machines.first().cloned()
        && first.v2.is_some()
        && first.v1.contains_key(&Controller::Devices)
    {
        let mut without = first;
        without.v1.remove(&Controller::Devices);
        machines.push(without);
    }
    machines
}

/// How a script ends in a group with these rules; `None` where there is no
/// filter at all.
fn run(machine: &Hierarchies, limits: &Limits, script: &str) -> Option<i32> {
    let mut container = match Container::create(machine, limits) {
        Ok(container) => container,
        Err(error) => {
            skip(&error.to_string());
            return None;
        }
    };
    assert!(container.filtered);
    container.run(script);
    let status = container.child.take().unwrap().wait().unwrap();
    container.finish();
    status.code()
}

#[test]
fn default_set_is_open_and_all_else_shut() {
    let directory = tempfile::tempdir().unwrap();
    for (index, machine) in all_machines().iter().enumerate() {
        let node = directory.path().join(index.to_string());
        let node = node.display();
        // Not even the root user who makes it opens a node: 7:0 is loop0.
        let script = format!(
            "for name in null zero full random urandom; do
                 true </dev/$name || exit 1
                 true >>/dev/$name || exit 2
             done
             if true </dev/kmsg; then exit 3; fi
             mknod {node} b 7 0 || exit 4
             if true <{node}; then exit 5; fi
             mkdir {node}.d || exit 6
             exit 42"
        );
        if let Some(code) = run(machine, &filter(&[]), &script) {
            assert_eq!(code, 42, "{machine:?}");
        }
    }
}

#[test]
fn device_is_open_as_far_as_its_rule_says() {
    let [read, both] = [false, true].map(|write| DeviceAccess::new(true, write, false));
    let script = "true </dev/kmsg || exit 1; true >>/dev/kmsg && exit 2; exit 42";
    for machine in all_machines() {
        for (rules, expected) in [
            (&[read][..], 42),
            (&[both], 2),
            // They add up.
            (&[read, both], 2),
            (&[both, read], 2),
        ] {
            if let Some(code) = run(&machine, &filter(rules), script) {
                assert_eq!(code, expected, "{rules:?} {machine:?}");
            }
        }
    }
}

#[test]
fn groups_that_the_container_makes_are_filtered_as_well() {
    for machine in all_machines() {
        let mut container = match Container::create(&machine, &filter(&[])) {
            Ok(container) => container,
            Err(error) => {
                skip(&error.to_string());
                continue;
            }
        };
        let top = container.groups.clone();
        for dir in container.groups.v2.iter_mut().chain(container.groups.v1.values_mut()) {
            dir.push("inner");
            std::fs::create_dir(&dir).unwrap();
        }
        container.run("true </dev/kmsg && exit 1; exit 42");
        let status = container.child.take().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(42), "{machine:?}");
        container.groups = top;
        container.finish();
    }
}
