//! Step `rootfs`, `image: host`: what of the host can be seen, and what stays
//! of changes. For an ordinary user the root is put together from parts.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use libctr::spec::{Landlock, Mount};
use libctr_tests::{as_root, fixture};

#[test]
fn host_root_is_visible_but_private_places_are_empty() {
    let Some(fixture) = fixture() else { return };
    let passwd = fs::read_to_string("/etc/passwd").expect("file");
    assert_eq!(fixture.ask(&["read", "/etc/passwd"]), passwd.trim_end_matches('\n'));
    for path in
        ["/root", "/home", "/tmp", "/var/tmp", "/run", "/srv", "/mnt", "/media", "/var/lib/libctr"]
    {
        let Ok(metadata) = fs::symlink_metadata(path) else { continue };
        if metadata.is_dir() {
            assert_eq!(fixture.ask(&["list", path]), "", "{path}");
            let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
            assert_eq!(fixture.ask(&["stat", path]), format!("directory {mode:o} {uid} {gid}"));
        }
    }
}

#[test]
fn host_root_takes_changes_that_the_host_never_sees() {
    let Some(fixture) = fixture() else { return };
    let name = format!("/etc/libctr-test-{}", std::process::id());
    let words = [
        "write",
        &name,
        "x",
        ",",
        "read",
        &name,
        ",",
        "remove",
        "/etc/passwd",
        ",",
        "stat",
        "/etc/passwd",
    ];
    assert_eq!(fixture.ask(&words), "x\nerror 2");
    assert!(!Path::new(&name).exists() && Path::new("/etc/passwd").exists());
    assert_eq!(fixture.ask(&["write", "/tmp/x", "y", ",", "read", "/tmp/x"]), "y");
}

#[test]
fn state_and_data_of_the_library_are_hidden() {
    let Some(fixture) = fixture().filter(|_| as_root()) else { return };
    // Not below /tmp, which is hidden anyway.
    let outside =
        tempfile::Builder::new().prefix("libctr-test-").tempdir_in("/var").expect("directory");
    let options = libctr::RuntimeOptions {
        run: Some(outside.path().join("run")),
        data: Some(outside.path().join("data")),
        ..libctr::RuntimeOptions::default()
    };
    let runtime = libctr::Runtime::open(&options).expect("runtime");
    fs::create_dir_all(outside.path().join("data")).expect("directory");
    fs::write(outside.path().join("data/secret"), "x").expect("file");
    let path = |name: &str| outside.path().join(name).display().to_string();
    let (run, data) = (path("run"), path("data"));
    let out = libctr::RunOptions { stdout: libctr::Stdio::Pipe, ..Default::default() };
    let spec = fixture.probe(&["list", &data, ",", "list", &run]);
    let container = runtime.run(&spec, out).expect("start");
    let output = container.output(b"", &spec.limits).expect("output");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "\n\n");
}

#[test]
fn read_only_root_is_so_in_all_its_parts_without_landlock() {
    let Some(fixture) = fixture() else { return };
    let source = fixture.directory("source");
    let words = [
        "write",
        "/etc/libctr-new",
        "x",
        ",",
        "mkdir",
        "/usr/d",
        ",",
        "remove",
        "/etc/passwd",
        ",",
        "mkdir",
        "/var/d",
        ",",
        "mkdir",
        "/var/lib/libctr-bind/d",
        ",",
        "mkdir",
        "/dev/shm/d",
    ];
    let mut spec = fixture.probe(&words);
    spec.read_only = true;
    spec.security.landlock = Landlock::Off;
    spec.mounts
        .push(Mount { read_only: Some(false), ..Mount::bind(&source, "/var/lib/libctr-bind") });
    assert_eq!(fixture.answer(&spec), ["error 30"; 4].join("\n"));
    assert!(source.join("d").is_dir());
    // A mount on a part of the root is the caller's.
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&source, "/usr") });
    spec.args = ["/probe", "mkdir", "/usr/e", ",", "mkdir", "/etc/e"].map(Into::into).to_vec();
    assert_eq!(fixture.answer(&spec), "error 30");
    assert!(source.join("e").is_dir());
}
