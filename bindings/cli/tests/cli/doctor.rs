//! `ctrun doctor`, and what it says against what then happens.

use crate::bench::Bench;

#[test]
fn root_finds_everything_and_containers_run() {
    let Some(bench) = Bench::new() else { return };
    let text = bench.ctrun(&["doctor"]).good();
    let list = bench.ctrun(&["doctor", "--format", "json"]).json();
    let findings = list["findings"].as_array().expect("findings");
    for finding in findings {
        let name = finding["ability"].as_str().expect("a name");
        let line = text.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        assert!(line.is_some(), "{name} has no line in {text}");
    }
    assert_eq!(list["level"], "full", "{text}");
    assert!(text.ends_with(": containers can be run, with limits\n"), "{text}");
    bench.ctrun(&["run", "--rm", "--memory", "64M", "host", "true"]).good();
}

#[test]
fn directory_that_cannot_be_made_is_told_with_its_command_and_ends_with_1() {
    let Some(bench) = Bench::new() else { return };
    let words = ["--root", "/proc/nothing", "doctor"];
    let output = bench.command(&words).env("LC_ALL", "C").output().expect("ctrun");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("\nNO directory.run: no container can be started\n"), "{text}");
    assert!(text.contains("ctrun --root DIR"), "{text}");
    assert!(text.ends_with(": no container can be run\n"), "{text}");
}
