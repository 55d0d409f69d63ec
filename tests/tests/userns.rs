//! User namespaces that root asks for: other ids inside, nothing chowned
//! outside. What an ordinary user has is in `rootless.rs`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use libctr::image::{ImportOptions, Source};
use libctr::spec::{IdMap, Mount, RunSpec, UserNamespace, Writable};
use libctr::{ErrorKind, RootMount, Stage};
use libctr_tests::{Fixture, as_root, fixture, until};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

const HOST: u32 = 300_000;

fn map(ranges: &[(u32, u32, u32)]) -> UserNamespace {
    let maps: Vec<_> =
        ranges.iter().map(|&(container, host, size)| IdMap { container, host, size }).collect();
    UserNamespace::Map { uid_maps: maps.clone(), gid_maps: maps }
}

/// With the usual map: 65536 ids from `HOST` on.
fn mapped(mut spec: RunSpec) -> RunSpec {
    spec.security.user_namespace = map(&[(0, HOST, 65_536)]);
    spec
}

fn root_fixture() -> Option<Fixture> {
    fixture().filter(|_| as_root())
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A root with files of several owners.
fn root(fixture: &Fixture, name: &str) -> std::path::PathBuf {
    let root = fixture.rootfs(name);
    fs::set_permissions(&root, PermissionsExt::from_mode(0o755)).expect("mode");
    for (name, uid) in [("zero", 0), ("web", 33), ("high", 65_535), ("beyond", 70_000)] {
        fs::write(root.join(name), name).expect("file");
        chown(root.join(name), Some(uid), Some(uid)).expect("owner");
    }
    root
}

/// Name, owner and time of change of everything in a directory.
fn owners(directory: &Path) -> Vec<(String, u32, u32, i64, i64)> {
    let mut found = Vec::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let file = fs::symlink_metadata(&path).expect("metadata");
        if file.is_dir() {
            let entries = fs::read_dir(&path).expect("list");
            todo.extend(entries.map(|entry| entry.expect("entry").path()));
        }
        let name = path.display().to_string();
        found.push((name, file.uid(), file.gid(), file.ctime(), file.ctime_nsec()));
    }
    found.sort();
    found
}

const STATS: [&str; 11] =
    ["stat", "/zero", ",", "stat", "/web", ",", "stat", "/high", ",", "stat", "/beyond"];
const SHOWN: &str =
    "file 4 644 0 0\nfile 3 644 33 33\nfile 4 644 65535 65535\nfile 6 644 65534 65534";

#[test]
fn root_has_the_hosts_ids_unless_it_asks_for_others() {
    let Some(fixture) = root_fixture() else { return };
    let ask = |namespace| {
        let mut spec =
            fixture.probe(&["read", "/proc/self/uid_map", ",", "read", "/proc/self/gid_map"]);
        spec.security.user_namespace = namespace;
        fixture.answer(&spec).lines().map(words).collect::<Vec<_>>().join("; ")
    };
    let whole = "0 0 4294967295; 0 0 4294967295";
    assert_eq!(ask(UserNamespace::Auto), whole);
    assert_eq!(ask(UserNamespace::Host), whole);
    assert_eq!(ask(map(&[(0, HOST, 65_536)])), "0 300000 65536; 0 300000 65536");
    let two = ask(map(&[(0, HOST, 10), (10, 5, 1)]));
    assert_eq!(two, "0 300000 10; 10 5 1; 0 300000 10; 10 5 1");
}

#[test]
fn processes_have_the_maps_ids_outside() {
    let Some(fixture) = root_fixture() else { return };
    for (user, inside, outside) in [("0:0", "0", HOST), ("33:44", "33", HOST + 33)] {
        let mut spec = mapped(fixture.probe(&["uid", ",", "forever"]));
        spec.user = Some(user.into());
        let container = fixture.start(&spec);
        let mut out = fs::File::from(container.take_stream(1).expect("pipe"));
        let mut line = [0; 64];
        let length = std::io::Read::read(&mut out, &mut line).expect("answer");
        let expected = [inside; 4].join(" ") + "\n";
        assert_eq!(String::from_utf8_lossy(&line[..length]), expected);
        let pids = fs::read(container.directory().join("status.json")).expect("status.json");
        let pids: serde_json::Value = serde_json::from_slice(&pids).expect("JSON");
        let owner =
            fs::read_to_string(format!("/proc/{}/status", pids["program"])).expect("status");
        let owner = owner.lines().find_map(|line| line.strip_prefix("Uid:")).expect("ids");
        assert_eq!(words(owner), [outside.to_string().as_str(); 4].join(" "));
        drop(container.stop(std::time::Duration::ZERO));
    }
}

#[test]
fn id_that_is_not_mapped_is_refused_with_what_would_map_it() {
    let Some(fixture) = root_fixture() else { return };
    let mut spec = fixture.probe(&["uid", ",", "gid"]);
    spec.security.user_namespace = map(&[(0, HOST, 10)]);
    for (user, what) in [("10:0", "user 10"), ("0:10", "group 10")] {
        spec.user = Some(user.into());
        let (kind, stage, errno, text) = fixture.refusal(&spec);
        assert_eq!((kind, stage, errno), (ErrorKind::InvalidInput, Stage::User, None));
        assert_eq!(
            text,
            format!(
                "user: {what} is not mapped into the container's user namespace; \
                 add a range with it to security.user_namespace"
            )
        );
    }
    spec.user = Some("9:9".into());
    assert_eq!(fixture.answer(&spec), "9 9 9 9\n9 9 9 9");
}

#[test]
fn directory_keeps_its_owners_inside_and_is_not_chowned() {
    let Some(fixture) = root_fixture() else { return };
    let root = root(&fixture, "root");
    let before = owners(&root);
    for writable in [Writable::Memory, Writable::Disk] {
        let changes =
            [&STATS[..], &[",", "write", "/zero", "+", ",", "write", "/new", "x"]].concat();
        let mut spec = mapped(fixture.probe(&[&changes[..], &[",", "stat", "/new"]].concat()));
        (spec.rootfs, spec.writable, spec.mounts) =
            (Some(root.clone()), Some(writable), Vec::new());
        assert_eq!(fixture.answer(&spec), format!("{SHOWN}\nfile 1 644 0 0"), "{writable:?}");
        assert_eq!(owners(&root), before, "{writable:?}");
    }
}

#[test]
fn image_keeps_its_owners_inside_and_its_layers_are_shared() {
    let Some(fixture) = root_fixture() else { return };
    let images = fixture.runtime().images().expect("store");
    let source = Source::Path(root(&fixture, "root"));
    images.import(source, Some("owned"), &ImportOptions::default()).expect("import");
    let layers = fixture.path().join("data/layers");
    let before = owners(&layers);
    let mut spec = fixture.probe(&STATS);
    (spec.image, spec.mounts) = (Some("owned".into()), Vec::new());
    let whole = SHOWN.replace("65534 65534", "70000 70000");
    assert_eq!(fixture.answer(&spec), whole);
    for host in [HOST, 500_000] {
        spec.security.user_namespace = map(&[(0, host, 65_536)]);
        assert_eq!(fixture.answer(&spec), SHOWN);
        assert_eq!(owners(&layers), before);
    }
}

#[test]
fn kept_upper_layer_has_the_maps_owners_and_goes_with_the_container() {
    let Some(fixture) = root_fixture() else { return };
    let mut spec = mapped(fixture.probe(&["write", "/file", "x", ",", "mkdir", "/closed"]));
    (spec.rootfs, spec.mounts) = (Some(root(&fixture, "root")), Vec::new());
    (spec.remove, spec.writable) = (Some(false), Some(Writable::Disk));
    let container = fixture.start(&spec);
    assert!(container.wait(None).expect("wait").is_some_and(|exit| exit.success()));
    let upper = fixture.path().join("data/upper").join(container.id()).join("fs");
    let file = fs::metadata(upper.join("file")).expect("file");
    assert_eq!((file.uid(), file.gid()), (HOST, HOST));
    assert_eq!(container.info().expect("info").root, RootMount::Overlay);
    container.remove(false).expect("remove");
    assert!(!upper.exists());
}

#[test]
fn binds_show_the_owners_shifted_and_writes_are_shifted_back() {
    let Some(fixture) = root_fixture() else { return };
    let source = fixture.directory("source");
    fs::write(source.join("mine"), "x").expect("file");
    fs::write(source.join("web"), "x").expect("file");
    chown(source.join("web"), Some(33), Some(33)).expect("owner");
    fs::write(source.join("closed"), "secret").expect("file");
    chown(source.join("closed"), Some(70_000), Some(70_000)).expect("owner");
    fs::set_permissions(source.join("closed"), PermissionsExt::from_mode(0o600)).expect("mode");
    let before = owners(&source);
    let words = [
        "stat",
        "/b/mine",
        ",",
        "stat",
        "/b/web",
        ",",
        "read",
        "/b/closed",
        ",",
        "write",
        "/b/new",
        "x",
        ",",
        "stat",
        "/b/new",
    ];
    let mut spec = mapped(fixture.probe(&words));
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&source, "/b") });
    let expected = "file 1 644 0 0\nfile 1 644 33 33\nerror 13\nfile 1 644 0 0";
    assert_eq!(fixture.answer(&spec), expected);
    let new = fs::metadata(source.join("new")).expect("file");
    assert_eq!((new.uid(), new.gid()), (0, 0));
    fs::remove_file(source.join("new")).expect("file");
    let files = |owners: Vec<(String, u32, u32, i64, i64)>| owners[1..].to_vec();
    assert_eq!(files(owners(&source)), files(before));
}

#[test]
fn root_that_cannot_be_shown_with_other_ids_is_copied_with_them() {
    let Some(fixture) = root_fixture() else { return };
    // Overlays have no idmapped mounts of their own.
    let place = fixture.directory("place");
    let none: Option<&str> = None;
    mount(Some("libctr-small"), &place, Some("tmpfs"), MsFlags::empty(), none).expect("mount");
    for name in ["upper", "work", "merged"] {
        fs::create_dir(place.join(name)).expect("directory");
    }
    let lower = root(&fixture, "root");
    let merged = place.join("merged");
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.display(),
        place.join("upper").display(),
        place.join("work").display()
    );
    mount(Some("libctr-small"), &merged, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .expect("mount");
    let mut spec = mapped(fixture.probe(&[&STATS[..], &[",", "line"]].concat()));
    (spec.rootfs, spec.mounts) = (Some(merged.clone()), Vec::new());
    let tried = fixture.try_start(&spec).map(|container| {
        let root = container.info().expect("info").root;
        let copy = fixture.path().join("data/upper").join(container.id()).join("root");
        until("it is there", || copy.join("web").exists());
        let owner = fs::metadata(copy.join("web")).expect("file").uid();
        drop(container.take_stream(0));
        (root, owner, container.output(b"", &spec.limits).expect("output"))
    });
    umount2(&merged, MntFlags::MNT_DETACH).expect("umount");
    umount2(&place, MntFlags::MNT_DETACH).expect("umount");
    let (root, owner, output) = tried.expect("a run");
    assert_eq!((root, owner), (RootMount::Copy, HOST + 33));
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{SHOWN}\n"));
}

#[test]
fn zero_mapped_to_zero_is_still_no_root_of_the_machine() {
    let Some(fixture) = root_fixture() else { return };
    let ask = |namespace: UserNamespace, words: &[&str]| {
        let mut spec = fixture.probe(words);
        spec.security.user_namespace = namespace;
        spec.security.capabilities.add = vec!["ALL".into()];
        fixture.answer(&spec)
    };
    let identity = || map(&[(0, 0, 65_536)]);
    for path in ["/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness", "/proc/sysrq-trigger"] {
        if !Path::new(path).exists() {
            continue;
        }
        let answer = ask(identity(), &["write", path, "1"]);
        assert!(matches!(answer.as_str(), "error 13" | "error 30"), "{path}: {answer}");
    }
    // What only the machine's root may: nodes, clocks, other namespaces.
    assert_eq!(ask(identity(), &["mknod", "/x", "c", "1", "11"]), "error 1");
    let namespaces = ask(identity(), &["namespaces"]);
    let own = fs::read_link("/proc/self/ns/user").expect("namespace");
    assert!(!namespaces.contains(&*own.to_string_lossy()), "{namespaces}");
    assert!(ask(UserNamespace::Host, &["namespaces"]).contains(&*own.to_string_lossy()));
}

#[test]
fn document_shows_the_namespace_and_the_maps() {
    let Some(fixture) = root_fixture() else { return };
    let container = fixture.start(&mapped(fixture.probe(&["forever"])));
    let config = container.info().expect("info").config.expect("a document");
    let expected = serde_json::json!([{"containerID": 0, "hostID": HOST, "size": 65_536}]);
    for key in ["uidMappings", "gidMappings"] {
        assert_eq!(config["linux"][key], expected, "{key}");
    }
    let kinds = config["linux"]["namespaces"].to_string();
    assert!(kinds.contains("{\"type\":\"user\"}"), "{kinds}");
    drop(container.stop(std::time::Duration::ZERO));
}

#[test]
fn files_of_a_container_are_closed_to_other_users_of_the_host() {
    let Some(fixture) = root_fixture() else { return };
    let container = fixture.start(&mapped(fixture.probe(&["forever"])));
    let pid = container.info().expect("info").pid.expect("pid");
    let link = format!("/proc/{pid}/root/etc/passwd");
    assert!(fs::read(&link).is_ok(), "root may");
    let status = std::process::Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "cat", &link])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .status()
        .expect("setpriv");
    assert!(!status.success(), "nobody may not");
    drop(container.stop(std::time::Duration::ZERO));
}
