//! `ctrun stats`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use nix::sys::signal::Signal;

use crate::bench::{Bench, signal};

#[test]
fn figures_are_shown_once() {
    let Some(bench) = Bench::limited() else { return };
    let id = bench.detached(&["--name", "busy", "-m", "64m"], "while :; do :; done");
    let text = bench.ctrun(&["stats", "--no-stream"]).good();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].starts_with("CONTAINER ID   NAME   CPU %"), "{text}");
    assert!(lines[1].starts_with(&format!("{}   busy   ", &id[..12])), "{text}");
    assert!(lines[1].contains(" / 64MiB"), "{text}");
    let sample = &bench.ctrun(&["stats", "--no-stream", "--format=json", "busy"]).json()[0];
    assert!(sample["cpu_percent"].as_f64().expect("percent") > 1.0, "{sample}");
    assert_eq!(sample["memory"]["limit"], 64 << 20);
}

#[test]
fn figures_go_on_until_interrupted() {
    let bench = Bench::new();
    bench.detached(&["--name", "idle"], "sleep 60");
    let mut command = bench.command(&["stats", "--format", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("ctrun");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
    for _ in 0..2 {
        let line = lines.next().expect("a line").expect("a line");
        let samples: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(samples[0]["name"], "idle");
    }
    signal(&child, Signal::SIGINT);
    assert_eq!(child.wait().expect("ctrun").code(), Some(0));
}

#[test]
fn figures_end_with_the_containers_that_were_named() {
    let bench = Bench::new();
    let id = bench.detached(&[], "sleep 1.5");
    let ran = bench.ctrun(&["stats", &id]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = bench.ctrun(&["stats", &id]).bad(125);
    assert!(text.ends_with(" not running\n"), "{text}");
    let text = bench.ctrun(&["stats", "nosuch"]).bad(125);
    assert_eq!(text, "ctrun: state: container \"nosuch\" does not exist\n");
}
