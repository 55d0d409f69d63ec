//! `ctrun run`: exit codes, streams, the program and its surroundings.

use std::fs;

use crate::bench::Bench;

#[test]
fn code_of_the_program_is_passed_through() {
    let bench = Bench::new();
    let run = |script| bench.ctrun(&["run", "--rm", "host", "sh", "-c", script]);
    assert_eq!(run("echo out; exit 0").good(), "out\n");
    assert_eq!(run("exit 7").bad(7), "");
    assert_eq!(run("exit 255").bad(255), "");
    assert_eq!(run("kill -TERM $$").bad(143), "");
    assert_eq!(run("kill -KILL $$").bad(137), "");
}

#[test]
fn program_that_cannot_be_run_has_a_code_of_its_own() {
    let bench = Bench::new();
    let text = bench.ctrun(&["run", "--rm", "host", "/no/such/program"]).bad(127);
    assert_eq!(
        text,
        "ctrun: executable file not found: exec: execve(\"/no/such/program\"): ENOENT (No such \
         file or directory)\nhint: it must exist inside the container, with its interpreter or \
         loader\n"
    );
    let text = bench.ctrun(&["run", "--rm", "host", "/etc/passwd"]).bad(126);
    assert_eq!(
        text,
        "ctrun: permission denied: exec: execve(\"/etc/passwd\"): EACCES (Permission denied)\n"
    );
    let text = bench.ctrun(&["--format", "json", "run", "--rm", "host", "/no/such"]).bad(127);
    let error: serde_json::Value = serde_json::from_str(&text).expect("one object");
    assert_eq!((&error["kind"], &error["stage"]), (&"program_not_found".into(), &"exec".into()));
    assert_eq!(error["errno"], 2);
    // Nothing is left of a start that failed, also of one that would be kept.
    bench.ctrun(&["run", "--name", "kept", "host", "/no/such"]).bad(127);
    assert_eq!(bench.ctrun(&["ps", "-aq"]).good(), "");
    assert_eq!(bench.ctrun(&["run", "--rm", "--name", "kept", "host", "true"]).good(), "");
}

#[test]
fn image_that_is_missing_is_a_failure_of_ours() {
    let bench = Bench::new();
    let text = bench.ctrun(&["run", "--rm", "nosuch:1", "true"]).bad(125);
    assert!(text.starts_with("ctrun: image: no image \"nosuch:1\" in the store\n"), "{text}");
    let text = bench.ctrun(&["run"]).bad(125);
    assert!(text.starts_with("ctrun: spec: IMAGE: expected an image, or \"host\"\n"), "{text}");
    let text = bench.ctrun(&["run", "host"]).bad(125);
    assert!(text.starts_with("ctrun: process: no command"), "{text}");
}

#[test]
fn input_is_given_only_with_i() {
    let bench = Bench::new();
    assert_eq!(bench.feed("text", &["run", "--rm", "host", "cat"]).good(), "");
    assert_eq!(bench.feed("text", &["run", "--rm", "-i", "host", "cat"]).good(), "text");
}

#[test]
fn outputs_are_two() {
    let bench = Bench::new();
    let ran = bench.ctrun(&["run", "--rm", "host", "sh", "-c", "echo o; echo e >&2"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "o\n", "e\n"));
}

#[test]
fn words_after_the_image_are_the_programs() {
    let bench = Bench::new();
    let words = ["run", "--rm", "host", "echo", "--rm", "-it", "--", "--format", "json"];
    assert_eq!(bench.ctrun(&words).good(), "--rm -it -- --format json\n");
}

#[test]
fn environment_is_what_was_given() {
    let bench = Bench::new();
    let file = bench.path("variables");
    fs::write(&file, "# comment\nFILE=1 2\nA=file\n").expect("file");
    let file = file.to_str().expect("path");
    let options =
        ["run", "--rm", "--hostname", "box", "-e", "A=1", "-eB", "--env", "C", "-e", "D="];
    let mut command = bench.command(&options);
    command.args(["--env-file", file, "host", "env"]).env("B", "ours").env_remove("C");
    let ran = crate::bench::Ran::from(command.output().expect("ctrun"));
    let text = ran.good();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(lines, ["A=1", "B=ours", "D=", "FILE=1 2", "HOME=/root", "HOSTNAME=box", path]);
    let text = bench.ctrun(&["run", "--rm", "-e", "=x", "host", "env"]).bad(125);
    assert_eq!(text, "ctrun: spec: --env: expected NAME or NAME=VALUE, found \"=x\"\n");
    let text = bench.ctrun(&["run", "--env-file", "/no/such", "host", "env"]).bad(125);
    assert!(text.starts_with("ctrun: spec: --env-file: open(\"/no/such\"): ENOENT"), "{text}");
}

#[test]
fn program_is_who_and_where_it_was_told() {
    let bench = Bench::new();
    let script = "id -u; id -g; id -G; pwd; umask; hostname";
    let options = ["-u", "65534:65533", "--group-add", "7", "-w", "/usr", "--umask", "027"];
    let arguments =
        [&["run", "--rm", "-h", "box"], options.as_slice(), &["host", "sh", "-c", script]].concat();
    assert_eq!(bench.ctrun(&arguments).good(), "65534\n65533\n65533 7\n/usr\n0027\nbox\n");
    let text = bench.ctrun(&["run", "-u", "no-such-user", "host", "true"]).bad(125);
    assert!(text.contains("no-such-user"), "{text}");
    let text = bench.ctrun(&["run", "-w", "/no/such", "host", "true"]).bad(125);
    assert!(text.starts_with("ctrun: chdir: chdir(\"/no/such\"): ENOENT"), "{text}");
}

#[test]
fn entry_point_comes_before_the_command() {
    let bench = Bench::new();
    let ran = bench.ctrun(&["run", "--rm", "--entrypoint", "echo", "host", "a", "b"]);
    assert_eq!(ran.good(), "a b\n");
    let ran = bench.ctrun(&["run", "--rm", "--entrypoint", "", "host", "echo", "c"]);
    assert_eq!(ran.good(), "c\n");
}

#[test]
fn init_is_pid_1_unless_told_otherwise() {
    let bench = Bench::new();
    let pid = |option| bench.ctrun(&["run", "--rm", option, "host", "sh", "-c", "echo $$"]).good();
    assert_eq!(pid("--no-init"), "1\n");
    assert_ne!(pid("--init"), "1\n");
}

#[test]
fn network_is_none_or_the_hosts() {
    let bench = Bench::new();
    let list = |options: &[&str]| {
        let arguments = [&["run", "--rm"], options, &["host", "cat", "/proc/net/dev"]].concat();
        let text = bench.ctrun(&arguments).good();
        let names = text.lines().filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.trim().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(list(&[]), ["lo"]);
    assert_eq!(list(&["--network", "none"]), ["lo"]);
    let hosts = fs::read_to_string("/proc/net/dev").expect("devices").lines().count() - 2;
    assert_eq!(list(&["--net=host"]).len(), hosts);
}

#[test]
fn names_are_resolved_as_told() {
    let bench = Bench::new();
    let options = ["--add-host", "db.example:10.1.2.3", "--dns", "10.9.9.9"];
    let script = "grep db.example /etc/hosts; cat /etc/resolv.conf";
    let arguments = [&["run", "--rm"], options.as_slice(), &["host", "sh", "-c", script]].concat();
    assert_eq!(bench.ctrun(&arguments).good(), "10.1.2.3\tdb.example\nnameserver 10.9.9.9\n");
}

#[test]
fn privileges_are_as_told() {
    let bench = Bench::new();
    let status = |options: &[&str]| {
        let words = ["host", "grep", "-E", "CapEff|NoNewPrivs", "/proc/self/status"];
        bench.ctrun(&[&["run", "--rm"], options, &words].concat()).good()
    };
    assert_eq!(status(&[]), "CapEff:\t00000000a80425fb\nNoNewPrivs:\t1\n");
    let none = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges=false"];
    assert_eq!(status(&none), "CapEff:\t0000000000000000\nNoNewPrivs:\t0\n");
    let one = ["--cap-drop=ALL", "--cap-add=net_bind_service"];
    assert_eq!(status(&one), "CapEff:\t0000000000000400\nNoNewPrivs:\t1\n");
    let text = bench.ctrun(&["run", "--cap-add", "nonsense", "host", "true"]).bad(125);
    assert!(text.contains("security.capabilities.add[0]: expected a capability"), "{text}");
}

#[test]
fn container_is_kept_unless_told_otherwise() {
    let bench = Bench::new();
    bench.ctrun(&["run", "--name", "kept", "host", "sh", "-c", "exit 3"]).bad(3);
    bench.ctrun(&["run", "--name", "gone", "--rm", "host", "true"]).good();
    let list = bench.ctrun(&["ps", "-a", "--format", "json"]).json();
    let names: Vec<_> = list.as_array().expect("list").iter().map(|info| &info["name"]).collect();
    assert_eq!(names, ["kept"]);
    assert_eq!(list[0]["exit"]["code"], 3);
    let text = bench.ctrun(&["run", "--name", "kept", "host", "true"]).bad(125);
    assert!(text.starts_with("ctrun: state: the name \"kept\" is taken by container "), "{text}");
}

#[test]
fn id_goes_into_a_new_file() {
    let bench = Bench::new();
    let file = bench.path("cid");
    let path = file.to_str().expect("path");
    bench.ctrun(&["run", "--cidfile", path, "host", "true"]).good();
    let id = fs::read_to_string(&file).expect("id");
    assert_eq!(bench.ctrun(&["ps", "-aq", "--no-trunc"]).good(), format!("{id}\n"));
    let text = bench.ctrun(&["run", "--rm", "--cidfile", path, "host", "true"]).bad(125);
    let expected =
        format!("ctrun: state: --cidfile: open({file:?}, O_EXCL): EEXIST (File exists)\n");
    assert_eq!(text, expected);
    fs::remove_file(&file).expect("remove");
    bench.ctrun(&["run", "--rm", "--cidfile", path, "host", "/no/such"]).bad(127);
    assert!(!file.exists());
}

#[test]
fn document_is_the_base_and_options_override_it() {
    let bench = Bench::new();
    let json =
        r#"{"args": ["sh", "-c", "echo $A $B"], "env": {"A": "1", "B": "2"}, "remove": true}"#;
    let file = bench.path("spec.json");
    fs::write(&file, json).expect("file");
    let path = file.to_str().expect("path");
    assert_eq!(bench.ctrun(&["run", "--spec", path]).good(), "1 2\n");
    assert_eq!(bench.ctrun(&["run", "--spec", path, "-e", "B=3"]).good(), "1 3\n");
    assert_eq!(bench.feed(json, &["run", "--spec", "-", "echo", "c"]).good(), "c\n");
    let text = bench.feed("{\"argz\": []}", &["run", "--spec", "-"]).bad(125);
    assert!(text.starts_with("ctrun: spec: argz: unknown field `argz`"), "{text}");
    let text = bench.feed(json, &["run", "-i", "--spec", "-"]).bad(125);
    assert_eq!(text, "ctrun: spec: --interactive: standard input is the document of --spec\n");
}

#[test]
fn debug_says_how_it_ended_and_what_was_behind_an_error() {
    let bench = Bench::new();
    let ran = bench.ctrun(&["run", "--debug", "--rm", "host", "sh", "-c", "exit 3"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(
        ran.err.starts_with("ctrun: debug: ") && ran.err.contains(": exited 3; wall "),
        "{ran:?}"
    );
    let ran = bench.ctrun(&["run", "--rm", "host", "sh", "-c", "exit 3"]);
    assert_eq!(ran.bad(3), "");
}
