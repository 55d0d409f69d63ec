//! Rules, where they are set, and what it means that they cannot be.

use std::fs;

use nix::errno::Errno;

use super::{DEFAULT, DeviceAccess, DeviceFilter, DeviceKind, DeviceRule, Filtered, Wall};
use crate::error::{ErrorKind, Stage};

fn rule(minor: u32, read: bool, write: bool) -> DeviceRule {
    DeviceRule {
        kind: DeviceKind::Character,
        major: Some(1),
        minor: Some(minor),
        access: DeviceAccess::new(read, write, false),
    }
}

/// Where the kernel takes no programs of this kind there is nothing to test.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(super) fn skip_without_programs(errno: Errno) {
    assert!(matches!(errno, Errno::EPERM | Errno::ENOSYS), "the kernel refuses it: {errno}");
    eprintln!("skipped: bpf(BPF_PROG_LOAD): {errno}");
}

#[test]
fn rules_are_written_as_the_kernel_reads_them() {
    let texts: Vec<String> = DEFAULT.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "c *:* m",
            "b *:* m",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:2 rwm",
            "c 136:* rwm"
        ]
    );
    assert_eq!(rule(11, true, false).to_string(), "c 1:11 r");
}

#[test]
fn rules_for_the_same_device_add_up() {
    let rules = vec![rule(3, true, false), rule(11, true, false), rule(11, false, true)];
    let all = DeviceFilter { rules, asked: None }.all();
    assert_eq!(all.len(), DEFAULT.len() + 1);
    let about: Vec<String> = all
        .iter()
        .map(ToString::to_string)
        .filter(|text| text.starts_with("c 1:3 ") || text.starts_with("c 1:11 "))
        .collect();
    assert_eq!(about, ["c 1:3 rwm", "c 1:11 rw"]);
}

#[test]
fn filter_that_cannot_be_set_is_an_error_only_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    // A directory that is no v2 group takes no program (EBADF or EINVAL), and
    // files that are directories cannot be written (EISDIR is no refusal).
    let wall = |asked: Option<&str>| Wall {
        place: Filtered::V2(dir.path().to_owned()),
        filter: DeviceFilter { rules: Vec::new(), asked: asked.map(Into::into) },
    };
    match wall(None).set() {
        Ok(set) => assert!(!set),
        Err(error) => assert_eq!(error.errno(), Some(Errno::EBADF as i32), "{error}"),
    }
    let error = wall(Some("devices[0].access (\"r\")")).set().unwrap_err();
    assert_eq!(error.stage(), Stage::Cgroup);
    assert!(error.message().contains("bpf(BPF_PROG_"), "{error}");

    fs::create_dir(dir.path().join("devices.deny")).unwrap();
    let v1 = Wall { place: Filtered::V1(dir.path().to_owned()), ..wall(None) };
    assert_eq!(v1.set().unwrap_err().errno(), Some(libc::EISDIR));
}

#[test]
fn refusals_say_what_is_missing() {
    let error = crate::Error::sys(Stage::Cgroup, "bpf(BPF_PROG_LOAD)", Errno::EPERM);
    assert!(super::is_refusal(&error));
    let refused = super::refuse("devices[0].access (\"r\")", &error);
    assert_eq!((refused.kind(), refused.errno()), (ErrorKind::Unsupported, Some(libc::EPERM)));
    assert_eq!(
        refused.message(),
        "devices[0].access (\"r\") cannot be enforced: bpf(BPF_PROG_LOAD)"
    );
    assert!(refused.hint().is_some_and(|hint| hint.contains("CAP_SYS_ADMIN")));
    for errno in [Errno::ENOMEM, Errno::EMFILE, Errno::EIO, Errno::EAGAIN] {
        assert!(!super::is_refusal(&crate::Error::sys(Stage::Cgroup, "bpf", errno)), "{errno}");
    }
}
