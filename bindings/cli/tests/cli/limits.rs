//! `ctrun run`: limits, and how a container ends that reaches one.

use serde_json::json;

use crate::bench::Bench;

#[test]
fn time_that_has_passed_is_124() {
    let bench = Bench::new();
    let ran = bench.ctrun(&["run", "--rm", "--timeout", "200ms", "host", "sleep", "60"]);
    assert_eq!(ran.bad(124), "ctrun: killed: out of time (--timeout)\n");
    assert_eq!(bench.ctrun(&["run", "--rm", "--timeout", "1m", "host", "true"]).good(), "");
}

#[test]
fn processor_time_that_is_used_up_is_124() {
    let Some(bench) = Bench::limited() else { return };
    let script = "while :; do :; done";
    let ran = bench.ctrun(&["run", "--rm", "--cpu-time", "0.1", "host", "sh", "-c", script]);
    assert_eq!(ran.bad(124), "ctrun: killed: out of processor time (--cpu-time)\n");
}

#[test]
fn program_may_end_by_itself_within_its_grace() {
    let bench = Bench::new();
    let script = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done";
    let options = ["run", "--rm", "--timeout", "0.3", "--stop-timeout", "20"];
    let ran = bench.ctrun(&[options.as_slice(), &["host", "sh", "-c", script]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (124, "bye\n"));
}

#[test]
fn memory_that_has_run_out_is_137() {
    let Some(bench) = Bench::limited() else { return };
    let ran = bench.ctrun(&["run", "-m", "16m", "--name", "big", "host", "tail", "/dev/zero"]);
    assert_eq!(ran.bad(137), "ctrun: killed by the kernel: out of memory (--memory)\n");
    let list = bench.ctrun(&["ps", "-a"]).good();
    assert!(list.contains("Exited (137, oom_killed) "), "{list}");
    assert_eq!(bench.ctrun(&["run", "--rm", "-m", "64m", "host", "true"]).good(), "");
}

#[test]
fn output_over_its_limit_ends_the_program() {
    let bench = Bench::new();
    let run = |limit: &str, script: &str| {
        bench.ctrun(&["run", "--rm", "--output-limit", limit, "host", "sh", "-c", script])
    };
    let ran = run("5", "echo 1234567890; sleep 60");
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (137, "12345", "ctrun: killed: too much output (--output-limit)\n")
    );
    let ran = run("1m", "echo out; echo err >&2; exit 4");
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (4, "out\n", "err\n"));
    let ran = run("1m", "head -c 300000 /dev/zero | tr '\\0' x");
    assert_eq!(ran.good().len(), 300_000);
    let text = bench.ctrun(&["run", "-d", "--output-limit", "1", "host", "true"]).bad(125);
    assert!(text.starts_with("ctrun: spec: --output-limit: cannot be combined with --detach\n"));
}

#[test]
fn limits_of_processes_are_set() {
    let bench = Bench::new();
    let options = ["--ulimit", "nofile=64", "--ulimit", "core=0", "--ulimit=fsize=4096"];
    // The shell counts blocks of 512 bytes.
    let script = "ulimit -n; ulimit -c; ulimit -f";
    let arguments = [&["run", "--rm"], options.as_slice(), &["host", "sh", "-c", script]].concat();
    assert_eq!(bench.ctrun(&arguments).good(), "64\n0\n8\n");
}

#[test]
fn options_of_docker_become_the_document() {
    let Some(bench) = Bench::limited() else { return };
    let options = [
        "-m64m",
        "--memory-swap",
        "96m",
        "--cpus=0.5",
        "-c",
        "512",
        "--cpuset-cpus",
        "0",
        "--pids-limit",
        "77",
        "--timeout",
        "1h",
        "--log-size",
        "1m",
        "--stop-timeout",
        "2",
        "--init",
        "--read-only",
        "-l",
        "a=b",
        "--label",
        "c",
        "--annotation",
        "d=e",
        "--stop-signal",
        "INT",
        "-v",
        "/usr:/mnt/u:ro",
    ];
    let id = bench.detached(&options, "sleep 60");
    let info = &bench.ctrun(&["inspect", &id]).json()[0];
    assert_eq!(
        info["spec"],
        json!({
            "image": "host",
            "args": ["sh", "-c", "sleep 60"],
            "detach": true,
            "remove": false,
            "read_only": true,
            "labels": {"a": "b", "c": ""},
            "annotations": {"d": "e"},
            "stop_signal": "INT",
            "mounts": [{"type": "bind", "source": "/usr", "target": "/mnt/u", "read_only": true}],
            "limits": {
                "memory": 64 << 20, "swap": 32 << 20, "cpus": 0.5, "cpu_weight": 59,
                "cpuset": "0", "pids": 77, "wall_time": 3600.0, "log": 1 << 20, "grace": 2.0,
            },
        })
    );
    assert_eq!(info["labels"], json!({"a": "b", "c": ""}));
    let stats = &bench.ctrun(&["stats", "--no-stream", "--format", "json", &id]).json()[0];
    assert_eq!(
        (&stats["memory"]["limit"], &stats["pids"]["limit"]),
        (&(64 << 20).into(), &77.into())
    );
}

#[test]
fn limit_that_makes_no_sense_is_refused() {
    let bench = Bench::new();
    for (options, expected) in [
        (&["--cpus", "0"][..], "spec: limits.cpus: expected 0.01 to 8192, found 0"),
        (&["--memory-swap", "1g"], "spec: --memory-swap: needs --memory as well"),
        (
            &["-m", "2g", "--memory-swap", "1g"],
            "spec: --memory-swap: expected at least --memory, which is 2147483648, found 1073741824",
        ),
        (&["--cpuset-cpus", "x"], "spec: limits.cpuset: expected a list of processors"),
        (
            &["--device-read-bps", "/dev/null:1m"],
            "cgroup: limits.io: \"/dev/null\" is no block device",
        ),
    ] {
        let arguments = [&["run", "--rm"], options, &["host", "true"]].concat();
        let text = bench.ctrun(&arguments).bad(125);
        assert!(text.starts_with(&format!("ctrun: {expected}")), "{text}");
    }
}
