//! `ctrun run`: the root, what is mounted into it, and what is written to it.

use std::fs;

use crate::bench::Bench;

/// What a program needs of the host in a root that has nothing.
const PROGRAMS: [&str; 8] =
    ["-v", "/usr:/usr:ro", "-v", "/bin:/bin:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro"];

#[test]
fn volume_is_writable_read_only_or_copied_on_write() {
    let bench = Bench::new();
    let folder = bench.path("folder");
    fs::create_dir(&folder).expect("folder");
    let write = |option: &str, text: &str| {
        let volume = format!("{}:/mnt/x{option}", folder.display());
        let script = format!("echo {text} > /mnt/x/file && cat /mnt/x/file");
        bench.ctrun(&["run", "--rm", "-v", &volume, "host", "sh", "-c", &script])
    };
    let file = || fs::read_to_string(folder.join("file")).expect("file");
    assert_eq!(write("", "first").good(), "first\n");
    assert_eq!(file(), "first\n");
    let refused = write(":ro", "second");
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("Read-only file system"), "{refused:?}");
    assert_eq!(write(":cow", "third").good(), "third\n");
    assert_eq!(file(), "first\n");
}

#[test]
fn volume_may_be_relative_but_must_exist() {
    let bench = Bench::new();
    fs::write(bench.path("note"), "text").expect("file");
    let mut command = bench.command(&["run", "--rm", "-v", "./note:/mnt/note:ro"]);
    command.args(["host", "cat", "/mnt/note"]).current_dir(bench.path(""));
    assert_eq!(crate::bench::Ran::from(command.output().expect("ctrun")).good(), "text");
    let text = bench.ctrun(&["run", "-v", "/no/such:/mnt/x", "host", "true"]).bad(125);
    assert_eq!(
        text,
        "ctrun: filesystem: mounts[0].source: stat(\"/no/such\"): ENOENT (No such file or \
         directory)\n"
    );
}

#[test]
fn mounts_are_made_from_outside_to_inside() {
    let bench = Bench::new();
    let folder = bench.path("a,b");
    fs::create_dir(&folder).expect("folder");
    fs::write(folder.join("file"), "text\n").expect("file");
    let mount = format!("type=bind,\"source={}\",target=/mnt/t/inner,ro", folder.display());
    let script = "cat /mnt/t/inner/file; stat -c %a /mnt/t; df -k --output=size /mnt/t | tail -1";
    let ran = bench.ctrun(&[
        "run",
        "--rm",
        "--mount",
        &mount,
        "--tmpfs",
        "/mnt/t:size=64k,mode=755",
        "host",
        "sh",
        "-c",
        script,
    ]);
    let lines: Vec<_> = ran.good().lines().map(|line| line.trim().to_owned()).collect();
    assert_eq!(lines, ["text", "755", "64"]);
}

#[test]
fn root_is_written_to_unless_read_only() {
    let bench = Bench::new();
    let script = "echo x > /etc/ctrun-test && cat /etc/ctrun-test";
    let ran = bench.ctrun(&["run", "--rm", "host", "sh", "-c", script]);
    assert_eq!(ran.good(), "x\n");
    assert!(!std::path::Path::new("/etc/ctrun-test").exists());
    let ran = bench.ctrun(&["run", "--rm", "--read-only", "host", "sh", "-c", script]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("Read-only file system"), "{ran:?}");
}

#[test]
fn directory_is_a_root_without_an_image() {
    let bench = Bench::new();
    let root = bench.path("root");
    fs::create_dir(&root).expect("root");
    fs::write(root.join("hello"), "from the root\n").expect("file");
    let path = root.to_str().expect("path");
    let arguments =
        [&["run", "--rm", "--rootfs", path], PROGRAMS.as_slice(), &["cat", "/hello"]].concat();
    assert_eq!(bench.ctrun(&arguments).good(), "from the root\n");
    let text = bench.ctrun(&["run", "--rootfs", "/no/such", "cat"]).bad(125);
    assert!(text.starts_with("ctrun: rootfs: rootfs: realpath(\"/no/such\"): ENOENT"), "{text}");
}
