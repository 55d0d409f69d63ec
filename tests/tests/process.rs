//! Step `process`: which program, with which arguments and environment, where
//! and as whom.

use std::fs;

use libctr::spec::{RunSpec, Text};
use libctr::{ErrorKind, Stage};
use libctr_tests::{Fixture, fixture};

const ENOENT: Option<i32> = Some(libc::ENOENT);

/// A root with users, and the probe in it.
fn with_users(fixture: &Fixture) -> RunSpec {
    let root = fixture.rootfs("root");
    fs::create_dir(root.join("etc")).expect("directory");
    let users = "root:x:0:0::/root:/bin/sh\napp:x:1000:100::/home/app:/bin/sh\n";
    fs::write(root.join("etc/passwd"), users).expect("file");
    let groups = "root:x:0:\nusers:x:100:\nwheel:x:10:app\nvideo:x:27:app\nlast:x:500:\n";
    fs::write(root.join("etc/group"), groups).expect("file");
    let mut spec = fixture.probe(&["uid", ",", "gid", ",", "groups"]);
    spec.rootfs = Some(root);
    spec.mounts.clear();
    spec
}

#[test]
fn environment_is_exactly_what_was_asked_for() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["environment"]);
    let (mark, value) = fixture.mark();
    spec.hostname = Some("box".into());
    let basic = format!(
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         HOSTNAME=box\nHOME=/root\n{mark}={value}"
    );
    let environment = |spec: &RunSpec| {
        let text = fixture.answer(spec);
        let mut lines: Vec<String> = text.split_terminator('\0').map(Into::into).collect();
        lines.sort();
        lines
    };
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(Into::into).collect();
        lines.sort();
        lines
    };
    assert_eq!(environment(&spec), sorted(&basic));

    spec.env.insert("PATH".into(), Some("/probe-path".into()));
    spec.env.insert("EMPTY".into(), Some("".into()));
    spec.env.insert("HOSTNAME".into(), None);
    spec.inherit_env = vec!["CARGO_PKG_NAME".into(), "NO_SUCH_VARIABLE_HERE".into()];
    let mut expected = format!("PATH=/probe-path\nEMPTY=\nHOME=/root\n{mark}={value}");
    // Cargo gives it to the test; a test that is run alone has none.
    if let Ok(name) = std::env::var("CARGO_PKG_NAME") {
        expected.push_str(&format!("\nCARGO_PKG_NAME={name}"));
    }
    assert_eq!(environment(&spec), sorted(&expected));
}

#[test]
fn arguments_and_variables_are_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let Some(fixture) = fixture() else { return };
    let odd: Vec<u8> = (1..=255).collect();
    let text = |bytes: &[u8]| Text::from(std::ffi::OsString::from_vec(bytes.to_vec()));
    let mut spec = fixture.probe(&["arguments", ""]);
    spec.args.push(text(&odd));
    spec.args.push("".into());
    let expected = [b"/probe\0arguments\0\0", odd.as_slice(), b"\0\0\n"].concat();
    assert_eq!(fixture.run(&spec).stdout, expected);

    let mut spec = fixture.probe(&["environment"]);
    spec.env.insert("ODD".into(), Some(text(&odd)));
    let output = fixture.run(&spec).stdout;
    let wanted = [b"ODD=", odd.as_slice()].concat();
    assert!(output.split(|byte| *byte == 0).any(|variable| variable == wanted));
}

#[test]
fn longest_argument_arrives_and_one_byte_more_is_refused() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["words"]);
    let longest = "x".repeat(131_071);
    spec.args.push(longest.as_str().into());
    assert_eq!(fixture.answer(&spec), longest);
    spec.args[2] = format!("{longest}x").as_str().into();
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::InvalidInput, Stage::Process, None));
    assert_eq!(text, "process: argument 2 has 131072 bytes, the kernel takes 131071");
}

#[test]
fn entry_point_and_path_search_find_the_program() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["say", "found"]);
    spec.args[0] = "probe".into();
    spec.env.insert("PATH".into(), Some("/nowhere::/usr/bin:/".into()));
    assert_eq!(fixture.answer(&spec), "found");
    spec.entrypoint = Some(vec!["probe".into()]);
    spec.args.remove(0);
    assert_eq!(fixture.answer(&spec), "found");
}

#[test]
fn missing_program_is_told_from_one_that_cannot_be_executed() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&[]);
    let hint = "it must exist inside the container, with its interpreter or loader";
    for init in [true, false] {
        spec.init = init;
        spec.args = vec!["/no/such/program".into()];
        let (kind, stage, errno, text) = fixture.refusal(&spec);
        assert_eq!((kind, stage, errno), (ErrorKind::ProgramNotFound, Stage::Exec, ENOENT));
        let call = "exec: execve(\"/no/such/program\"): ENOENT (No such file or directory)";
        assert_eq!(text, format!("{call}; {hint}"));

        spec.args = vec!["/etc/passwd".into()];
        let (kind, stage, errno, text) = fixture.refusal(&spec);
        let eacces = Some(libc::EACCES);
        assert_eq!((kind, stage, errno), (ErrorKind::ProgramNotExecutable, Stage::Exec, eacces));
        assert_eq!(text, "exec: execve(\"/etc/passwd\"): EACCES (Permission denied)");

        spec.args = vec!["/usr".into()];
        assert_eq!(fixture.refusal(&spec).0, ErrorKind::ProgramNotExecutable);
        spec.args = vec!["no-such-program".into()];
        let (kind, stage, errno, _) = fixture.refusal(&spec);
        assert_eq!((kind, stage, errno), (ErrorKind::ProgramNotFound, Stage::Exec, ENOENT));
    }
}

#[test]
fn file_of_no_known_format_is_not_executable_and_a_missing_interpreter_not_found() {
    use std::os::unix::fs::PermissionsExt;
    let Some(fixture) = fixture() else { return };
    let root = fixture.rootfs("root");
    for (name, text) in [("text", "echo hello\n"), ("script", "#!/no/shell\n")] {
        fs::write(root.join(name), text).expect("file");
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o755)).expect("mode");
    }
    let mut spec = RunSpec { rootfs: Some(root), args: vec!["/text".into()], ..RunSpec::default() };
    let (kind, stage, errno, _) = fixture.refusal(&spec);
    let expected = (ErrorKind::ProgramNotExecutable, Stage::Exec, Some(libc::ENOEXEC));
    assert_eq!((kind, stage, errno), expected);
    spec.args = vec!["/script".into()];
    let (kind, stage, errno, _) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::ProgramNotFound, Stage::Exec, ENOENT));
}

#[test]
fn working_directory_is_the_root_or_the_given_one() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["cwd"]);
    assert_eq!(fixture.answer(&spec), "/");
    spec.cwd = Some("/usr/../usr/./bin".into());
    assert_eq!(fixture.answer(&spec), "/usr/bin");
}

#[test]
fn missing_working_directory_is_refused() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["cwd"]);
    spec.cwd = Some("/no/such".into());
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::NotFound, Stage::Chdir, ENOENT));
    assert_eq!(
        text,
        "chdir: chdir(\"/no/such\"): ENOENT (No such file or directory); \
         the working directory must exist inside the container"
    );
    spec.cwd = Some("/etc/passwd".into());
    let (_, stage, errno, _) = fixture.refusal(&spec);
    assert_eq!((stage, errno), (Stage::Chdir, Some(libc::ENOTDIR)));
}

#[test]
fn working_directory_needs_the_rights_of_the_user() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["cwd"]);
    spec.mounts
        .push(libctr::spec::Mount { mode: Some(0o700), ..libctr::spec::Mount::tmpfs("/closed") });
    spec.cwd = Some("/closed".into());
    assert_eq!(fixture.answer(&spec), "/closed");
    spec.user = Some("1000:1000".into());
    let (kind, stage, errno, _) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::Denied, Stage::Chdir, Some(libc::EACCES)));
}

#[test]
fn users_are_found_by_name_and_number() {
    let Some(fixture) = fixture() else { return };
    let mut spec = with_users(&fixture);
    let all = |id| format!("{id} {id} {id} {id}");
    for (user, groups, uid, gid, others) in [
        (None, &[][..], 0, 0, "0"),
        (Some("app"), &[], 1000, 100, "10 27 100"),
        (Some("1000"), &[], 1000, 100, "10 27 100"),
        (Some("app:wheel"), &[], 1000, 10, "10"),
        (Some("7:8"), &[], 7, 8, "8"),
        (Some("4242"), &[], 4242, 0, "0"),
        (Some("app"), &["last", "77"], 1000, 100, "10 27 77 100 500"),
    ] {
        spec.user = user.map(Into::into);
        spec.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        let expected = format!("{}\n{}\n{others}", all(uid), all(gid));
        assert_eq!(fixture.answer(&spec), expected, "{user:?} {groups:?}");
    }
}

#[test]
fn user_has_its_home() {
    let Some(fixture) = fixture() else { return };
    let mut spec = with_users(&fixture);
    spec.args = vec!["/probe".into(), "environment".into()];
    for (user, home) in [("app", "HOME=/home/app"), ("root", "HOME=/root"), ("4242", "HOME=/")] {
        spec.user = Some(user.into());
        let environment = fixture.answer(&spec);
        assert!(environment.split('\0').any(|variable| variable == home), "{environment:?}");
    }
}

#[test]
fn unknown_users_and_groups_are_refused() {
    let Some(fixture) = fixture() else { return };
    let mut spec = with_users(&fixture);
    let root = spec.rootfs.clone().expect("root");
    let hint = "names are looked up in the container's files; a number needs no entry";
    spec.user = Some("nobody".into());
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::NotFound, Stage::User, None));
    let expected = format!("user: no user \"nobody\" in \"etc/passwd\" of {root:?}; {hint}");
    assert_eq!(text, expected);
    spec.user = Some("app:nogroup".into());
    let (kind, stage, errno, text) = fixture.refusal(&spec);
    assert_eq!((kind, stage, errno), (ErrorKind::NotFound, Stage::User, None));
    let expected = format!("user: no group \"nogroup\" in \"etc/group\" of {root:?}; {hint}");
    assert_eq!(text, expected);
}

#[test]
fn mask_of_file_modes_is_022_or_the_given_one() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["umask", ",", "write", "/file", "x", ",", "stat", "/file"]);
    assert_eq!(fixture.answer(&spec), "0022\nfile 1 644 0 0");
    spec.umask = Some(0o077);
    assert_eq!(fixture.answer(&spec), "0077\nfile 1 600 0 0");
    spec.umask = Some(0);
    assert_eq!(fixture.answer(&spec), "0000\nfile 1 666 0 0");
}

#[test]
fn limits_of_resources_are_set_and_the_others_are_the_hosts() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["limits"]);
    let line = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("limit").to_owned();
        line.split_whitespace().take(2).map(Into::into).collect::<Vec<String>>()
    };
    let host = fs::read_to_string("/proc/self/limits").expect("limits");
    let default = fixture.answer(&spec);
    assert_eq!(line(&default, "Max core file size"), ["0", "0"]);
    for name in ["Max open files", "Max stack size", "Max file size", "Max cpu time"] {
        assert_eq!(line(&default, name), line(&host, name), "{name}");
    }
    spec.limits.nofile = Some(77);
    spec.limits.core = None;
    spec.limits.stack = Some(4 << 20);
    spec.limits.fsize = Some(1 << 20);
    let set = fixture.answer(&spec);
    assert_eq!(line(&set, "Max open files"), ["77", "77"]);
    assert_eq!(line(&set, "Max core file size"), line(&host, "Max core file size"));
    assert_eq!(line(&set, "Max stack size"), ["4194304", "4194304"]);
    assert_eq!(line(&set, "Max file size"), ["1048576", "1048576"]);
}
