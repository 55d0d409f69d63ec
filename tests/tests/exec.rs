//! Another program in a container that runs: who it is, and where.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::time::Duration;

use libctr::spec::{ExecSpec, Mount, RunSpec, Seccomp, UserNamespace};
use libctr::{Container, ErrorKind, RunOptions, Stage, Stdio};
use libctr_tests::exec::{answer, ask, end, fixture, kinds, probe, refusal, running, try_exec};
use libctr_tests::{Fixture, PATIENCE, until};

/// What the container's own program answers, then the container.
fn with_answer(fixture: &Fixture, spec: &RunSpec, marker: &str) -> (Container, String) {
    let container = fixture.start(spec);
    let mut out = File::from(container.take_stream(1).expect("pipe"));
    let mut text = String::new();
    let mut chunk = [0; 4096];
    while !text.contains(marker) {
        let length = out.read(&mut chunk).expect("read");
        assert_ne!(length, 0, "{text}");
        text.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    let answer = text.split(marker).next().unwrap_or_default().trim_end_matches('\n').to_owned();
    (container, answer)
}

#[test]
fn program_is_in_every_namespace_and_group_of_the_container() {
    let Some(fixture) = fixture() else { return };
    let questions = ["namespaces", ",", "cgroup", ",", "hostname", ",", "cwd", ",", "limits"];
    for init in [true, false] {
        for mut spec in
            kinds(&fixture, &[&questions[..], &[",", "say", "END", ",", "forever"]].concat())
        {
            spec.init = init;
            spec.hostname = Some("inside".into());
            spec.cwd = Some("/usr".into());
            spec.limits.nofile = Some(77);
            let (container, own) = with_answer(&fixture, &spec, "END");
            assert_eq!(ask(&container, &questions), own);
            end(&container);
        }
    }
}

#[test]
fn user_namespace_of_the_container_is_joined_with_its_ids() {
    let Some(fixture) = fixture() else { return };
    for spec in kinds(&fixture, &["forever"]) {
        let container = fixture.start(&spec);
        assert_eq!(ask(&container, &["uid", ",", "gid", ",", "groups"]), "0 0 0 0\n0 0 0 0\n0");
        let mut other = probe(&["uid", ",", "gid", ",", "groups"]);
        other.user = Some("33:44".into());
        assert_eq!(answer(&container, &other), "33 33 33 33\n44 44 44 44\n44");
        if spec.security.user_namespace != UserNamespace::Auto {
            other.user = Some("70000".into());
            let (kind, stage, _, text) = refusal(&container, &other);
            assert_eq!((kind, stage), (ErrorKind::InvalidInput, Stage::User), "{text}");
            assert!(text.contains("user 70000 is not mapped"), "{text}");
        }
        end(&container);
    }
}

#[test]
fn variables_are_those_of_the_container_with_changes() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |spec| {
        spec.hostname = Some("box".into());
        spec.env.insert("KEPT".into(), Some("1".into()));
        spec.env.insert("GONE".into(), Some("2".into()));
        spec.env.insert("PATH".into(), Some("/bin".into()));
    });
    let mut spec = probe(&["environment"]);
    let variables = |spec: &ExecSpec| {
        let text = answer(&container, spec);
        let mut list: Vec<String> = text
            .split('\0')
            .filter(|v| !v.is_empty() && !v.starts_with("LIBCTR_TEST="))
            .map(str::to_owned)
            .collect();
        list.sort();
        list
    };
    assert_eq!(variables(&spec), ["GONE=2", "HOME=/root", "HOSTNAME=box", "KEPT=1", "PATH=/bin"]);
    spec.env.insert("GONE".into(), None);
    spec.env.insert("NEW".into(), Some("a=b".into()));
    spec.user = Some("4242".into());
    assert_eq!(variables(&spec), ["HOME=/", "HOSTNAME=box", "KEPT=1", "NEW=a=b", "PATH=/bin"]);
    end(&container);
}

#[test]
fn working_directory_is_the_containers_or_as_given() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |spec| spec.cwd = Some("/usr".into()));
    let mut spec = probe(&["cwd"]);
    assert_eq!(answer(&container, &spec), "/usr");
    spec.cwd = Some("/etc/../tmp".into());
    assert_eq!(answer(&container, &spec), "/tmp");
    spec.cwd = Some("/nowhere".into());
    let text = "chdir: chdir(\"/nowhere\"): ENOENT (No such file or directory); \
                the working directory must exist inside the container";
    assert_eq!(
        refusal(&container, &spec),
        (ErrorKind::NotFound, Stage::Chdir, Some(2), text.into())
    );
    for number in 0..64 {
        spec.cwd = Some(format!("/proc/self/fd/{number}").into());
        let (_, stage, _, text) = refusal(&container, &spec);
        assert_eq!(stage, Stage::Chdir, "{text}");
    }
    // A directory of the host that is given as a stream leads nowhere.
    spec.cwd = Some("/proc/self/fd/0".into());
    let stdin = Stdio::Fd(File::open(fixture.path()).expect("directory").into());
    let given = container.exec(&spec, RunOptions { stdin, ..RunOptions::default() });
    assert_eq!(given.expect_err("outside").stage(), Stage::Chdir);
    end(&container);
}

#[test]
fn users_are_exact_or_refused() {
    let Some(fixture) = fixture() else { return };
    let etc = fixture.directory("etc");
    let passwd = "root:x:0:0::/root:\napp:x:1000:100::/home/app:\n1:x:7:7::/trap:\n+1:x:0:0:::\n0x1:x:8:8:::\n";
    fs::write(etc.join("passwd"), passwd).expect("passwd");
    fs::write(etc.join("group"), "users:x:100:\nwheel:x:10:app\n").expect("group");
    let container = running(&fixture, |spec| spec.mounts.push(Mount::bind(&etc, "/etc")));
    let mut spec = probe(&["uid", ",", "gid", ",", "groups"]);
    for (user, expected) in [
        ("app", Some((1000, 100, "10 100"))),
        ("1000", Some((1000, 100, "10 100"))),
        ("app:wheel", Some((1000, 10, "10"))),
        ("1", Some((1, 0, "0"))),
        ("1:2", Some((1, 2, "2"))),
        ("0x1", Some((8, 8, "8"))),
        ("+1", Some((0, 0, "0"))),
        (":2", None),
        ("1:", None),
        (":", None),
        ("1:2:3", None),
        (" 1", None),
        ("1 ", None),
        ("a b", None),
        ("-1", None),
        ("4294967295", None),
        ("4294967296", None),
        ("18446744073709551616", None),
        ("nobody", None),
    ] {
        spec.user = Some(user.into());
        match expected {
            Some((uid, gid, groups)) => {
                let ids = |id| format!("{id} {id} {id} {id}");
                let expected = format!("{}\n{}\n{groups}", ids(uid), ids(gid));
                assert_eq!(answer(&container, &spec), expected, "{user:?}");
            }
            None => {
                let (kind, stage, _, text) = refusal(&container, &spec);
                assert_eq!(stage, Stage::User, "{user:?}: {text}");
                assert!(matches!(kind, ErrorKind::InvalidInput | ErrorKind::NotFound), "{text}");
            }
        }
    }
    end(&container);
}

#[test]
fn passwd_is_read_as_it_is_now_and_never_hangs() {
    let Some(fixture) = fixture() else { return };
    let etc = fixture.directory("etc");
    fs::write(etc.join("passwd"), "root:x:0:0::/root:\n").expect("passwd");
    let container = running(&fixture, |spec| spec.mounts.push(Mount::bind(&etc, "/etc")));
    let mut spec = probe(&["uid"]);
    spec.user = Some("late".into());
    assert_eq!(refusal(&container, &spec).0, ErrorKind::NotFound);
    fs::write(etc.join("passwd"), "late:x:55:55:::\n").expect("passwd");
    assert_eq!(answer(&container, &spec), "55 55 55 55");

    let replace = |make: &dyn Fn(&std::path::Path)| {
        fs::remove_file(etc.join("passwd")).expect("removed");
        make(&etc.join("passwd"));
    };
    replace(&|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).expect("fifo"));
    let (kind, stage, _, text) = refusal(&container, &spec);
    assert_eq!((kind, stage), (ErrorKind::InvalidInput, Stage::User));
    assert!(text.contains("is a FIFO, expected a regular file"), "{text}");
    // Out of the root, to a file of the host that has such a user.
    let outside = fixture.path().join("outside");
    fs::write(&outside, "late:x:66:66:::\n").expect("file");
    replace(&|path| symlink(&outside, path).expect("link"));
    assert_eq!(refusal(&container, &spec).0, ErrorKind::NotFound);
    replace(&|path| symlink("/dev/zero", path).expect("link"));
    assert!(refusal(&container, &spec).3.contains("is a device"));
    replace(&|path| File::create(path).and_then(|file| file.set_len(1 << 30)).expect("file"));
    assert!(refusal(&container, &spec).3.contains("has more than 1048576 bytes"));
    end(&container);
}

#[test]
fn capability_sets_are_those_of_a_start() {
    let Some(fixture) = fixture() else { return };
    let questions =
        ["capabilities", ",", "seccomp", ",", "no_new_privs", ",", "umask", ",", "signals"];
    for user in [None, Some("33")] {
        for mut spec in
            kinds(&fixture, &[&questions[..], &[",", "say", "END", ",", "forever"]].concat())
        {
            spec.user = user.map(str::to_owned);
            spec.umask = Some(0o27);
            spec.security.capabilities.drop = vec!["CHOWN".into()];
            let (container, own) = with_answer(&fixture, &spec, "END");
            assert_eq!(ask(&container, &questions), own);
            end(&container);
        }
    }
}

#[test]
fn added_capabilities_are_never_inheritable_for_root() {
    let Some(fixture) = fixture() else { return };
    for spec in kinds(&fixture, &["forever"]) {
        let container = fixture.start(&spec);
        let mut added = probe(&["capabilities"]);
        added.capabilities.add = vec!["SYS_TIME".into()];
        let zero = "0000000000000000";
        let with = "00000000aa0425fb";
        let expected = format!("{zero} {with} {with} {with} {zero}");
        assert_eq!(answer(&container, &added), expected);
        added.capabilities.drop = vec!["ALL".into()];
        added.capabilities.add.clear();
        assert_eq!(answer(&container, &added), [zero; 5].join(" "));
        end(&container);
    }
}

#[test]
fn program_has_three_descriptors_whatever_the_host_leaks() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    let file = File::open("/").expect("directory");
    let leak = || nix::fcntl::fcntl(&file, nix::fcntl::FcntlArg::F_DUPFD(20)).expect("descriptor");
    let leaked: Vec<i32> = (0..20).map(|_| leak()).collect();
    let lines = ask(&container, &["descriptors"]);
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (number, line) in lines.iter().enumerate() {
        assert!(line.starts_with(&format!("{number} pipe:[")), "{lines:?}");
    }
    for number in leaked {
        nix::unistd::close(number).expect("close");
    }
    assert_eq!(
        ask(&container, &["ids", ",", "terminal"]).lines().skip(1).collect::<Vec<_>>(),
        ["0 no", "1 no", "2 no"]
    );
    end(&container);
}

#[test]
fn terminal_is_of_the_containers_own_and_controls_the_program() {
    let Some(fixture) = fixture() else { return };
    for kind in kinds(&fixture, &["forever"]) {
        let container = fixture.start(&kind);
        let mut spec = probe(&[
            "terminal",
            ",",
            "ids",
            ",",
            "link",
            "/proc/self/fd/0",
            ",",
            "line",
            ",",
            "terminal",
            ",",
            "say",
            "heard",
        ]);
        spec.tty = true;
        let options = RunOptions { terminal: Some((33, 77)), ..RunOptions::default() };
        let exec = container.exec(&spec, options).expect("exec");
        let mut terminal = File::from(exec.take_terminal().expect("terminal"));
        assert!(exec.take_terminal().is_none());
        let mut text = String::new();
        let mut chunk = [0; 1024];
        while !text.contains("/dev/pts/0\r\n") {
            let length = terminal.read(&mut chunk).expect("read");
            text.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[..3], ["0 33 77", "1 33 77", "2 33 77"]);
        // pid, parent outside, group, session, terminal
        let ids: Vec<&str> = lines[3].split(' ').collect();
        assert_eq!((ids[1], ids[2], ids[3]), ("0", ids[0], ids[0]));
        assert_ne!(ids[4], "0");
        libctr::container::resize_terminal(terminal.as_fd(), 40, 90).expect("resize");
        terminal.write_all(b"x\n").expect("write");
        let mut rest = String::new();
        while let Ok(length @ 1..) = terminal.read(&mut chunk) {
            rest.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
        assert!(rest.ends_with("0 40 90\r\n1 40 90\r\n2 40 90\r\nheard\r\n"), "{rest:?}");
        assert!(exec.wait(Some(PATIENCE)).expect("wait").expect("end").success());
        end(&container);
    }
}

#[test]
fn what_cannot_be_executed_is_told_as_at_a_start() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    let mut spec = ExecSpec { args: vec!["nosuch".into()], ..ExecSpec::default() };
    let (kind, stage, errno, text) = refusal(&container, &spec);
    assert_eq!((kind, stage, errno), (ErrorKind::ProgramNotFound, Stage::Exec, Some(2)));
    assert!(text.contains("executable file not found in $PATH"), "{text}");
    spec.args = vec!["/etc/passwd".into()];
    let (kind, stage, errno, _) = refusal(&container, &spec);
    assert_eq!((kind, stage, errno), (ErrorKind::ProgramNotExecutable, Stage::Exec, Some(13)));
    spec.args.clear();
    let (kind, stage, _, text) = refusal(&container, &spec);
    assert_eq!((kind, stage), (ErrorKind::InvalidInput, Stage::Spec), "{text}");
    let log =
        container.exec(&probe(&["uid"]), RunOptions { stdout: Stdio::Log, ..Default::default() });
    assert_eq!(log.expect_err("log").stage(), Stage::Exec);
    assert_eq!(container.execs().expect("list"), Vec::<String>::new());
    end(&container);
}

#[test]
fn container_that_does_not_run_takes_no_program() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    if container.pause().is_ok() {
        let (kind, stage, _, text) = refusal(&container, &probe(&["uid"]));
        assert_eq!((kind, stage), (ErrorKind::Busy, Stage::State));
        assert!(text.ends_with(" is paused; unpause it first"), "{text}");
        container.unpause().expect("unpause");
        assert_eq!(ask(&container, &["uid"]), "0 0 0 0");
    }
    container.kill(9).expect("kill");
    until("the end is seen", || try_exec(&container, &probe(&["uid"])).is_err());
    container.wait(None).expect("wait").expect("end");
    let (kind, stage, _, text) = refusal(&container, &probe(&["uid"]));
    assert_eq!((kind, stage), (ErrorKind::NotFound, Stage::State));
    assert!(text.ends_with(" not running"), "{text}");
    assert_eq!(container.wait(Some(Duration::ZERO)).expect("wait").expect("end").signal, Some(9));
}

#[test]
fn filter_of_the_container_holds_and_its_listener_is_the_hosts() {
    let Some(fixture) = fixture() else { return };
    let profile = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls":
        [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_NOTIFY"}]});
    let container = running(&fixture, |spec| {
        let profile = serde_json::from_value(profile).expect("profile");
        spec.security.seccomp = Seccomp::Profile(Box::new(profile));
    });
    let spec = probe(&["seccomp", ",", "mkdir", "/tmp/new", ",", "say", "end"]);
    let exec = try_exec(&container, &spec).expect("exec");
    let listener = exec.take_seccomp_listener().expect("a listener");
    assert!(exec.take_seccomp_listener().is_none());
    let call = libctr_tests::listener::receive(listener.as_fd()).expect("a call");
    libctr_tests::listener::answer(listener.as_fd(), &call, Err(66)).expect("an answer");
    let output = exec.output(b"", &spec.limits).expect("output");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "2\nerror 66\nend\n");
    // One that is not executed leaves none, and nobody waits.
    let none = ExecSpec { args: vec!["/no/such".into()], ..ExecSpec::default() };
    assert_eq!(refusal(&container, &none).0, ErrorKind::ProgramNotFound);
    end(&container);

    let container = running(&fixture, |_| {});
    assert!(ask(&container, &["seccomp"]) == "2");
    let exec = try_exec(&container, &probe(&["uid"])).expect("exec");
    assert!(exec.take_seccomp_listener().is_none());
    assert!(exec.wait(Some(PATIENCE)).expect("wait").expect("end").success());
    end(&container);
}
