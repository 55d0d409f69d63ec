//! The errors that a caller meets, each as a whole, and nothing is left of a
//! start that fails (the fixture looks at its end).

use libctr::spec::{Mount, Network, RunSpec};
use libctr::{ErrorKind, Stage};
use libctr_tests::{Fixture, fixture};

type Whole = (ErrorKind, Stage, Option<i32>, String);

fn invalid(stage: Stage, text: &str) -> Whole {
    (ErrorKind::InvalidInput, stage, None, text.into())
}

#[track_caller]
fn refused(fixture: &Fixture, change: impl FnOnce(&mut RunSpec)) -> Whole {
    let mut spec = fixture.probe(&["uid"]);
    change(&mut spec);
    fixture.refusal(&spec)
}

#[test]
fn unknown_key_names_its_path() {
    for (json, text) in [
        (&br#"{"argz": ["x"]}"#[..], "spec: argz: unknown field `argz`, expected one of "),
        (
            br#"{"limits": {"memroy": 1}}"#,
            "spec: limits.memroy: unknown field `memroy`, expected one of ",
        ),
        (
            br#"{"mounts": [{"type": "tmpfs", "target": "/a", "x": 1}]}"#,
            "spec: mounts[0].x: unknown field `x`, ",
        ),
    ] {
        let error = RunSpec::from_json(json).expect_err("unknown key");
        assert_eq!(
            (error.kind(), error.stage(), error.errno()),
            (ErrorKind::InvalidInput, Stage::Spec, None)
        );
        assert!(error.to_string().starts_with(text), "{error}");
    }
}

#[test]
fn limits_of_zero_are_refused() {
    let Some(fixture) = fixture() else { return };
    let none = "leave the key out for no limit";
    assert_eq!(
        refused(&fixture, |spec| spec.limits.memory = Some(0)),
        invalid(Stage::Spec, &format!("spec: limits.memory: expected at least 1, found 0; {none}"))
    );
    assert_eq!(
        refused(&fixture, |spec| spec.limits.pids = Some(0)),
        invalid(
            Stage::Spec,
            "spec: limits.pids: expected 1 to 4194304, found 0; \"unlimited\" lifts the limit"
        )
    );
    assert_eq!(
        refused(&fixture, |spec| spec.limits.cpus = Some(0.0)),
        invalid(Stage::Spec, "spec: limits.cpus: expected 0.01 to 8192, found 0")
    );
    assert_eq!(
        refused(&fixture, |spec| spec.limits.wall_time = Some(std::time::Duration::ZERO)),
        invalid(
            Stage::Spec,
            &format!("spec: limits.wall_time: expected more than 0 seconds; {none}")
        )
    );
    assert_eq!(
        refused(&fixture, |spec| spec.limits.output = Some(0)),
        invalid(Stage::Spec, &format!("spec: limits.output: expected at least 1, found 0; {none}"))
    );
}

#[test]
fn memory_too_small_for_any_program_says_so() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let (kind, stage, _, text) = refused(&fixture, |spec| spec.limits.memory = Some(4096));
    assert_eq!((kind, stage), (ErrorKind::SetupFailed, Stage::Launch));
    assert!(text.starts_with("launch: pid 1 was killed before the program was executed"), "{text}");
}

#[test]
fn no_command_is_refused() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(
        refused(&fixture, |spec| spec.args.clear()),
        invalid(
            Stage::Process,
            "process: no command: the image has no Entrypoint or Cmd and args is empty"
        )
    );
}

#[test]
fn missing_root_and_sources_are_named() {
    let Some(fixture) = fixture() else { return };
    let enoent = Some(libc::ENOENT);
    assert_eq!(
        refused(&fixture, |spec| spec.rootfs = Some("/no/such/root".into())),
        (
            ErrorKind::NotFound,
            Stage::Rootfs,
            enoent,
            "rootfs: rootfs: realpath(\"/no/such/root\"): ENOENT (No such file or directory)"
                .into()
        )
    );
    assert_eq!(
        refused(&fixture, |spec| spec.rootfs = Some("/etc/passwd".into())),
        invalid(Stage::Rootfs, "rootfs: rootfs: \"/etc/passwd\" is no directory")
    );
    assert_eq!(
        refused(&fixture, |spec| spec.mounts.push(Mount::bind("/no/such", "/a"))),
        (
            ErrorKind::NotFound,
            Stage::Filesystem,
            enoent,
            "filesystem: mounts[1].source: stat(\"/no/such\"): ENOENT (No such file or directory)"
                .into()
        )
    );
    assert_eq!(
        refused(&fixture, |spec| spec.mounts.push(Mount::overlay("/etc/passwd", "/a"))),
        invalid(Stage::Filesystem, "filesystem: mounts[1].source: \"/etc/passwd\" is no directory")
    );
}

#[test]
fn missing_image_is_named() {
    let Some(fixture) = fixture() else { return };
    let (kind, stage, _, text) =
        refused(&fixture, |spec| spec.image = Some("no/such:image".into()));
    assert_eq!((kind, stage), (ErrorKind::NotFound, Stage::Image));
    assert!(text.contains("no/such:image"), "{text}");
}

#[test]
fn processors_that_are_not_there_are_refused() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let (kind, stage, errno, text) =
        refused(&fixture, |spec| spec.limits.cpuset = Some("8000".into()));
    assert_eq!((kind, stage, errno), (ErrorKind::InvalidInput, Stage::Cgroup, None));
    assert!(text.starts_with("cgroup: limits.cpuset \"8000\" has processors that "), "{text}");
}

#[test]
fn devices_that_are_none_are_refused() {
    let Some(fixture) = fixture() else { return };
    let limit = |device: &str| {
        let json = format!(
            r#"{{"args": ["x"], "limits": {{"io": {{"devices": [{{"device": "{device}", "read_bps": 1}}]}}}}}}"#
        );
        fixture.refusal(&RunSpec::from_json(json.as_bytes()).expect("document"))
    };
    assert_eq!(
        limit("/dev/null"),
        invalid(Stage::Cgroup, "cgroup: limits.io: \"/dev/null\" is no block device")
    );
    assert_eq!(
        limit("/dev/no-such-disk"),
        (
            ErrorKind::NotFound,
            Stage::Cgroup,
            Some(libc::ENOENT),
            "cgroup: stat(\"/dev/no-such-disk\"): ENOENT (No such file or directory)".into()
        )
    );
}

#[test]
fn network_that_does_not_exist_yet_is_refused() {
    let Some(fixture) = fixture() else { return };
    let (kind, stage, errno, text) = refused(&fixture, |spec| spec.network = Network::Nat);
    assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::Network, None));
    assert!(text.starts_with("network: network: nat is not supported"), "{text}");
}

#[test]
fn mount_onto_what_does_not_fit_is_an_error_of_the_kernel() {
    let Some(fixture) = fixture() else { return };
    // A directory on a file, and a path below a file.
    for target in ["/etc/passwd", "/etc/passwd/below"] {
        let (_, stage, errno, text) =
            refused(&fixture, |spec| spec.mounts.push(Mount::bind("/usr", target)));
        assert_eq!((stage, errno), (Stage::Filesystem, Some(libc::ENOTDIR)), "{text}");
        assert!(text.contains(target.trim_start_matches('/')), "{text}");
    }
}

#[test]
fn standard_input_cannot_be_the_log() {
    let Some(fixture) = fixture() else { return };
    let options = libctr::RunOptions { stdin: libctr::Stdio::Log, ..Default::default() };
    let error = fixture.runtime().run(&fixture.probe(&["uid"]), options).expect_err("log");
    let whole = (error.kind(), error.stage(), error.errno(), error.to_string());
    assert_eq!(whole, invalid(Stage::Exec, "exec: standard input cannot be the log"));
}

#[test]
fn container_that_does_not_exist_is_not_found() {
    let Some(fixture) = fixture() else { return };
    for name in ["nobody", "abc", "", "../x", "0123456789abcdef0123456789abcdef"] {
        let error = fixture.runtime().container(name).expect_err("nobody");
        assert_eq!((error.kind(), error.stage()), (ErrorKind::NotFound, Stage::State), "{name:?}");
        let name = name.rsplit('/').next().unwrap_or(name);
        assert_eq!(error.to_string(), format!("state: container {name:?} does not exist"));
    }
}
