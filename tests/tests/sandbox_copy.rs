//! Step `rootfs` where no overlay can be mounted: a private copy of the root.
//!
//! Overlays stack two deep. Each test here runs itself once more in a mount
//! namespace of its own, with an overlay on an overlay in it.

use std::env;
use std::error::Error as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use libctr::image::{ImportOptions, Source};
use libctr::spec::{Mount, RunSpec, Writable};
use libctr::{ErrorKind, RootMount, RunOptions, Runtime, RuntimeOptions, Stage, Stdio};
use libctr_tests::{Fixture, as_root, fixture, is_root, lacks, probe_path, skip};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

/// Mounts a small file system and two overlays on `$1`, the upper one on
/// `$1/nested`, then executes the rest.
const NESTED: &str = "
    { mount -t tmpfs -o mode=755 tmpfs \"$1\" && cd \"$1\" &&
      mkdir lower upper work once upper2 work2 nested &&
      mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work overlay once &&
      mount -t overlay -o lowerdir=once,upperdir=upper2,workdir=work2 overlay nested
    } || exit 77
    shift && exec \"$@\"";

/// As `NESTED`, with this machine's root at the bottom, and enters it.
const NESTED_HOST: &str = "
    { mount -t tmpfs -o mode=755 tmpfs \"$1\" && cd \"$1\" &&
      mkdir upper work once upper2 work2 nested &&
      mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay once &&
      mount -t overlay -o lowerdir=once,upperdir=upper2,workdir=work2 overlay nested &&
      for each in proc sys dev; do mount --rbind /$each nested/$each || exit 77; done
    } || exit 77
    shift && exec chroot nested \"$@\"";

/// A fixture, and a directory on an overlay of an overlay.
struct Nested {
    fixture: Fixture,
    place: PathBuf,
}

/// The place, in the second run; `None` in the first one once the second has
/// ended well, or after a printed skip.
fn nested_by(script: &str) -> Option<Nested> {
    if let Some(place) = env::var_os("LIBCTR_TEST_NESTED") {
        return fixture().map(|fixture| Nested { fixture, place: place.into() });
    }
    // Other tests of this process count its descriptors and children.
    let _alone = fixture()?;
    let thread = std::thread::current();
    let test = thread.name().expect("the test's name");
    let place = tempfile::Builder::new().prefix("nested-").tempdir().expect("directory");
    // An ordinary user makes these mounts as root of a user namespace.
    let users: &[&str] = if is_root() { &[] } else { &["--user", "--map-root-user"] };
    let output = Command::new("unshare")
        .args(users)
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(place.path())
        .arg(env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .env("LIBCTR_TEST_NESTED", place.path().join("nested"))
        .output()
        .expect("unshare");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    match output.status.code() {
        Some(77) => skip(&format!("overlays cannot be stacked here: {stderr}")),
        code => {
            assert_eq!(code, Some(0), "{stdout}{stderr}");
            assert!(stdout.contains("1 passed"), "{stdout}{stderr}");
        }
    }
    None
}

fn nested() -> Option<Nested> {
    nested_by(NESTED)
}

impl Nested {
    /// A root with the probe and a few files, where no overlay can be.
    fn rootfs(&self) -> PathBuf {
        let root = self.place.join("rootfs");
        fs::create_dir_all(root.join("etc")).expect("directory");
        fs::copy(probe_path(), root.join("probe")).expect("probe");
        fs::write(root.join("file"), "as it was\n").expect("file");
        fs::hard_link(root.join("file"), root.join("etc/same")).expect("link");
        fs::set_permissions(root.join("file"), PermissionsExt::from_mode(0o4755)).expect("mode");
        symlink("/file", root.join("link")).expect("link");
        root
    }

    fn spec(&self, root: &Path, words: &[&str]) -> RunSpec {
        let mut spec = self.fixture.probe(words);
        spec.mounts.clear();
        spec.rootfs = Some(root.to_owned());
        spec
    }
}

/// The call that says that no overlay can be mounted.
fn refusing() -> &'static str {
    if lacks("fsopen") { "mount" } else { "fsconfig" }
}

/// Names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("directory").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A tmpfs in this namespace, for as long as this lives.
struct Tmpfs<'a>(&'a Path);

impl Tmpfs<'_> {
    fn mount<'a>(options: &str, path: &'a Path) -> Tmpfs<'a> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(path);
        assert!(mount.status().expect("mount").success());
        Tmpfs(path)
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.0).status();
    }
}

fn open(run: PathBuf, data: PathBuf) -> Runtime {
    let (run, data) = (Some(run), Some(data));
    Runtime::open(&RuntimeOptions { run, data, ..RuntimeOptions::default() }).expect("runtime")
}

/// How the root of a container is made, by starting it.
fn root_of(fixture: &Fixture, mut spec: RunSpec) -> RootMount {
    spec.args = vec!["/probe".into(), "forever".into()];
    let container = fixture.start(&spec);
    let root = container.info().expect("info").root;
    container.stop(Duration::ZERO).expect("stop");
    root
}

#[test]
fn root_on_one_file_system_is_an_overlay() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&[]);
    assert_eq!(root_of(&fixture, spec.clone()), RootMount::Overlay);
    spec.mounts.clear();
    spec.rootfs = Some(fixture.rootfs("rootfs"));
    assert_eq!(root_of(&fixture, spec), RootMount::Overlay);
}

#[test]
fn long_and_odd_paths_are_no_reason_for_a_copy() {
    let Some(fixture) = fixture() else { return };
    let odd = format!("{}/{}/odd,na:me\\ \\,", "d".repeat(200), "e".repeat(200));
    let mut spec = fixture.probe(&["list", "/"]);
    spec.mounts.clear();
    spec.rootfs = Some(fixture.rootfs(&format!("{odd}/root")));
    let runtime = open(fixture.directory(&odd).join("run"), fixture.directory(&odd).join("data"));
    for writable in [Writable::Memory, Writable::Disk] {
        spec.writable = Some(writable);
        let options = RunOptions { stdin: Stdio::Pipe, ..RunOptions::default() };
        spec.args = vec!["/probe".into(), "echo".into()];
        let container = runtime.run(&spec, options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(container.info().expect("info").root, RootMount::Overlay);
        container.stop(Duration::ZERO).expect("stop");
    }
}

#[test]
fn root_on_a_nested_overlay_is_a_copy_that_goes_at_the_end() {
    let Some(nested) = nested() else { return };
    let (fixture, root) = (&nested.fixture, nested.rootfs());
    let words = "list / , read /file , stat /file , link /link , read /etc/hostname";
    let mut spec = nested.spec(&root, &words.split(' ').collect::<Vec<_>>());
    spec.hostname = Some("box".into());
    let wanted = "dev\netc\nfile\nlink\nprobe\nproc\nsys\nas it was\n\
                  file 10 4755 0 0\n/file\nbox";
    assert_eq!(fixture.answer(&spec), wanted);

    let container = fixture.start(&nested.spec(&root, &["forever"]));
    let info = container.info().expect("info");
    assert_eq!(info.root, RootMount::Copy);
    let json = serde_json::to_value(&info).expect("json");
    assert_eq!(json["root"], "copy");
    let copy = fixture.path().join("data/upper").join(container.id());
    assert_eq!(names(&copy), ["root"]);
    container.stop(Duration::ZERO).expect("stop");
    assert!(!copy.exists());
}

#[test]
fn writes_stay_in_the_copy() {
    let Some(nested) = nested() else { return };
    let (fixture, root) = (&nested.fixture, nested.rootfs());
    let words = "write /file more , remove /link , mkdir /new , read /etc/same , list /new";
    for writable in [Writable::Memory, Writable::Disk] {
        let mut spec = nested.spec(&root, &words.split(' ').collect::<Vec<_>>());
        spec.writable = Some(writable);
        // Both names of the file are one file in the copy, too.
        assert_eq!(fixture.answer(&spec), "as it was\nmore\n");
        assert_eq!(fs::read(root.join("file")).expect("file"), b"as it was\n");
        assert_eq!(names(&root), ["etc", "file", "link", "probe"]);
        assert_eq!(names(&root.join("etc")), ["same"]);
    }
}

#[test]
fn read_only_and_mounts_are_the_same_on_a_copy() {
    let Some(nested) = nested() else { return };
    let (fixture, root) = (&nested.fixture, nested.rootfs());
    let words = "write /file more , write /scratch/file x , read /scratch/file , read /given/one";
    let mut spec = nested.spec(&root, &words.split(' ').collect::<Vec<_>>());
    spec.read_only = true;
    let given = fixture.directory("given");
    fs::write(given.join("one"), "given").expect("file");
    spec.mounts = vec![Mount::bind(&given, "/given"), Mount::tmpfs("/scratch")];
    assert_eq!(fixture.answer(&spec), "error 30\nx\ngiven");

    // A view of a directory that is an overlay of overlays is refused, as it
    // is on any root.
    let mut spec = nested.spec(&root, &["uid"]);
    spec.mounts = vec![Mount::overlay(&nested.place, "/view")];
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::Filesystem, Some(22)));
    let wanted = format!(
        "filesystem: {}(overlay of {:?} on \"view\"): EINVAL (Invalid argument); \
         no overlay can be mounted on this directory (the kernel's log says why); \
         mount it with type bind",
        refusing(),
        nested.place
    );
    assert_eq!(text, wanted);
}

#[test]
fn data_directory_that_forbids_programs_holds_a_copy_all_the_same() {
    if !as_root() {
        return;
    }
    let Some(nested) = nested() else { return };
    let (fixture, root) = (&nested.fixture, nested.rootfs());
    let data = fixture.directory("data");
    let _mounted = Tmpfs::mount("mode=700,nosuid,nodev,noexec", &data);
    assert_eq!(fixture.answer(&nested.spec(&root, &["uid"])), "0 0 0 0");
}

#[test]
fn device_nodes_in_a_copy_are_dead() {
    if !as_root() {
        return;
    }
    let Some(nested) = nested() else { return };
    let (fixture, root) = (&nested.fixture, nested.rootfs());
    let (kind, mode) = (SFlag::S_IFCHR, Mode::from_bits_truncate(0o666));
    mknod(&root.join("null"), kind, mode, makedev(1, 3)).expect("mknod");
    let words = ["open", "/null", "r", ",", "open", "/dev/null", "r"];
    assert_eq!(fixture.answer(&nested.spec(&root, &words)), "error 13");
}

#[test]
fn what_is_mounted_below_a_root_is_not_copied() {
    let Some(nested) = nested() else { return };
    let root = nested.rootfs();
    fs::create_dir(root.join("below")).expect("directory");
    fs::write(root.join("below/own"), "").expect("file");
    let below = root.join("below");
    let _mounted = Tmpfs::mount("mode=700", &below);
    fs::write(root.join("below/mounted"), "").expect("file");
    let spec = nested.spec(&root, &["list", "/below"]);
    if !lacks("open_tree") {
        assert_eq!(nested.fixture.answer(&spec), "own");
        return;
    }
    // It cannot be seen apart from what is mounted there.
    let (kind, stage, errno, text) = nested.fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::Rootfs, Some(38)));
    let wanted = format!(
        "rootfs: private copy: open_tree({root:?}): ENOSYS (Function not implemented); before \
         Linux 5.2 nothing may be mounted below a directory to be copied"
    );
    assert_eq!(text, wanted);
}

#[test]
fn image_in_a_store_on_a_nested_overlay_is_copied() {
    let Some(nested) = nested() else { return };
    let (fixture, root) = (&nested.fixture, nested.rootfs());
    let (run, data) = (fixture.path().join("run2"), nested.place.join("data"));
    let runtime = open(run, data.clone());
    let images = runtime.images().expect("store");
    images.import(Source::Path(root), Some("probe"), &ImportOptions::default()).expect("import");

    let mut spec = fixture.probe(&["read", "/file", ",", "write", "/file", "x"]);
    spec.mounts.clear();
    spec.image = Some("probe".into());
    // Kept containers keep their copy until they are removed.
    spec.remove = Some(false);
    for _ in 0..2 {
        let options = RunOptions { stdout: Stdio::Pipe, ..RunOptions::default() };
        let container = runtime.run(&spec, options).expect("run");
        let output = container.output(b"", &spec.limits).expect("output");
        assert_eq!(output.stdout, b"as it was\n");
        let again = runtime.container(container.id()).expect("container");
        assert_eq!(again.info().expect("info").root, RootMount::Copy);
        let file = data.join("upper").join(container.id()).join("root/file");
        assert_eq!(fs::read(&file).expect("file"), b"as it was\nx");
        again.remove(false).expect("removed");
        assert_eq!(names(&data.join("upper")), Vec::<String>::new());
    }
}

#[test]
fn copy_that_does_not_fit_is_an_error_that_leaves_nothing() {
    let Some(nested) = nested() else { return };
    let (fixture, root) = (&nested.fixture, nested.rootfs());
    let data = fixture.directory("data");
    let _mounted = Tmpfs::mount("size=64k", &data);
    let error = fixture.try_start(&nested.spec(&root, &["uid"])).expect_err("no room");
    let kind = (error.kind(), error.stage(), error.errno());
    assert_eq!(kind, (ErrorKind::SetupFailed, Stage::Rootfs, Some(28)));
    let wanted = format!(
        "rootfs: private copy: copy({:?}): ENOSPC (No space left on device); \
         where no overlay can be mounted, each container needs room for its root",
        root.join("probe")
    );
    assert_eq!(error.to_string(), wanted);
    let cause = error.source().expect("why a copy was made").to_string();
    let beginning = format!("filesystem: {}(overlay of 1 lower layers from ", refusing());
    assert!(cause.starts_with(&beginning), "{cause}");
    for place in ["data/upper", "run/containers"] {
        assert_eq!(names(&fixture.path().join(place)), Vec::<String>::new(), "{place}");
    }
}

#[test]
fn root_that_contains_the_data_directory_cannot_be_copied() {
    let Some(nested) = nested() else { return };
    let root = nested.rootfs();
    let runtime = open(nested.fixture.path().join("run2"), root.join("data"));
    let error = runtime.run(&nested.spec(&root, &["uid"]), RunOptions::default());
    let error = error.expect_err("a copy of itself");
    assert_eq!((error.kind(), error.stage()), (ErrorKind::InvalidInput, Stage::Rootfs));
    assert_eq!(error.hint(), Some("use a data directory outside the root"));
    assert_eq!(names(&root.join("data/upper")), Vec::<String>::new());
}

#[test]
fn host_root_that_is_a_nested_overlay_is_refused() {
    if !as_root() {
        return;
    }
    let Some(nested) = nested_by(NESTED_HOST) else { return };
    let (kind, stage, errno, text) = nested.fixture.refusal(&nested.fixture.probe(&["uid"]));
    assert_eq!((kind, stage, errno), (ErrorKind::Unsupported, Stage::Filesystem, Some(22)));
    let beginning =
        format!("filesystem: {}(overlay of 1 lower layers from \"/\", upper ", refusing());
    assert!(text.starts_with(&beginning), "{text}");
    let end = ": EINVAL (Invalid argument); no overlay can be mounted on these directories (the \
               kernel's log says why); an image or a rootfs would be copied instead";
    assert!(text.ends_with(end), "{text}");
}
