//! What is looked up, and the refusals; this machine has the usual `/dev`.

use super::{Devices, resolve};
use crate::error::{Error, ErrorKind, Stage};
use crate::spec::{HostDevice, RunSpec};
use std::os::unix::fs::symlink;
use std::path::Path;

fn of(devices: &[&str]) -> Result<Devices, Error> {
    let devices = devices.iter().map(|text| text.parse::<HostDevice>().expect("device"));
    resolve(&RunSpec { devices: devices.collect(), ..RunSpec::default() }, false)
}

fn refusal(device: &str) -> (ErrorKind, Option<i32>, String) {
    let error = of(&[device]).expect_err(device);
    assert_eq!(error.stage(), Stage::Filesystem);
    (error.kind(), error.errno(), error.message().to_owned())
}

#[test]
fn default_devices_need_no_host_and_no_rules() {
    let devices = of(&[]).expect("devices");
    let names: Vec<_> = devices.nodes.keys().map(|path| path.display().to_string()).collect();
    let expected = ["dev/full", "dev/null", "dev/random", "dev/tty", "dev/urandom", "dev/zero"];
    assert_eq!(names, expected);
    assert_eq!((devices.filter.rules.len(), devices.filter.asked), (0, None));
}

#[test]
fn capabilities_over_a_user_namespace_alone_need_no_filter() {
    let mut spec = RunSpec::default();
    spec.security.capabilities.add = vec!["SYS_ADMIN".into()];
    assert!(resolve(&spec, false).expect("devices").filter.asked.is_some());
    assert_eq!(resolve(&spec, true).expect("devices").filter.asked, None);
    spec.devices.push("/dev/ptmx:/dev/own:r".parse().expect("device"));
    assert!(resolve(&spec, true).expect("devices").filter.asked.is_some());
}

#[test]
fn device_is_followed_and_has_the_hosts_numbers() {
    let directory = tempfile::tempdir().expect("directory");
    let link = directory.path().join("link");
    symlink("/dev/zero", &link).expect("link");
    let devices = of(&[&format!("{}:/dev/nought:r", link.display())]).expect("devices");
    let node = &devices.nodes[Path::new("dev/nought")];
    assert_eq!((node.number.major, node.number.minor, node.mode), (1, 5, 0o2_0666));
    let rules: Vec<String> = devices.filter.rules.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["c 1:5 r"]);
}

#[test]
fn filter_is_asked_for_where_a_device_is_given_in_part() {
    let asked = |devices: &[&str]| of(devices).expect("devices").filter.asked;
    // 5:2 is no device that can be opened as it is.
    let own = |access: &str| format!("/dev/ptmx:/dev/own:{access}");
    assert_eq!(asked(&[&own("rw"), "/dev/full:/dev/b"]), None);
    for access in ["r", "w", "m", "rm"] {
        let key = format!("devices[1].access (\"{access}\")");
        assert_eq!(asked(&["/dev/zero:r", &own(access)]), Some(key));
    }
}

#[test]
fn directory_stands_for_what_is_below_but_for_the_containers_own() {
    let devices = of(&["/dev"]).expect("devices");
    assert!(devices.nodes.contains_key(Path::new("dev/null")));
    assert!(!devices.nodes.keys().any(|path| path.starts_with("dev/pts")));
    assert!(!devices.nodes.contains_key(Path::new("dev/ptmx")));
    let elsewhere = of(&["/dev:/devices"]).expect("devices");
    assert!(elsewhere.nodes.contains_key(Path::new("devices/null")));
}

#[test]
fn what_is_no_device_is_refused_with_its_key() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().display().to_string();
    let (kind, errno, text) = refusal("/dev/no-such-device");
    assert_eq!((kind, errno), (ErrorKind::NotFound, Some(2)));
    assert_eq!(text, "devices[0].path: stat(\"/dev/no-such-device\")");
    let invalid = |device: &str, expected: String| {
        assert_eq!(refusal(device), (ErrorKind::InvalidInput, None, expected));
    };
    invalid("/proc/version", "devices[0].path: \"/proc/version\" is no device".into());
    invalid(&path, format!("devices[0].path: no device in {path:?}"));
    for own in ["/dev/ptmx", "/dev/stdin", "/dev/pts/0", "/dev/shm/x", "/dev/fd"] {
        invalid(&format!("/dev/null:{own}"), format!("devices[0]: {own} is the container's own"));
    }
    let mut deep = directory.path().to_owned();
    deep.extend(std::iter::repeat_n("d", 17));
    std::fs::create_dir_all(&deep).expect("directories");
    let (kind, _, text) = refusal(&path);
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(text.starts_with("devices[0].path: more than 10000 entries or 16 levels"), "{text}");
}
