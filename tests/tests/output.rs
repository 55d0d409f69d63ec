//! Collecting output: input without captured output, and callers who stop.

use std::time::{Duration, Instant};

use libctr::spec::RunSpec;
use libctr::{Container, Outcome, RunOptions, Stdio};
use libctr_tests::{Fixture, fixture};

fn start(fixture: &Fixture, script: &str, output: Stdio) -> (Container, RunSpec) {
    let args = ["sh", "-c", script].map(Into::into).to_vec();
    let spec = RunSpec { args, ..RunSpec::default() };
    let options = RunOptions { stdin: Stdio::Pipe, stdout: output, ..RunOptions::default() };
    (fixture.runtime().run(&spec, options).expect("a container"), spec)
}

#[test]
fn input_reaches_a_program_whose_output_is_not_captured() {
    let Some(fixture) = fixture() else { return };
    let input = vec![b'x'; 200_000];
    let (container, spec) = start(&fixture, "test $(wc -c) = 200000", Stdio::Null);
    let output = container.output(&input, &spec.limits).expect("output");
    assert_eq!((output.exit.code, output.stdout.len()), (Some(0), 0));
}

#[test]
fn input_that_nobody_reads_ends_with_the_program() {
    let Some(fixture) = fixture() else { return };
    let (container, spec) = start(&fixture, "exit 4", Stdio::Pipe);
    let output = container.output(&vec![b'x'; 200_000], &spec.limits).expect("output");
    assert_eq!((output.exit.outcome, output.exit.code), (Outcome::Exited, Some(4)));
}

#[test]
fn a_caller_who_stops_cancels_the_container_and_keeps_its_output() {
    // With its outputs open, and with nothing left to read from.
    for (script, want) in [("echo so far; sleep 60", "so far\n"), ("exec >&- 2>&-; sleep 60", "")] {
        let Some(fixture) = fixture() else { return };
        let (container, spec) = start(&fixture, script, Stdio::Pipe);
        let begun = Instant::now();
        let mut asked = 0;
        let output = container.output_until(b"", &spec.limits, &mut || {
            asked += 1;
            begun.elapsed() > Duration::from_millis(250)
        });
        let output = output.expect("output");
        assert_eq!(output.exit.outcome, Outcome::Cancelled);
        assert_eq!(String::from_utf8_lossy(&output.stdout), want);
        assert!((3..50).contains(&asked), "{asked}");
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

#[test]
fn a_caller_who_does_not_stop_changes_nothing() {
    let Some(fixture) = fixture() else { return };
    let (container, spec) = start(&fixture, "cat; exit 5", Stdio::Pipe);
    let output = container.output_until(b"in", &spec.limits, &mut || false).expect("output");
    assert_eq!((output.exit.code, output.stdout.as_slice()), (Some(5), b"in".as_slice()));
}
