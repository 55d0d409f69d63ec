//! The document as a whole: forms, refusals, and the way there and back.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::{collection, option};

use super::{
    Capabilities, Device, DeviceAccess, HostDevice, IdMap, Io, IoDevice, Keep, Mount, MountOption,
    Network, Pull, Root, RunSpec, Seccomp, Text, UserNamespace, Writable,
};
use crate::{ErrorKind, Stage};

/// A document with every key away from its default.
const FULL: &[u8] = include_bytes!("full.json");

fn refusal(json: &str) -> String {
    let error = RunSpec::from_json(json.as_bytes()).unwrap_err();
    assert_eq!(
        (error.kind(), error.stage(), error.errno()),
        (ErrorKind::InvalidInput, Stage::Spec, None)
    );
    error.message().to_owned()
}

#[test]
fn empty_document_is_the_default() {
    let spec = RunSpec::from_json(b"{}").unwrap();
    assert_eq!(spec, RunSpec::default());
    assert_eq!(spec.to_json().unwrap(), "{}");
    assert_eq!(
        (spec.root(), spec.is_removed(), spec.writable()),
        (Root::Host, true, Writable::Memory)
    );
    let kept = RunSpec { detach: true, ..spec };
    assert_eq!((kept.is_removed(), kept.writable()), (false, Writable::Disk));
}

#[test]
fn every_key_is_read() {
    let spec = RunSpec::from_json(FULL).unwrap();
    assert_eq!(spec.root(), Root::Image("docker.io/library/alpine:3.20"));
    assert_eq!(spec.env["GONE"], None);
    assert_eq!(spec.env["RAW"], Some(Text::from(vec![0xff])));
    assert_eq!((spec.umask, spec.mounts[1].mode), (Some(0o27), Some(0o1770)));
    assert_eq!((spec.limits.memory, spec.limits.pids), (Some(256 << 20), None));
    assert_eq!(spec.limits.wall_time, Some(Duration::from_millis(1500)));
    let devices: Vec<_> =
        spec.devices.iter().map(|device| (device.target(), device.access.to_string())).collect();
    assert_eq!(
        devices,
        [
            ("/dev/fuse".as_ref(), "rwm".to_owned()),
            ("/dev/disk".as_ref(), "r".to_owned()),
            ("/dev/snd".as_ref(), "rwm".to_owned()),
            ("/dev/x".as_ref(), "rw".to_owned())
        ]
    );
    assert_eq!(spec.stop_signal.as_deref(), Some("15"));
    // No key is at its default, so the list of keys is complete.
    let short: serde_json::Value = serde_json::from_str(&spec.to_json().unwrap()).unwrap();
    let long = serde_json::to_value(&spec).unwrap();
    let keys = |value: &serde_json::Value, skip: &[&str]| -> Vec<String> {
        let members = value.as_object().unwrap().keys();
        members.filter(|key| !skip.contains(&key.as_str())).cloned().collect()
    };
    let single = ["schema", "rootfs", "bundle"];
    assert_eq!(keys(&short, &single), keys(&long, &single));
    assert_eq!(keys(&short["limits"], &[]), keys(&long["limits"], &[]));
    assert_eq!(keys(&short["security"], &[]), keys(&long["security"], &[]));
    assert_eq!(RunSpec::from_json(long.to_string().as_bytes()).unwrap(), spec);
}

#[test]
fn refusals_name_the_path_and_what_is_expected() {
    for (json, message) in [
        (
            r#"{"limits": {"memory": "12Q"}}"#,
            "limits.memory: expected a size such as 268435456 or \"256M\", found \"12Q\"",
        ),
        (
            r#"{"limits": {"pids": "many"}}"#,
            "limits.pids: expected a number or \"unlimited\", found \"many\"",
        ),
        (
            r#"{"limits": {"wall_time": "5s"}}"#,
            "limits.wall_time: expected seconds such as 1.5, found \"5s\"",
        ),
        (
            r#"{"limits": {"wall_time": -1}}"#,
            "limits.wall_time: expected seconds such as 1.5, found -1",
        ),
        (r#"{"limits": {"cpu_time": 1e-12}}"#, "limits.cpu_time: expected more than 0 seconds"),
        (r#"{"args": ["a", 3]}"#, "args[1]: expected a string or {\"base64\": \"…\"}, found 3"),
        (
            r#"{"args": ["a\u0000"]}"#,
            "args[0]: contains a NUL byte, which the kernel cannot pass on",
        ),
        (
            r#"{"env": {"A=B": "c"}}"#,
            "env.A=B: expected the name of a variable, without \"=\", found \"A=B\"",
        ),
        (r#"{"image": "a", "rootfs": "/b"}"#, "rootfs: cannot be combined with image"),
        (r#"{"rootfs": "b"}"#, "rootfs: expected an absolute path, found \"b\""),
        (r#"{"cwd": "b"}"#, "cwd: expected an absolute path, found \"b\""),
        (
            r#"{"umask": "8"}"#,
            "umask: expected octal digits in a string such as \"022\", or a number, found \"8\"",
        ),
        (r#"{"umask": "1000"}"#, "umask: expected at most 0777, found 01000"),
        (
            r#"{"stop_signal": "SIGNOPE"}"#,
            "stop_signal: expected a signal such as \"SIGTERM\" or 15, found \"SIGNOPE\"",
        ),
        (r#"{"publish": ["80"]}"#, "publish: ports can be published from a \"nat\" network only"),
        (r#"[]"#, "expected an object, found a list"),
        (r#"{"limits": [1]}"#, "limits: expected an object, found a list"),
        (r#"{"mounts": [["bind", "/a", "/b"]]}"#, "mounts[0]: expected an object, found a list"),
        (
            r#"{"devices": [{"path": "/dev/a", "access": "rx"}]}"#,
            "devices[0].access: expected some of the letters r, w and m, found \"rx\"",
        ),
        (r#"{"devices": ["a"]}"#, "devices[0].path: expected an absolute path, found \"a\""),
        (
            r#"{"devices": ["/dev/a", {"path": "/dev/b", "container_path": "/dev//a"}]}"#,
            "devices[1]: \"/dev//a\" is a device already",
        ),
        (r#"{"schema": 2}"#, "schema: expected 1, found 2"),
        (
            r#"{"mounts": [{"type": "tmpfs", "target": "/a"}, {"type": "tmpfs", "target": "//a/"}]}"#,
            "mounts[1].target: \"//a/\" is a target already",
        ),
    ] {
        assert_eq!(refusal(json), message, "{json}");
    }
    for (json, start) in [
        (
            r#"{"limits": {"memroy": 1}}"#,
            "limits.memroy: unknown field `memroy`, expected one of `memory`",
        ),
        (r#"{"mounts": [{"type": "bind"}]}"#, "mounts[0]: missing field `target`"),
        (
            r#"{"mounts": [{"type": "nfs", "target": "/a"}]}"#,
            "mounts[0].type: unknown variant `nfs`",
        ),
        (
            r#"{"network": "bridge"}"#,
            "network: unknown variant `bridge`, expected one of `none`, `host`, `nat`",
        ),
        (
            r#"{"devices": [["/dev/a"]]}"#,
            "devices[0]: invalid type: sequence, expected an object or a string HOST",
        ),
        (r#"{"devices": [{"path": "/a", "mode": 1}]}"#, "devices[0].mode: unknown field `mode`"),
        (r#"{"devices": [{}]}"#, "devices[0]: missing field `path`"),
        (r#"{"devices": ["a:b:c:d"]}"#, "devices[0]: expected HOST[:CONTAINER][:rwm]"),
        (r#"{"publish": ["x"], "network": "nat"}"#, "publish[0]: expected [address:]"),
        (r#"{"dns": ["nope"]}"#, "dns[0]: "),
        (r#"{"tty": 1}"#, "tty: invalid type: integer `1`, expected a boolean"),
        (r#"{"hostname": "a b"}"#, "hostname: expected 1 to 64"),
        (r#"{"hosts": {"a\n1.1.1.1 b": "1.2.3.4"}}"#, "hosts: expected 1 to 253"),
        (r#"{"name": "a"}"#, "name: expected 2 to 255"),
        (r#"{"name": "../x"}"#, "name: expected 2 to 255"),
        (r#"3"#, "invalid type: integer `3`"),
    ] {
        let message = refusal(json);
        assert!(message.starts_with(start), "{json}: {message}");
    }
}

#[test]
fn values_built_in_rust_are_checked_as_well() {
    let check = |change: fn(&mut RunSpec)| {
        let mut spec = RunSpec::default();
        change(&mut spec);
        spec.validate().unwrap_err().message().to_owned()
    };
    assert_eq!(check(|spec| spec.args.push("a\0".into())), "args[0]: contains a NUL byte");
    assert_eq!(
        check(|spec| spec.mounts = (0..4097).map(|n| Mount::tmpfs(format!("/{n}"))).collect()),
        "mounts: expected at most 4096 items, found 4097"
    );
    assert_eq!(
        check(|spec| spec.image = Some(String::new())),
        "image: expected an image reference or \"host\", found \"\""
    );
}

fn texts() -> impl Strategy<Value = Vec<Text>> {
    collection::vec(collection::vec(1_u8.., 0..8).prop_map(Text::from), 0..4)
}

fn words() -> impl Strategy<Value = BTreeMap<String, String>> {
    collection::btree_map("[a-z.]{1,5}", "[^\0]{0,9}", 0..3)
}

fn sizes() -> impl Strategy<Value = Option<u64>> {
    option::of(1..=i64::MAX.unsigned_abs())
}

fn durations() -> impl Strategy<Value = Option<Duration>> {
    option::of((1..8_000_000_000_000_000_u64).prop_map(Duration::from_nanos))
}

fn mounts() -> impl Strategy<Value = Vec<Mount>> {
    let one = (0..3, any::<Option<bool>>(), sizes(), option::of(0..=0o7777_u32));
    collection::vec(one, 0..4).prop_map(|mounts| {
        let build = |(index, (kind, read_only, size, mode)): (usize, (i32, _, _, _))| {
            let target = format!("/target {index}");
            match kind {
                0 => Mount {
                    read_only,
                    options: vec![MountOption::Suid, MountOption::NoExec, MountOption::NoDev],
                    ..Mount::bind("/a", target)
                },
                1 => Mount { read_only, ..Mount::overlay("/ä", target) },
                _ => Mount { read_only, size, mode, ..Mount::tmpfs(target) },
            }
        };
        mounts.into_iter().enumerate().map(build).collect()
    })
}

fn io() -> impl Strategy<Value = Io> {
    let device = prop_oneof![
        any::<(u32, u32)>().prop_map(|(major, minor)| Device::Number(major, minor)),
        Just(Device::Path("/dev/sda".into())),
    ];
    let devices =
        (device, 1..u64::from(u32::MAX), sizes()).prop_map(|(device, read, write)| IoDevice {
            device,
            read_bps: Some(read),
            write_bps: write,
            read_iops: None,
            write_iops: write,
        });
    (option::of(1..=10_000_u32), collection::vec(devices, 0..2))
        .prop_map(|(weight, devices)| Io { weight, devices })
}

proptest! {
    #[test]
    fn written_document_is_read_as_the_same_values(
        args in texts(),
        entrypoint in option::of(texts()),
        env in collection::btree_map("[A-Z_]{1,6}", option::of("[^\0]{0,9}".prop_map(Text::from)), 0..4),
        (labels, annotations) in (words(), words()),
        mounts in mounts(),
        devices in collection::vec((any::<(bool, bool, bool)>(), option::of("/[a-zé:]{1,9}")), 0..3),
        (memory, swap, output, core) in (sizes(), sizes(), sizes(), sizes()),
        (pids, millicpus) in (option::of(1..4_194_304_u32), option::of(10..8_000_000_u32)),
        (wall_time, cpu_time, grace) in (durations(), durations(), durations()),
        io in io(),
        (tty, init, read_only, detach, no_new_privileges) in any::<(bool, bool, bool, bool, bool)>(),
        remove in any::<Option<bool>>(),
        (umask, host) in (option::of(0..=0o777_u32), 0..1000_u32),
        publish in collection::vec((any::<Option<std::net::IpAddr>>(), option::of(1_u16..), 1_u16..), 0..3),
    ) {
        let mut spec = RunSpec {
            args, entrypoint, env, labels, annotations, mounts, tty, init, read_only, detach, remove, umask,
            pull: Pull::Never, network: Network::Nat, writable: Some(Writable::Disk),
            ..RunSpec::default()
        };
        spec.publish = publish.into_iter().map(|(host_ip, host_port, port)| super::Port {
            host_ip, host_port, port, protocol: super::Protocol::Udp,
        }).collect();
        spec.devices = devices.into_iter().enumerate().map(|(index, ((read, write, mknod), inside))| {
            let container_path = inside.map(|inside| format!("{inside}{index}").into());
            let access = DeviceAccess { read: read || !(write || mknod), write, mknod };
            HostDevice { path: format!("/dev/ä{index}").into(), container_path, access }
        }).collect();
        spec.limits.memory = memory;
        spec.limits.swap = swap;
        spec.limits.output = output;
        spec.limits.core = core;
        spec.limits.pids = pids;
        spec.limits.cpus = millicpus.map(|cpus| f64::from(cpus) / 1000.0);
        spec.limits.wall_time = wall_time;
        spec.limits.cpu_time = cpu_time;
        spec.limits.grace = grace.unwrap_or_default();
        spec.limits.keep = Keep::Tail;
        spec.limits.io = io;
        spec.security.no_new_privileges = no_new_privileges;
        spec.security.seccomp = if tty { Seccomp::Unconfined } else { Seccomp::Profile(Box::default()) };
        spec.security.capabilities = Capabilities { add: vec!["ALL".into()], drop: Vec::new() };
        let map = IdMap { container: 0, host, size: 1 };
        spec.security.user_namespace = UserNamespace::Map { uid_maps: vec![map], gid_maps: vec![map] };

        let json = spec.to_json().unwrap();
        assert_eq!(RunSpec::from_json(json.as_bytes()).unwrap(), spec, "{json}");
    }

    #[test]
    fn no_damaged_document_panics(at in 0..FULL.len(), byte in any::<u8>(), length in 0..FULL.len()) {
        let mut json = FULL.to_vec();
        json[at] = byte;
        let _ = RunSpec::from_json(&json);
        let _ = RunSpec::from_json(&json[..length]);
    }
}
