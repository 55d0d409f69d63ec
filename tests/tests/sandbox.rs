//! Step `rootfs`: what the container's root is made of, and that what lies
//! below never changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use libctr::spec::{Mount, RunSpec, Writable};
use libctr::{ErrorKind, Stage};
use libctr_tests::{Fixture, PATIENCE, as_root, fixture, images};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

/// Everything below a directory: mode, owner, time of change, contents.
fn tree(directory: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let metadata = fs::symlink_metadata(&path).expect("metadata");
        let contents = match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => {
                todo.extend(
                    fs::read_dir(&path).expect("list").map(|entry| entry.expect("entry").path()),
                );
                String::new()
            }
            (_, true) => format!(
                "{} {:?}",
                metadata.len(),
                fs::read(&path).expect("file").first_chunk::<64>()
            ),
            _ => format!("{:?}", fs::read_link(&path)),
        };
        let name = path.display().to_string();
        let times =
            (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec());
        let owner = (metadata.mode(), metadata.uid(), metadata.gid());
        found.insert(name, format!("{owner:?} {times:?} {contents}"));
    }
    found
}

/// A root with a few files.
fn root(fixture: &Fixture) -> std::path::PathBuf {
    let root = fixture.rootfs("root");
    fs::create_dir_all(root.join("data/deep")).expect("directory");
    fs::write(root.join("data/file"), "below").expect("file");
    fs::write(root.join("data/deep/other"), "other").expect("file");
    root
}

fn in_root(fixture: &Fixture, root: &Path, words: &[&str]) -> RunSpec {
    RunSpec { rootfs: Some(root.to_owned()), mounts: Vec::new(), ..fixture.probe(words) }
}

const CHANGES: [&str; 17] = [
    "write",
    "/data/file",
    "+",
    ",",
    "remove",
    "/data/deep/other",
    ",",
    "mkdir",
    "/data/new",
    ",",
    "write",
    "/data/new/x",
    "y",
    ",",
    "read",
    "/data/file",
    ",",
];

#[test]
fn lower_directory_never_changes() {
    let Some(fixture) = fixture() else { return };
    let root = root(&fixture);
    let before = tree(&root);
    for writable in [Writable::Memory, Writable::Disk] {
        let mut spec = in_root(&fixture, &root, &[&CHANGES[..], &["list", "/data"]].concat());
        spec.writable = Some(writable);
        assert_eq!(fixture.answer(&spec), "below+\ndeep\nfile\nnew", "{writable:?}");
        assert_eq!(tree(&root), before, "{writable:?}");
    }
}

#[test]
fn changes_of_one_container_are_not_seen_by_the_next() {
    let Some(fixture) = fixture() else { return };
    let root = root(&fixture);
    let words = ["write", "/data/file", "+", ",", "read", "/data/file"];
    for _ in 0..2 {
        assert_eq!(fixture.answer(&in_root(&fixture, &root, &words)), "below+");
    }
}

#[test]
fn kept_container_keeps_its_upper_layer_until_it_is_removed() {
    let Some(fixture) = fixture() else { return };
    let root = root(&fixture);
    let spec = RunSpec {
        remove: Some(false),
        writable: Some(Writable::Disk),
        ..in_root(&fixture, &root, &["write", "/data/file", "+"])
    };
    let container = fixture.start(&spec);
    assert!(container.wait(Some(PATIENCE)).expect("wait").expect("end").success());
    let upper = fixture.path().join("data/upper").join(container.id()).join("fs/data/file");
    assert_eq!(fs::read_to_string(&upper).expect("upper layer"), "below+");
    container.remove(false).expect("remove");
    assert!(!fixture.path().join("data/upper").join(container.id()).exists());
}

#[test]
fn read_only_root_refuses_every_change_but_not_mounts() {
    let Some(fixture) = fixture() else { return };
    let root = root(&fixture);
    let words = [
        "write",
        "/data/file",
        "x",
        ",",
        "mkdir",
        "/data/d",
        ",",
        "remove",
        "/data/file",
        ",",
        "write",
        "/free/x",
        "y",
        ",",
        "read",
        "/free/x",
        ",",
        "write",
        "/dev/shm/x",
        "z",
        ",",
        "read",
        "/dev/shm/x",
    ];
    let mut spec = in_root(&fixture, &root, &words);
    spec.read_only = true;
    spec.mounts.push(Mount::tmpfs("/free"));
    assert_eq!(fixture.answer(&spec), "error 30\nerror 30\nerror 30\ny\nz");
}

#[test]
fn binds_are_read_only_with_everything_below_unless_said() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    let source = fixture.directory("source");
    fs::create_dir(source.join("below")).expect("directory");
    let none: Option<&str> = None;
    mount(Some("libctr-small"), &source.join("below"), Some("tmpfs"), MsFlags::empty(), none)
        .expect("mount");
    fs::write(source.join("file"), "one").expect("file");
    fs::write(source.join("below/file"), "two").expect("file");
    let words = [
        "read",
        "/in/file",
        ",",
        "read",
        "/in/below/file",
        ",",
        "write",
        "/in/file",
        "+",
        ",",
        "write",
        "/in/below/file",
        "+",
        ",",
        "mkdir",
        "/in/below/d",
    ];
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount::bind(&source, "/in"));
    let read_only = fixture.answer(&spec);
    spec.mounts[1].read_only = Some(false);
    let writable = fixture.answer(&spec);
    let found = (
        fs::read_to_string(source.join("file")).expect("file"),
        fs::read_to_string(source.join("below/file")).expect("file"),
        source.join("below/d").is_dir(),
    );
    umount2(&source.join("below"), MntFlags::MNT_DETACH).expect("umount");
    assert_eq!(read_only, "one\ntwo\nerror 30\nerror 30\nerror 30");
    assert_eq!(writable, "one\ntwo");
    assert_eq!(found, ("one+".into(), "two+".into(), true));
}

#[test]
fn files_are_bound_and_their_targets_are_made() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.path().join("source");
    fs::write(&source, "text").expect("file");
    let words = ["read", "/a/b/c", ",", "write", "/a/b/c", "x", ",", "stat", "/a/b"];
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount::bind(&source, "/a/b/c"));
    assert_eq!(fixture.answer(&spec), "text\nerror 30\ndirectory 755 0 0");
    spec.mounts[1].read_only = Some(false);
    assert_eq!(fixture.answer(&spec), "text\ndirectory 755 0 0");
    assert_eq!(fs::read_to_string(&source).expect("file"), "textx");
}

#[test]
fn tmpfs_has_its_size_and_mode() {
    let Some(fixture) = fixture() else { return };
    let words = ["stat", "/t", ",", "list", "/t", ",", "fill", "/t/file"];
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount { size: Some(64 << 10), mode: Some(0o2750), ..Mount::tmpfs("/t") });
    assert_eq!(fixture.answer(&spec), "directory 2750 0 0\n\n64\nerror 28");
    spec.args.truncate(3);
    spec.mounts[1] = Mount::tmpfs("/t");
    assert_eq!(fixture.answer(&spec), "directory 1777 0 0");
}

#[test]
fn overlay_shows_a_folder_and_leaves_it_alone() {
    let Some(fixture) = fixture() else { return };
    let source = root(&fixture).join("data");
    fs::set_permissions(&source, fs::Permissions::from_mode(0o711)).expect("mode");
    let before = tree(&source);
    let mut words = CHANGES.map(|word| word.replace("/data", "/view")).to_vec();
    words.extend(["list", "/view", ",", "stat", "/view"].map(Into::into));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut spec = fixture.probe(&words);
    spec.mounts.push(Mount::overlay(&source, "/view"));
    assert_eq!(fixture.answer(&spec), "below+\ndeep\nfile\nnew\ndirectory 711 0 0");
    assert_eq!(tree(&source), before);
    spec.mounts[1].read_only = Some(true);
    spec.args =
        ["/probe", "write", "/view/x", "y", ",", "read", "/view/file"].map(Into::into).to_vec();
    assert_eq!(fixture.answer(&spec), "error 30\nbelow");
}

#[test]
fn mounts_are_made_in_their_order() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["list", "/m", ",", "list", "/m/inner"]);
    spec.mounts.push(Mount::tmpfs("/m"));
    spec.mounts.push(Mount::tmpfs("/m/inner"));
    assert_eq!(fixture.answer(&spec), "inner\n");
    spec.mounts.swap(1, 2);
    assert_eq!(fixture.answer(&spec), "\nerror 2");
}

#[test]
fn targets_through_links_stay_inside_the_root() {
    let Some(fixture) = fixture() else { return };
    let root = root(&fixture);
    let outside = fixture.directory("outside");
    let source = fixture.path().join("source");
    fs::write(&source, "text").expect("file");
    symlink(&outside, root.join("absolute")).expect("link");
    symlink("../../../../../../..", root.join("data/up")).expect("link");
    let above = format!("/data/up{}/file", outside.display());
    for target in ["/absolute/file", "/absolute/a/b/file", above.as_str()] {
        let mut spec = in_root(&fixture, &root, &["read", target]);
        spec.mounts.push(Mount::bind(&source, target));
        // Where a link leads to nothing inside, the mount is refused.
        match fixture.try_start(&spec) {
            Ok(container) => {
                let output = container.output(b"", &spec.limits).expect("output");
                assert_eq!(output.stdout, b"text\n", "{target}");
            }
            Err(error) => assert_eq!(error.stage(), Stage::Filesystem, "{target}: {error}"),
        }
        assert_eq!(fs::read_dir(&outside).expect("directory").count(), 0, "{target}");
    }
}

#[test]
fn kernel_file_systems_are_not_led_astray_by_an_image() {
    let Some(fixture) = fixture() else { return };
    for name in ["proc", "sys", "dev"] {
        let root = fixture.rootfs(name);
        fs::create_dir(root.join("elsewhere")).expect("directory");
        symlink("/elsewhere", root.join(name)).expect("link");
        let (_, stage, errno, text) = fixture.refusal(&in_root(&fixture, &root, &["uid"]));
        assert_eq!((stage, errno), (Stage::Filesystem, Some(libc::ENOTDIR)), "{text}");
        assert!(text.contains(&format!("\"{name}\"")), "{text}");
    }
}

#[test]
fn files_of_the_container_replace_links_of_an_image() {
    let Some(fixture) = fixture() else { return };
    let root = root(&fixture);
    let victim = fixture.path().join("victim");
    fs::write(&victim, "mine").expect("file");
    fs::create_dir(root.join("etc")).expect("directory");
    for name in ["hosts", "hostname", "resolv.conf"] {
        symlink(&victim, root.join("etc").join(name)).expect("link");
    }
    let mut spec = in_root(&fixture, &root, &["read", "/etc/hostname"]);
    spec.hostname = Some("box".into());
    assert_eq!(fixture.answer(&spec), "box");
    assert_eq!(fs::read_to_string(&victim).expect("file"), "mine");
}

#[test]
fn full_upper_layer_in_memory_is_bounded_by_the_memory_limit() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["fill", "/file"]);
    spec.limits.memory = Some(32 << 20);
    let exit = fixture.run(&spec).exit;
    // Files in memory cannot be freed: so the disk is full before the writer
    // is killed.
    assert!(exit.success(), "{exit:?}");
}

#[test]
fn image_is_a_root_with_its_own_command() {
    let (Some(fixture), Some(images)) = (fixture(), images()) else { return };
    let store = fixture.runtime().images().expect("store");
    let layout = images.join("busybox-oci");
    let source = libctr::image::Source::Path(layout);
    let loaded = store.load(source, &libctr::image::LoadOptions::default()).expect("load");
    let image = loaded[0].names[0].clone();
    let mut spec = RunSpec { image: Some(image), ..RunSpec::default() };
    let (name, mark) = fixture.mark();
    spec.env.insert(name, Some(mark.as_str().into()));
    spec.args = ["sh", "-c", "id -u; touch /new && echo made"].map(Into::into).to_vec();
    let before: Vec<_> = tree(&fixture.path().join("data/layers")).into_iter().collect();
    assert_eq!(fixture.answer(&spec), "0\nmade");
    let after: Vec<_> = tree(&fixture.path().join("data/layers")).into_iter().collect();
    assert_eq!(before, after);
    spec.args = vec!["/no/such".into()];
    assert_eq!(fixture.refusal(&spec).0, ErrorKind::ProgramNotFound);
}
