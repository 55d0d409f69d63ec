//! What an ordinary user has: ids of his own, images with their owners, and
//! clear words about the rest. Everything else that he can do is tested by the
//! other files, which run as him too (`make test-user`); user namespaces that
//! root asks for are in `userns.rs`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use libctr::spec::{IdMap, Mount, RunSpec, UserNamespace, Writable};
use libctr::{Container, ErrorKind, RunOptions, Stage, Status, Stdio};
use libctr_tests::{Fixture, below, own_ids, subordinate, until, user_fixture};

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

const MAPS: [&str; 8] = [
    "read",
    "/proc/self/uid_map",
    ",",
    "read",
    "/proc/self/gid_map",
    ",",
    "read",
    "/proc/self/setgroups",
];

#[test]
fn root_inside_is_the_user_and_others_are_his_subordinate_ids() {
    let Some(fixture) = user_fixture() else { return };
    let [uid, gid] = own_ids();
    let answer = fixture.ask(&MAPS);
    let lines: Vec<String> = answer.lines().map(words).collect();
    match subordinate() {
        Some([(uids, count), (gids, _)]) => {
            let expected = [
                format!("0 {uid} 1"),
                format!("1 {uids} {count}"),
                format!("0 {gid} 1"),
                format!("1 {gids} {count}"),
                "allow".into(),
            ];
            assert_eq!(lines, expected);
        }
        None => assert_eq!(lines, [format!("0 {uid} 1"), format!("0 {gid} 1"), "deny".into()]),
    }
}

#[test]
fn other_user_is_another_id_or_without_ids_the_user_himself() {
    let Some(fixture) = user_fixture() else { return };
    let [uid, _] = own_ids();
    let mut spec = fixture.probe(&["uid", ",", "gid", ",", "line"]);
    spec.user = Some("33:44".into());
    let container = fixture.start(&spec);
    let pids = fs::read(container.directory().join("status.json")).expect("status.json");
    let pids: serde_json::Value = serde_json::from_slice(&pids).expect("JSON");
    let owner = || {
        let status = fs::read_to_string(format!("/proc/{}/status", pids["program"]));
        let status = status.unwrap_or_default();
        status.lines().find_map(|line| line.strip_prefix("Uid:").map(words)).unwrap_or_default()
    };
    let expected = subordinate().map_or(uid, |[(first, _), _]| first + 32);
    until("the program has its ids", || owner() == [expected.to_string().as_str(); 4].join(" "));
    let output = container.output(b"\n", &spec.limits).expect("output");
    assert_eq!(output.stdout, b"33 33 33 33\n44 44 44 44\n");
}

#[test]
fn id_beyond_the_maps_is_refused_with_what_would_map_it() {
    let Some(fixture) = user_fixture().filter(|_| subordinate().is_some()) else { return };
    let mut spec = fixture.probe(&["uid"]);
    spec.user = Some("70000:0".into());
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::InvalidInput, Stage::User, None));
    let message = "user: user 70000 is not mapped into the container's user namespace; ";
    assert!(text.starts_with(message) && text.contains("usermod --add-subuids"), "{text}");
    spec.user = Some("65536:65536".into());
    assert_eq!(fixture.answer(&spec), ["65536"; 4].join(" "));
}

#[test]
fn groups_are_given_where_there_are_any() {
    let Some(fixture) = user_fixture() else { return };
    let mut spec = fixture.probe(&["groups"]);
    // Without subordinate ids those of the caller cannot be given up.
    let found = fixture.answer(&spec);
    let may_stay = |group| group == "0" || (subordinate().is_none() && group == "65534");
    assert!(found.split_whitespace().all(may_stay), "{found}");
    spec.groups = vec!["7".into(), "44".into()];
    if subordinate().is_some() {
        assert_eq!(words(&fixture.answer(&spec)), "0 7 44");
        return;
    }
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::User, None));
    let message = "user: groups: without subordinate ids a container has one group only; ";
    assert!(text.starts_with(message) && text.contains("--add-subgids"), "{text}");
}

#[test]
fn namespace_of_the_host_is_denied() {
    let Some(fixture) = user_fixture() else { return };
    let mut spec = fixture.probe(&["uid"]);
    spec.security.user_namespace = UserNamespace::Host;
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::Denied, Stage::User, None));
    assert_eq!(
        text,
        "user: security.user_namespace: \"host\" needs root with CAP_SYS_ADMIN; \
         leave it at \"auto\", or run as root"
    );
}

#[test]
fn maps_of_ones_own_ids_are_granted_and_others_are_not() {
    let Some(fixture) = user_fixture() else { return };
    let mut spec = fixture.probe(&MAPS[..5]);
    let mut ask = |uids: &[(u32, u32, u32)], gids: &[(u32, u32, u32)]| {
        let maps = |maps: &[(u32, u32, u32)]| {
            maps.iter().map(|&(container, host, size)| IdMap { container, host, size }).collect()
        };
        spec.security.user_namespace =
            UserNamespace::Map { uid_maps: maps(uids), gid_maps: maps(gids) };
        match fixture.try_start(&spec) {
            Ok(container) => {
                let output = container.output(b"", &spec.limits).expect("output");
                Ok(words(&String::from_utf8_lossy(&output.stdout)))
            }
            Err(error) => Err((error.kind(), error.stage(), error.errno(), error.to_string())),
        }
    };
    let [uid, gid] = own_ids();
    assert_eq!(ask(&[(0, uid, 1)], &[(0, gid, 1)]), Ok(format!("0 {uid} 1 0 {gid} 1")));
    if let Some([(uids, _), (gids, _)]) = subordinate() {
        let (uids, gids) = (uids + 5, gids + 5);
        let found = ask(&[(0, uids, 10), (10, uid, 1)], &[(0, gids, 10), (10, gid, 1)]);
        assert_eq!(found, Ok(format!("0 {uids} 10 10 {uid} 1 0 {gids} 10 10 {gid} 1")));
    }
    // The machine's root is nobody's.
    let found = ask(&[(0, uid, 1), (1, 0, 1)], &[(0, gid, 1), (1, 0, 1)]);
    let (kind, stage, errno, text) = found.expect_err("not his");
    assert_eq!((kind, stage, errno), (ErrorKind::Denied, Stage::User, Some(libc::EPERM)), "{text}");
    assert!(text.contains("newuidmap") && text.contains("/etc/subuid"), "{text}");
    // Nobody could reach the container's own files.
    let (kind, stage, _, text) = ask(&[(0, 0, 1)], &[(0, gid, 1)]).expect_err("not his");
    assert_eq!((kind, stage), (ErrorKind::InvalidInput, Stage::User));
    let message = "user: security.user_namespace: the maps do not have the caller's own user ";
    assert!(text.starts_with(message), "{text}");
}

/// A run of a shell in the host's root that keeps its upper layer on disk.
fn keeping(fixture: &Fixture, script: &str) -> Container {
    let mut spec = fixture.probe(&[]);
    spec.args = ["sh", "-c", script].map(Into::into).to_vec();
    (spec.remove, spec.writable) = (Some(false), Some(Writable::Disk));
    let container = fixture.start(&spec);
    let exit = container.wait(None).expect("wait").expect("end");
    assert!(exit.success(), "{exit:?}");
    container
}

#[test]
fn upper_layer_is_of_subordinate_ids_and_goes_however_closed_it_is() {
    let Some(fixture) = user_fixture() else { return };
    let chown = if subordinate().is_some() { "chown -R 33:44 /libctr-a &&" } else { "" };
    let script = format!(
        "mkdir -p /libctr-a/b/c && echo x >/libctr-a/b/c/d && chmod 0 /libctr-a/b/c && {chown} \
         chmod 000 /libctr-a/b && chmod 4711 /libctr-a"
    );
    // Thrown away: the fixture looks whether anything is left.
    let container = keeping(&fixture, &script);
    let upper = fixture.path().join("data/upper").join(container.id());
    let made =
        below(&upper).into_iter().find(|path| path.ends_with("libctr-a")).expect("a directory");
    let found = fs::metadata(&made).expect("metadata");
    let [uid, gid] = own_ids();
    let expected = match subordinate() {
        Some([(uids, _), (gids, _)]) => (uids + 32, gids + 43),
        None => (uid, gid),
    };
    assert_eq!((found.uid(), found.gid()), expected);
    assert_eq!(fs::metadata(made.join("b")).expect("metadata").mode() & 0o7777, 0);
    container.remove(false).expect("remove");
    assert!(!upper.exists());

    let mut spec = fixture.probe(&[]);
    spec.args = ["sh", "-c", &script].map(Into::into).to_vec();
    spec.writable = Some(Writable::Disk);
    assert!(fixture.run(&spec).exit.success());
}

#[test]
fn own_files_are_roots_inside_and_those_of_others_stay_closed() {
    let Some(fixture) = user_fixture() else { return };
    let source = fixture.directory("source");
    fs::write(source.join("mine"), "x").expect("file");
    fs::set_permissions(source.join("mine"), PermissionsExt::from_mode(0o600)).expect("mode");
    let words = [
        "stat", "/b/mine", ",", "read", "/b/mine", ",", "write", "/b/new", "y", ",", "stat",
        "/shadow", ",", "read", "/shadow",
    ];
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&source, "/b") });
    spec.mounts.push(Mount::bind("/etc/shadow", "/shadow"));
    spec.security.capabilities.add = vec!["ALL".into()];
    let answer = fixture.answer(&spec);
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(lines[..2], ["file 1 600 0 0", "x"]);
    assert!(lines[2].starts_with("file ") && lines[2].ends_with(" 65534 65534"), "{answer}");
    assert_eq!(lines[3], "error 13");
    let new = fs::metadata(source.join("new")).expect("file");
    assert_eq!([new.uid(), new.gid()], own_ids());
}

#[test]
fn directory_of_the_user_is_a_root_of_roots() {
    let Some(fixture) = user_fixture() else { return };
    let root = fixture.rootfs("root");
    fs::write(root.join("file"), "x").expect("file");
    let words = ["stat", "/file", ",", "write", "/file", "+", ",", "read", "/file"];
    let mut spec =
        RunSpec { rootfs: Some(root.clone()), mounts: Vec::new(), ..fixture.probe(&words) };
    assert_eq!(fixture.answer(&spec), "file 1 644 0 0\nx+");
    spec.writable = Some(Writable::Disk);
    assert_eq!(fixture.answer(&spec), "file 1 644 0 0\nx+");
    assert_eq!(fs::read_to_string(root.join("file")).expect("file"), "x");
}

#[test]
fn settings_of_the_machine_are_closed() {
    let Some(fixture) = user_fixture() else { return };
    for path in ["/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness", "/proc/sysrq-trigger"] {
        if Path::new(path).exists() {
            let answer = fixture.ask(&["write", path, "1"]);
            assert!(matches!(answer.as_str(), "error 13" | "error 30"), "{path}: {answer}");
        }
    }
    assert_eq!(fixture.ask(&["mknod", "/tmp/x", "c", "1", "3"]), "error 1");
}

#[test]
fn without_groups_what_needs_them_says_so_and_the_rest_works() {
    let Some(fixture) = user_fixture() else { return };
    let options = RunOptions { stdout: Stdio::Log, ..RunOptions::default() };
    let mut spec = fixture.probe(&["say", "here", ",", "forever"]);
    (spec.detach, spec.remove, spec.name) = (true, Some(false), Some("left".into()));
    let container = fixture.runtime().run(&spec, options).expect("start");
    let groups = container.info().expect("info").groups;
    if groups.v2.is_some() || !groups.v1.is_empty() {
        drop(container.stop(Duration::ZERO));
        return container.remove(true).expect("remove");
    }
    let other = fixture.reopen().container("left").expect("open");
    assert_eq!(other.info().expect("info").status, Status::Running);
    for (what, error) in [
        ("pause", other.pause().expect_err("pause")),
        ("unpause", other.unpause().expect_err("unpause")),
    ] {
        assert_eq!(
            (error.kind(), error.stage()),
            (ErrorKind::Unsupported, Stage::Cgroup),
            "{what}"
        );
        assert_eq!(error.message(), "the container has no cgroup");
        assert!(error.hint().is_some_and(|hint| hint.contains("Delegate=yes")), "{what}: {error}");
    }
    let log = container.directory().join("log");
    until("the line is in the log", || fs::metadata(&log).is_ok_and(|file| file.len() > 0));
    other.kill(15).expect("kill");
    let exit = container.wait(None).expect("wait").expect("end");
    assert_eq!(exit.signal, Some(15));
    other.remove(false).expect("remove");

    let mut spec = fixture.probe(&["forever"]);
    spec.limits.cpu_time = Some(Duration::from_secs(1));
    let (kind, stage, _, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage), (ErrorKind::Denied, Stage::Cgroup));
    assert!(text.starts_with("cgroup: limits.cpu_time cannot be enforced: access("), "{text}");
}
