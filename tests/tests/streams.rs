//! Step `exec`: descriptors, standard streams, the terminal.

use std::fs::{self, File};
use std::io::{Read, Write};

use libctr::{RunOptions, Stage, Stdio};
use libctr_tests::fixture;
use nix::fcntl::{FcntlArg, fcntl};

#[test]
fn program_has_three_descriptors_whatever_the_host_leaks() {
    let Some(fixture) = fixture() else { return };
    let file = File::open("/etc/passwd").expect("file");
    // Without close-on-exec, as C libraries leave them.
    let leak = || fcntl(&file, FcntlArg::F_DUPFD(20)).expect("descriptor");
    let leaked: Vec<i32> = (0..20).map(|_| leak()).collect();
    for init in [true, false] {
        // The init closes its own at the same time as the program starts.
        let mut spec =
            fixture.probe(&["descriptors", ",", "sleep", "300", ",", "list", "/proc/1/fd"]);
        spec.init = init;
        let answer = fixture.answer(&spec);
        let lines: Vec<&str> = answer.lines().collect();
        let (own, of_init) = lines.split_at(3);
        for (number, line) in own.iter().enumerate() {
            assert!(line.starts_with(&format!("{number} pipe:[")), "{answer}");
        }
        // The init keeps none at all, and nobody may look.
        match init {
            true => assert!(matches!(of_init, [] | ["error 13"] | [""]), "{of_init:?}"),
            false => assert_eq!(of_init, ["0", "1", "2", "3"]),
        }
    }
    for number in leaked {
        nix::unistd::close(number).expect("close");
    }
}

#[test]
fn working_directory_through_a_descriptor_is_refused() {
    let Some(fixture) = fixture() else { return };
    let start = |cwd: String, stdin: Stdio| {
        let mut spec = fixture.probe(&["cwd"]);
        spec.cwd = Some(cwd.into());
        // The log has a directory of the host.
        let (stdout, stderr) = (Stdio::Log, Stdio::Log);
        fixture.runtime().run(&spec, RunOptions { stdin, stdout, stderr, ..Default::default() })
    };
    for number in 0..64 {
        let path = format!("/proc/self/fd/{number}");
        let error = start(path.clone(), Stdio::Null).expect_err("a directory of the host");
        assert_eq!(error.stage(), Stage::Chdir, "{error}");
        assert!(matches!(error.errno(), Some(2 | 13 | 20 | 40)), "{path}: {error}");
    }
    // Not even one that the caller gives.
    let root = File::open(fixture.path()).expect("directory");
    let error = start("/proc/self/fd/0".into(), Stdio::Fd(root.into())).expect_err("outside");
    assert_eq!((error.stage(), error.errno()), (Stage::Chdir, Some(40)));
    let text = "chdir: chdir(\"/proc/self/fd/0\"): ELOOP (Too many symbolic links encountered)";
    assert!(error.to_string().starts_with(text), "{error}");

    let inside = start("/proc/self".into(), Stdio::Null).expect("a directory of the container");
    assert!(inside.wait(None).expect("wait").expect("end").success());
}

#[test]
fn streams_are_as_given() {
    let Some(fixture) = fixture() else { return };
    let path = fixture.path().join("out");
    let out = Stdio::Fd(File::create(&path).expect("file").into());
    let options = RunOptions { stdout: out, ..RunOptions::default() };
    let spec = fixture.probe(&["descriptors", ",", "echo", ",", "say", "end"]);
    let container = fixture.runtime().run(&spec, options).expect("start");
    assert!(container.wait(None).expect("wait").expect("end").success());
    let text = fs::read_to_string(&path).expect("file");
    let expected = format!("0 /dev/null\n1 {}\n2 /dev/null\nend\n", path.display());
    // Where the host's file is not below the container's root, it has the path
    // that the kernel knows.
    assert_eq!(text, expected);

    let container = fixture.start(&fixture.probe(&["echo", ",", "say", "end"]));
    let output = container.output(b"through\n", &spec.limits).expect("output");
    assert_eq!(output.stdout, b"through\nend\n");
}

#[test]
fn host_with_closed_streams_can_run_containers() {
    let Some(fixture) = fixture() else { return };
    let directory = fixture.directory("shared");
    let mut spec = fixture.probe(&["write", "/shared/ran", "yes"]);
    spec.mounts.push(libctr::spec::Mount {
        read_only: Some(false),
        ..libctr::spec::Mount::bind(&directory, "/shared")
    });
    // Rust opens the null device in their places when a program starts; a host
    // in another language has nothing there.
    for mode in ["wait", "closed"] {
        let status = std::process::Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", env!("CARGO_BIN_EXE_host")])
            .args([fixture.path().join("run"), fixture.path().join("data")])
            .args([mode, &spec.to_json().expect("document")])
            .status()
            .expect("host");
        assert!(status.success(), "{mode}: {status}");
        assert_eq!(fs::read_to_string(directory.join("ran")).expect("file"), "yes");
        fs::remove_file(directory.join("ran")).expect("removed");
    }
}

#[test]
fn terminal_has_its_size_and_controls_the_program() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&[
        "terminal",
        ",",
        "ids",
        ",",
        "link",
        "/proc/self/fd/0",
        ",",
        "line",
        ",",
        "say",
        "heard",
    ]);
    spec.tty = true;
    let options = RunOptions { terminal: Some((33, 77)), ..RunOptions::default() };
    let container = fixture.runtime().run(&spec, options).expect("start");
    let mut terminal = File::from(container.take_terminal().expect("terminal"));
    assert!(container.take_terminal().is_none());
    let mut text = String::new();
    let mut read_until = |text: &mut String, end: &str| {
        let mut chunk = [0; 1024];
        while !text.contains(end) {
            let length = terminal.read(&mut chunk).expect("read");
            text.push_str(&String::from_utf8_lossy(&chunk[..length]));
        }
    };
    read_until(&mut text, "/dev/pts/0\r\n");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["0 33 77", "1 33 77", "2 33 77"]);
    // pid, parent, group, session, terminal: session leader with a terminal
    let ids: Vec<&str> = lines[3].split(' ').collect();
    assert_eq!((ids[0], ids[1], ids[2], ids[3]), ("2", "1", "2", "2"));
    assert_ne!(ids[4], "0");
    terminal.write_all(b"x\n").expect("write");
    let mut rest = String::new();
    // The end of a terminal is an error (EIO).
    let mut chunk = [0; 1024];
    while let Ok(length @ 1..) = terminal.read(&mut chunk) {
        rest.push_str(&String::from_utf8_lossy(&chunk[..length]));
    }
    assert!(rest.ends_with("heard\r\n"), "{rest:?}");
    assert!(container.wait(None).expect("wait").expect("end").success());
}

#[test]
fn without_terminal_there_is_none_and_the_session_is_new() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.ask(&["terminal", ",", "ids"]), "0 no\n1 no\n2 no\n2 1 2 2 0");
    let mut spec = fixture.probe(&["ids"]);
    spec.init = false;
    assert_eq!(fixture.answer(&spec), "1 0 1 1 0");
}
