//! Landlock, the wall behind the mounts: what it closes, and what it leaves
//! open.

use std::fs::File;

use libctr::spec::{Landlock, Mount, RunSpec};
use libctr::{RunOptions, Stdio};
use libctr_tests::{Fixture, fixture, lacks};

/// A fixture, where there can be walls: what is said where there are none is in
/// `old_kernel.rs`.
fn walled() -> Option<Fixture> {
    fixture().filter(|_| !lacks("landlock_create_ruleset"))
}

/// What a shell says on a given standard input.
fn shell(
    fixture: &Fixture,
    landlock: Landlock,
    script: &str,
    stdin: File,
) -> (Option<i32>, String) {
    let mut spec =
        RunSpec { args: ["/bin/sh", "-c", script].map(Into::into).into(), ..RunSpec::default() };
    spec.security.landlock = landlock;
    run(fixture, &spec, Stdio::Fd(stdin.into()))
}

fn run(fixture: &Fixture, spec: &RunSpec, stdin: Stdio) -> (Option<i32>, String) {
    let options =
        RunOptions { stdin, stdout: Stdio::Pipe, stderr: Stdio::Pipe, ..RunOptions::default() };
    let container = fixture.runtime().run(spec, options).unwrap_or_else(|error| panic!("{error}"));
    let output = container.output(b"", &spec.limits).expect("output");
    let text = [output.stdout, output.stderr].concat();
    (output.exit.code, String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn directory_of_the_host_that_leaks_in_is_closed_by_the_wall_only() {
    let Some(fixture) = walled() else { return };
    let place = fixture.directory("outside");
    std::fs::write(place.join("secret"), "outside").expect("file");
    let script = "cat /proc/self/fd/0/secret";
    let leak = || File::open(&place).expect("directory");
    assert_eq!(shell(&fixture, Landlock::Off, script, leak()), (Some(0), "outside".into()));
    for wall in [Landlock::Auto, Landlock::Required] {
        let (code, text) = shell(&fixture, wall, script, leak());
        assert!(code == Some(1) && text.contains("Permission denied"), "{text}");
    }
}

#[test]
fn stream_can_be_opened_again_with_the_rights_it_was_given_with_and_no_more() {
    let Some(fixture) = walled() else { return };
    let path = fixture.path().join("input");
    std::fs::write(&path, "input").expect("file");
    let read_only = || File::open(&path).expect("file");
    let again = shell(&fixture, Landlock::Required, "cat < /dev/stdin", read_only());
    assert_eq!(again, (Some(0), "input".into()));
    let (code, text) =
        shell(&fixture, Landlock::Required, "echo changed > /dev/stdin", read_only());
    assert!(code != Some(0) && text.contains("Permission denied"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).expect("file"), "input");
}

#[test]
fn files_are_made_moved_linked_and_removed_behind_the_wall() {
    let Some(fixture) = walled() else { return };
    let mut spec = RunSpec::default();
    let script = "mkdir -p /var/a /b && echo x > /var/a/f && mv /var/a/f /b/g && ln /b/g /b/h \
                  && ln -s g /b/i && mkfifo /b/j && cat /b/i && rm -r /var/a /b && echo y > /dev/null";
    spec.args = ["/bin/sh", "-c", script].map(Into::into).into();
    spec.security.landlock = Landlock::Required;
    assert_eq!(run(&fixture, &spec, Stdio::Null), (Some(0), "x\n".into()));
}

#[test]
fn read_only_root_is_written_where_a_writable_mount_is() {
    let Some(fixture) = walled() else { return };
    let (open, closed) = (fixture.directory("open"), fixture.directory("closed"));
    std::fs::write(fixture.path().join("file"), "").expect("file");
    let mut spec = RunSpec { read_only: true, ..RunSpec::default() };
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&open, "/mnt/open") });
    spec.mounts.push(Mount::bind(&closed, "/mnt/closed"));
    let file = fixture.path().join("file");
    spec.mounts.push(Mount { read_only: Some(false), ..Mount::bind(&file, "/mnt/file") });
    let script = "echo a > /mnt/open/a && echo b > /mnt/file && echo c > /dev/shm/c && \
                  for p in /mnt/closed/a /etc/a /a; do (echo a > $p) 2>/dev/null && echo $p; done; true";
    spec.args = ["/bin/sh", "-c", script].map(Into::into).into();
    spec.security.landlock = Landlock::Required;
    assert_eq!(run(&fixture, &spec, Stdio::Null), (Some(0), String::new()));
    assert_eq!(std::fs::read_to_string(&file).expect("file"), "b\n");
    assert!(open.join("a").exists());
}

#[test]
fn wall_that_would_take_something_is_not_put_up_unless_required() {
    let Some(fixture) = walled() else { return };
    let words = ["/bin/sh", "-c", "mount -t tmpfs none /mnt && echo mounted"];
    let mut spec = RunSpec { args: words.map(Into::into).into(), ..RunSpec::default() };
    spec.security.capabilities.add.push("SYS_ADMIN".into());
    spec.security.seccomp = libctr::spec::Seccomp::Unconfined;
    assert_eq!(run(&fixture, &spec, Stdio::Null), (Some(0), "mounted\n".into()));
    spec.security.landlock = Landlock::Required;
    let (code, text) = run(&fixture, &spec, Stdio::Null);
    assert!(code != Some(0) && text.contains("permission denied"), "{text}");
}

#[test]
fn required_wall_needs_no_new_privileges() {
    let Some(fixture) = walled() else { return };
    let mut spec = fixture.probe(&["uid"]);
    spec.security.landlock = Landlock::Required;
    spec.security.no_new_privileges = false;
    let (_, _, _, text) = fixture.refusal(&spec);
    assert_eq!(text, "user: security.landlock: required needs no_new_privileges");
}
