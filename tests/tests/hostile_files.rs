//! Containers whose root is hostile: account files that hang or point out,
//! links where mounts go, working directories that climb.

mod hostile_support;

use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use hostile_support::{Layout, Tar, digest};
use libctr::image::{LoadOptions, Source};
use libctr::spec::{Mount, RunSpec};
use libctr::{ErrorKind, Stage};
use libctr_tests::{Fixture, fixture, probe_path};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::mkfifo;
use serde_json::json;

/// A root with the probe and `etc`, and a run of the probe in it.
fn root(fixture: &Fixture, name: &str) -> (std::path::PathBuf, RunSpec) {
    let root = fixture.rootfs(name);
    std::fs::create_dir(root.join("etc")).expect("directory");
    let spec = RunSpec {
        rootfs: Some(root.clone()),
        args: vec!["/probe".into(), "uid".into()],
        ..RunSpec::default()
    };
    (root, spec)
}

type Damage = fn(&Path, &Path);

/// What may stand in the place of an account file, and what is said of it.
const DAMAGE: [(&str, Damage, &str); 6] = [
    ("FIFO", |path, _| mkfifo(path, Mode::S_IRWXU).expect("fifo"), "is a FIFO"),
    (
        "device",
        |path, _| {
            let zero = makedev(1, 5);
            mknod(path, SFlag::S_IFCHR, Mode::S_IRUSR, zero).expect("device");
        },
        "is a device",
    ),
    ("link out", |path, outside| symlink(outside.join("passwd"), path).expect("link"), "no "),
    (
        "link up and out",
        |path, outside| {
            let up = "../".repeat(40) + outside.join("passwd").to_str().expect("path");
            symlink(up, path).expect("link");
        },
        "no ",
    ),
    ("loop", |path, _| symlink("passwd", path).expect("link"), ""),
    (
        "hole of a gibibyte",
        |path, _| std::fs::File::create(path).expect("file").set_len(1 << 30).expect("a hole"),
        "has more than 1048576 bytes",
    ),
];

#[test]
fn account_files_that_are_none_are_refused_at_once() {
    let Some(fixture) = fixture() else { return };
    let outside = fixture.directory("outside");
    std::fs::write(outside.join("passwd"), "app:x:0:0::/:\n").expect("file");
    for (file, user) in [("passwd", "app"), ("group", "0:app")] {
        for (n, (what, damage, text)) in DAMAGE.iter().enumerate() {
            let (root, mut spec) = root(&fixture, &format!("{file}{n}"));
            damage(&root.join("etc").join(file), &outside);
            spec.user = Some(user.to_owned());
            let begun = Instant::now();
            let (kind, stage, _, message) = fixture.refusal(&spec);
            assert!(begun.elapsed() < Duration::from_secs(5), "{what}: {:?}", begun.elapsed());
            assert_eq!(stage, Stage::User, "{what}: {message}");
            let kinds = [ErrorKind::InvalidInput, ErrorKind::NotFound];
            assert!(kinds.contains(&kind), "{what}: {kind:?}");
            assert!(message.contains(text), "{what}: {message}");
        }
    }
}

#[test]
fn number_as_user_needs_no_account_file() {
    let Some(fixture) = fixture() else { return };
    let (root, mut spec) = root(&fixture, "root");
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:\n").expect("file");
    spec.user = Some("1000:1000".to_owned());
    assert_eq!(fixture.answer(&spec), "1000 1000 1000 1000");
}

/// Everything in a directory, with times that any change would change.
fn snapshot(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .expect("names")
        .map(|entry| {
            let entry = entry.expect("name");
            let meta = entry.path().symlink_metadata().expect("metadata");
            format!("{:?} {:o} {} {}", entry.path(), meta.mode(), meta.ctime(), meta.ctime_nsec())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn links_where_mounts_go_lead_nowhere_outside() {
    let Some(fixture) = fixture() else { return };
    let outside = fixture.directory("outside");
    std::fs::write(outside.join("file"), "untouched").expect("file");
    let source = fixture.directory("source");
    let before = snapshot(&outside);
    let out = outside.to_str().expect("path");
    for (n, (link, to)) in [
        ("mnt", out.to_owned()),
        ("mnt", format!("{}{out}", "../".repeat(40))),
        ("dev", out.to_owned()),
        ("proc", out.to_owned()),
        ("sys", out.to_owned()),
        ("etc", out.to_owned()),
        ("tmp", "/proc/self/root/tmp".to_owned()),
    ]
    .into_iter()
    .enumerate()
    {
        for writable in [false, true] {
            let root = fixture.rootfs(&format!("root{n}{writable}"));
            symlink(&to, root.join(link)).expect("link");
            let mut spec = RunSpec {
                rootfs: Some(root),
                args: vec!["/probe".into(), "uid".into()],
                ..RunSpec::default()
            };
            let mut mount = Mount::bind(&source, format!("/{link}/new"));
            mount.read_only = Some(!writable);
            spec.mounts.push(mount);
            spec.mounts.push(Mount::tmpfs(format!("/{link}/tmpfs")));
            // Refused, or made inside.
            if let Ok(container) = fixture.try_start(&spec) {
                drop(container.output(b"", &spec.limits).expect("output"));
            }
            assert_eq!(snapshot(&outside), before, "{link} -> {to}");
            assert_eq!(snapshot(&source), Vec::<String>::new());
        }
    }
}

/// Loads an image of the probe with this config and runs it.
fn image(fixture: &Fixture, name: &str, config: serde_json::Value, layer: Tar) -> RunSpec {
    let probe = std::fs::read(probe_path()).expect("probe");
    let layer = layer.entry(b'0', "probe", "", 0o755, &probe).end();
    let document = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
    });
    let archive = Layout::of(&[layer], document.to_string().as_bytes()).archive();
    let mut options = LoadOptions::default();
    options.name = Some(name.to_owned());
    let source = Source::Reader(Box::new(std::io::Cursor::new(archive)));
    fixture.runtime().images().expect("store").load(source, &options).expect("an image");
    RunSpec {
        image: Some(name.to_owned()),
        args: vec!["/probe".into(), "uid".into()],
        ..RunSpec::default()
    }
}

#[test]
fn working_directory_of_an_image_is_made_inside_or_refused() {
    let Some(fixture) = fixture() else { return };
    let outside = fixture.directory("outside");
    let out = outside.to_str().expect("path");
    let before = snapshot(fixture.path());
    for (n, cwd) in [
        format!("{}{out}/new", "/..".repeat(40)),
        format!("/a/../..{out}/new"),
        "../../new".to_owned(),
        "/link/new".to_owned(),
        "/proc/self/fd/3".to_owned(),
        "/proc/self/cwd/../new".to_owned(),
    ]
    .into_iter()
    .enumerate()
    {
        let layer = Tar::new().pax(&[("linkpath", out.as_bytes())]).symlink("x", "link");
        let spec = image(&fixture, &format!("cwd{n}:1"), json!({"WorkingDir": cwd}), layer);
        if let Ok(container) = fixture.try_start(&spec) {
            drop(container.output(b"", &spec.limits).expect("output"));
        }
        assert!(snapshot(&outside).is_empty(), "{cwd}");
        let names = |list: &[String]| -> Vec<String> {
            list.iter().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
        };
        let known = |list: Vec<String>| -> Vec<String> {
            list.into_iter().filter(|name| !name.contains("/data")).collect()
        };
        assert_eq!(known(names(&snapshot(fixture.path()))), known(names(&before)), "{cwd}");
    }
}

#[test]
fn config_of_an_image_that_is_no_process_is_refused() {
    let Some(fixture) = fixture() else { return };
    for (n, (config, stage)) in [
        (json!({"User": "../etc/passwd"}), Stage::User),
        (json!({"User": "4294967295"}), Stage::User),
        (json!({"User": "4294967296"}), Stage::User),
        (json!({"User": "+1"}), Stage::User),
        (json!({"User": "0x1"}), Stage::User),
        (json!({"User": "1:"}), Stage::User),
        (json!({"User": ":2"}), Stage::User),
    ]
    .into_iter()
    .enumerate()
    {
        let spec = image(&fixture, &format!("config{n}:1"), config.clone(), Tar::new());
        let (kind, found, _, text) = fixture.refusal(&spec);
        assert_eq!(found, stage, "{config}: {text}");
        let kinds = [ErrorKind::InvalidInput, ErrorKind::NotFound];
        assert!(kinds.contains(&kind), "{config}: {kind:?}: {text}");
    }
    // Environment entries without a name or a value are nobody's.
    let strange = json!({"Env": ["=x", "A", "B=", "C=a\u{0}b", "", "LD_PRELOAD"], "Volumes": {"../../x": {}}});
    let spec = image(&fixture, "strange:1", strange, Tar::new());
    match fixture.try_start(&spec) {
        Ok(container) => {
            assert!(container.output(b"", &spec.limits).expect("output").exit.success())
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}"),
    }
}
