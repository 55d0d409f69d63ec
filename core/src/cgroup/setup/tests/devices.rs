//! Where the filter of devices goes, and the refusals where it goes nowhere.

use super::machine::{Machine, hybrid, rootless};
use crate::cgroup::{Controller, DeviceFilter, Limits};
use crate::error::{Error, ErrorKind, Stage};
use std::fs;

const KEY: &str = "devices[0].access (\"r\")";

fn devices(asked: bool) -> Limits {
    let filter = DeviceFilter { rules: Vec::new(), asked: asked.then(|| KEY.into()) };
    Limits { devices: Some(filter), ..Limits::default() }
}

fn refusal(machine: &Machine) -> Error {
    let error = machine.choose(&devices(true)).unwrap_err();
    assert_eq!(error.stage(), Stage::Cgroup);
    assert!(error.message().starts_with(KEY), "{error}");
    error
}

#[test]
fn v1_hierarchy_is_used_where_it_is_mounted() {
    let machine = hybrid().mount("devices", "/", "cgroup", "rw,devices");
    let setup = machine.choose(&devices(true)).unwrap();
    assert_eq!(setup.groups.v1[&Controller::Devices], machine.dir("devices/libctr-1f"));
    assert!(setup.devices.is_some());
    let without = machine.choose(&Limits::default()).unwrap();
    assert!(without.devices.is_none() && !without.groups.v1.contains_key(&Controller::Devices));
}

#[test]
fn rules_are_written_deny_first() {
    let machine = hybrid().mount("devices", "/", "cgroup", "rw,devices");
    let setup = machine.choose(&devices(true)).unwrap();
    let group = machine.dir("devices/libctr-1f");
    fs::create_dir(&group).unwrap();
    for file in ["devices.deny", "devices.allow"] {
        fs::write(group.join(file), "").unwrap();
    }
    assert!(setup.devices.as_ref().unwrap().set().unwrap());
    assert_eq!(fs::read_to_string(group.join("devices.deny")).unwrap(), "a");
    // A control file takes each write as one rule; a plain one has them in a row.
    let allowed = fs::read_to_string(group.join("devices.allow")).unwrap();
    assert!(allowed.starts_with("c *:* mb *:* mc 1:3 rwm"), "{allowed}");
}

#[test]
fn v2_group_has_the_filter_otherwise() {
    let setup = hybrid().choose(&devices(true)).unwrap();
    assert!(setup.devices.is_some() && !setup.groups.v1.contains_key(&Controller::Devices));
    let setup = rootless().choose(&devices(true)).unwrap();
    assert!(setup.devices.is_some() && setup.groups.v2.is_some());
}

#[test]
fn nowhere_is_an_error_only_for_what_was_asked() {
    let unmounted = Machine::new();
    assert!(unmounted.choose(&devices(false)).unwrap().devices.is_none());
    let error = refusal(&unmounted);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let what = "no mounted cgroup hierarchy has the controller devices";
    assert_eq!(error.message(), format!("{KEY} cannot be enforced: {what}"));

    let v1 = Machine::new().mount("memory", "/", "cgroup", "rw,memory");
    assert!(v1.choose(&devices(false)).unwrap().devices.is_none());
    let hint = "mkdir -p /sys/fs/cgroup/devices && \
                mount -t cgroup -o devices cgroup /sys/fs/cgroup/devices";
    assert_eq!(refusal(&v1).hint(), Some(hint));

    let closed =
        Machine::new().mount("v2", "/", "cgroup2", "rw").group("v2", "", "memory pids", None, "");
    assert!(closed.choose(&devices(false)).unwrap().devices.is_none());
    let error = refusal(&closed);
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(error.hint(), Some("only root can filter devices: run it as root"));
    let what = format!("access({:?}, W_OK)", closed.dir("v2"));
    assert_eq!(error.message(), format!("{KEY} cannot be enforced: {what}"));
}
