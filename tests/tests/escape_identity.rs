//! Who the program is, when what says so is odd or large: users, groups, maps,
//! variables. It is exactly what was asked for, or the run is refused.
//!
//! Known from CVE-2021-43784, 2022-29162, 2026-30892.

use std::fs;

use libctr::spec::{IdMap, UserNamespace};
use libctr::{ErrorKind, Stage};
use libctr_tests::{as_root, fixture, lacks};

#[test]
fn user_is_exactly_what_was_written_or_refused() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let root = fixture.rootfs("root");
    fs::create_dir(root.join("etc")).expect("directory");
    fs::write(root.join("etc/passwd"), "root:x:0:0::/:\nann:x:7:8::/:\n0x1:x:9:9::/:\n")
        .expect("file");
    fs::write(root.join("etc/group"), "root:x:0:\nann:x:8:\nstaff:x:50:ann\n").expect("file");
    let who = |user: &str| {
        let mut spec = fixture.probe(&["uid", ",", "gid"]);
        spec.mounts.clear();
        spec.rootfs = Some(root.clone());
        spec.user = Some(user.into());
        spec
    };
    for (user, uid, gid) in [
        ("1", 1, 0),
        ("1:2", 1, 2),
        ("7", 7, 8),
        ("ann", 7, 8),
        ("ann:staff", 7, 50),
        ("ann:3", 7, 3),
        ("0x1", 9, 9),
        ("4294967294:4294967294", u32::MAX - 1, u32::MAX - 1),
    ] {
        let four =
            |id: u32| [id.to_string(), id.to_string(), id.to_string(), id.to_string()].join(" ");
        assert_eq!(fixture.answer(&who(user)), format!("{}\n{}", four(uid), four(gid)), "{user}");
    }
    for user in [
        "4294967295",
        "1:4294967295",
        "4294967296",
        "18446744073709551616",
        "18446744073709551617:0",
        "+1",
        "-1",
        " 1",
        "1 ",
        "0x2",
        "1:0x2",
        "nobody",
        "ann:nobody",
        "ann:ann:ann",
        "an",
        "ann\n",
    ] {
        let (kind, stage, _, text) = fixture.refusal(&who(user));
        let refused = matches!(kind, ErrorKind::InvalidInput | ErrorKind::NotFound);
        assert!(
            refused && matches!(stage, Stage::User | Stage::Spec | Stage::Process),
            "{user:?}: {text}"
        );
    }
}

#[test]
fn environment_of_a_mebibyte_arrives_whole() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["environment"]);
    let value = "v".repeat(64 * 1024);
    for number in 0..16 {
        spec.env.insert(format!("BIG_{number}"), Some(value.as_str().into()));
    }
    let answer = fixture.answer(&spec);
    for number in 0..16 {
        let wanted = format!("BIG_{number}={value}");
        assert!(answer.split('\0').any(|pair| pair == wanted), "BIG_{number}");
    }
}

#[test]
fn environment_that_no_program_can_have_is_refused() {
    let Some(fixture) = fixture() else { return };
    // One string over what execve(2) takes, and all together.
    let mut spec = fixture.probe(&["uid"]);
    spec.env.insert("BIG".into(), Some("v".repeat(MAX_STRING).into()));
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::InvalidInput, Stage::Process, None), "{text}");
    let mut spec = fixture.probe(&["uid"]);
    for number in 0..80 {
        spec.env.insert(format!("BIG_{number}"), Some("v".repeat(100 * 1024).into()));
    }
    let (_, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((stage, errno), (Stage::Exec, Some(libc::E2BIG)), "{text}");
}

/// MAX_ARG_STRLEN of linux/binfmts.h: 32 pages.
const MAX_STRING: usize = 32 * 4096;

#[test]
fn maps_of_many_ranges_are_exact_or_refused() {
    // Refused without them: `old_kernel::ids_of_a_map_are_refused_without_mount_setattr`.
    let there = !lacks("mount_setattr") && !lacks("fsopen");
    let Some(fixture) = fixture().filter(|_| there && as_root()) else { return };
    let maps = |count: u32| -> Vec<IdMap> {
        let map = |id| IdMap { container: id, host: 1000 + 2 * id, size: 1 };
        (0..count).map(map).collect()
    };
    let with = |count| {
        let mut spec = fixture.probe(&["read", "/proc/self/uid_map"]);
        spec.security.user_namespace =
            UserNamespace::Map { uid_maps: maps(count), gid_maps: maps(count) };
        spec
    };
    let found = fixture.answer(&with(340));
    let words: Vec<u32> =
        found.split_whitespace().map(|word| word.parse().expect("a number")).collect();
    let expected: Vec<u32> = (0..340).flat_map(|id| [id, 1000 + 2 * id, 1]).collect();
    assert_eq!(words, expected);
    // 64 KiB of text, and a mebibyte.
    for count in [341, 4096, 65_536] {
        let (kind, stage, errno, text) = fixture.refusal(&with(count));
        assert_eq!((kind, stage, errno), (ErrorKind::InvalidInput, Stage::Spec, None), "{text}");
    }
}

#[test]
fn groups_are_exact_or_refused() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let with = |count: u32| {
        let mut spec = fixture.probe(&["groups"]);
        spec.groups = (0..count).map(|id| (100_000 + id).to_string()).collect();
        spec
    };
    let found = fixture.answer(&with(1000));
    let expected: Vec<String> = (0..1000).map(|id| (100_000 + id).to_string()).collect();
    let numbers: Vec<&str> = found.split(' ').filter(|id| id.len() == 6).collect();
    assert_eq!(numbers, expected);
    for count in [65_536, 100_000] {
        let (kind, _, _, text) = fixture.refusal(&with(count));
        assert_eq!(kind, ErrorKind::InvalidInput, "{text}");
    }
}
