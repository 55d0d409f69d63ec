//! The merge of document and image as a whole.

use std::fs::{create_dir, write};
use std::path::{Path, PathBuf};

use oci_spec::image::{Config, ConfigBuilder};

use super::{Process, resolve};
use crate::spec::RunSpec;
use crate::{ErrorKind, Result, Stage};

fn run(spec: &RunSpec, image: &Config) -> Result<Process> {
    let root = tempfile::tempdir().unwrap();
    create_dir(root.path().join("etc")).unwrap();
    write(root.path().join("etc/passwd"), "root:x:0:0::/root:\napp:x:7:8::/app:\n").unwrap();
    resolve(spec, Some(image), &[root.path().to_owned()], "box")
}

fn image() -> ConfigBuilder {
    ConfigBuilder::default().cmd(vec!["serve".to_owned()])
}

fn refusal(result: Result<Process>) -> (ErrorKind, Stage, String) {
    let error = result.unwrap_err();
    (error.kind(), error.stage(), error.message().to_owned())
}

#[test]
fn image_alone_gives_the_whole_process() {
    let config = image()
        .user("app")
        .env(vec!["PATH=/app/bin:/bin".to_owned()])
        .working_dir("/srv/./x/../y")
        .stop_signal("SIGQUIT")
        .build()
        .unwrap();
    assert_eq!(
        run(&RunSpec::default(), &config).unwrap(),
        Process {
            args: vec!["serve".into()],
            programs: vec!["/app/bin/serve".into(), "/bin/serve".into()],
            env: vec!["PATH=/app/bin:/bin".into(), "HOSTNAME=box".into(), "HOME=/app".into()],
            given: [("PATH".to_owned(), Some("/app/bin:/bin".into()))].into(),
            cwd: "/srv/y".into(),
            user: "app".to_owned(),
            uid: 7,
            gid: 8,
            groups: vec![8],
            umask: 0o022,
            home: "/app".into(),
            stop_signal: libc::SIGQUIT,
        }
    );
}

#[test]
fn the_caller_comes_before_the_image() {
    let config = image().user("app").working_dir("/srv").stop_signal("SIGQUIT").build().unwrap();
    let mut spec = RunSpec {
        args: vec!["/bin/true".into()],
        user: Some("3:4".into()),
        groups: vec!["5".into()],
        cwd: Some("/work".into()),
        umask: Some(0o77),
        stop_signal: Some("RTMIN+1".into()),
        ..RunSpec::default()
    };
    spec.env.insert("HOME".into(), Some("/mine".into()));
    let process = run(&spec, &config).unwrap();
    assert_eq!(process.programs, ["/bin/true"]);
    assert_eq!((process.uid, process.gid, process.groups), (3, 4, vec![4, 5]));
    assert_eq!(
        (process.cwd.as_path(), process.umask, process.stop_signal),
        (Path::new("/work"), 0o77, 35)
    );
    assert_eq!(process.home, PathBuf::from("/"));
    assert!(process.env.contains(&"HOME=/mine".into()));
}

#[test]
fn an_empty_user_of_the_caller_leaves_the_image_its_own() {
    let config = image().user("app").build().unwrap();
    let spec = RunSpec { user: Some(String::new()), ..RunSpec::default() };
    assert_eq!(run(&spec, &config).unwrap().uid, 7);
}

#[test]
fn a_removed_path_still_finds_programs() {
    let mut spec = RunSpec::default();
    spec.env.insert("PATH".into(), None);
    let process = run(&spec, &image().build().unwrap()).unwrap();
    assert_eq!(process.programs.len(), 6);
    assert!(process.env.iter().all(|entry| !entry.to_str().unwrap().starts_with("PATH=")));
}

#[test]
fn working_directory_never_leaves_the_root() {
    let cwd = |path: &str| run(&RunSpec::default(), &image().working_dir(path).build().unwrap());
    for (path, clean) in
        [("", "/"), ("/", "/"), ("/../../etc", "/etc"), ("//a//b/", "/a/b"), ("/a/../..", "/")]
    {
        assert_eq!(cwd(path).unwrap().cwd, PathBuf::from(clean), "{path}");
    }
    assert_eq!(
        refusal(cwd("srv")),
        (
            ErrorKind::InvalidInput,
            Stage::Process,
            "WorkingDir of the image is \"srv\", expected an absolute path without NUL bytes"
                .to_owned()
        )
    );
    assert_eq!(refusal(cwd("/a\0b")).0, ErrorKind::InvalidInput);
}

#[test]
fn hostile_image_values_are_refused() {
    let signal = image().stop_signal("SIGNOPE").build().unwrap();
    let (kind, stage, message) = refusal(run(&RunSpec::default(), &signal));
    assert_eq!((kind, stage), (ErrorKind::InvalidInput, Stage::Process));
    assert_eq!(
        message,
        "StopSignal of the image is \"SIGNOPE\", expected a signal such as \"SIGTERM\" or \"15\""
    );

    let nul = ConfigBuilder::default().cmd(vec!["a".to_owned(), "b\0".to_owned()]).build().unwrap();
    assert_eq!(refusal(run(&RunSpec::default(), &nul)).2, "argument 1 contains a NUL byte");

    let long = image().env(vec![format!("A={}", "x".repeat(32 * 65_536))]).build().unwrap();
    let (kind, _, message) = refusal(run(&RunSpec::default(), &long));
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(message.starts_with("variable 3 has 2097154 bytes, the kernel takes "), "{message}");
}

#[test]
fn the_host_is_a_lower_like_any_other() {
    let spec = RunSpec { args: vec!["true".into()], ..RunSpec::default() };
    let process = resolve(&spec, None, &["/".into()], "box").unwrap();
    assert_eq!((process.uid, process.cwd.as_path()), (0, Path::new("/")));
}
