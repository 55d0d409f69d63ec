//! `ctrun stop`, `kill`, `pause`, `unpause`, `rm` and `wait`.

use std::time::{Duration, Instant};

use crate::bench::{Bench, until};

const POLITE: &str = "trap 'exit 4' TERM";
const STUBBORN: &str = "trap '' TERM";

/// Starts a detached container that has set its traps; returns its id.
fn listening(bench: &Bench, options: &[&str], traps: &str) -> String {
    let script = format!("{traps}; echo ready; while :; do sleep 0.02; done");
    let id = bench.detached(options, &script);
    until("it listens", || bench.ctrun(&["logs", &id]).good() == "ready\n");
    id
}

#[test]
fn stop_asks_then_kills() {
    let bench = Bench::new();
    listening(&bench, &["--name", "polite"], POLITE);
    listening(&bench, &["--name", "stubborn"], STUBBORN);
    assert_eq!(bench.ctrun(&["stop", "-t", "30", "polite"]).good(), "polite\n");
    assert_eq!(bench.ctrun(&["wait", "polite"]).good(), "4\n");
    assert_eq!(bench.ctrun(&["stop", "-t0.3", "stubborn"]).good(), "stubborn\n");
    assert_eq!(bench.ctrun(&["wait", "stubborn"]).good(), "137\n");
    // One that has ended is stopped.
    assert_eq!(bench.ctrun(&["stop", "polite"]).good(), "polite\n");
}

#[test]
fn stop_waits_as_long_as_run_said() {
    let bench = Bench::new();
    let id = listening(&bench, &["--stop-timeout", "0.4"], STUBBORN);
    let begun = Instant::now();
    bench.ctrun(&["stop", &id]).good();
    assert!((Duration::from_millis(400)..Duration::from_secs(8)).contains(&begun.elapsed()));
}

#[test]
fn stop_uses_the_stop_signal() {
    let bench = Bench::new();
    let id = listening(&bench, &["--stop-signal", "SIGUSR1"], "trap 'exit 8' USR1");
    bench.ctrun(&["stop", &id]).good();
    assert_eq!(bench.ctrun(&["wait", &id]).good(), "8\n");
}

#[test]
fn kill_sends_a_signal() {
    let bench = Bench::new();
    listening(&bench, &["--name", "polite"], POLITE);
    listening(&bench, &["--name", "stubborn"], STUBBORN);
    assert_eq!(bench.ctrun(&["kill", "-s", "TERM", "polite"]).good(), "polite\n");
    assert_eq!(bench.ctrun(&["kill", "stubborn"]).good(), "stubborn\n");
    assert_eq!(bench.ctrun(&["wait", "polite", "stubborn"]).good(), "4\n137\n");
    let text = bench.ctrun(&["kill", "polite"]).bad(125);
    assert!(
        text.starts_with("ctrun: state: container ") && text.ends_with(" not running\n"),
        "{text}"
    );
    let text = bench.ctrun(&["kill", "-s", "NONSENSE", "polite"]).bad(125);
    assert!(text.contains("expected a signal such as TERM, SIGTERM or 15"), "{text}");
}

#[test]
fn pause_stops_everything_until_unpause() {
    let Some(bench) = Bench::limited() else { return };
    let id = bench.detached(&["--name", "busy"], "while :; do :; done");
    assert_eq!(bench.ctrun(&["pause", "busy"]).good(), "busy\n");
    let used = || {
        let stats = bench.ctrun(&["stats", "--no-stream", "--format", "json", &id]).json();
        stats[0]["cpu"]["usage_ns"].as_u64().expect("usage")
    };
    assert_eq!(used(), used());
    assert!(bench.ctrun(&["ps"]).good().contains("(Paused)"));
    assert_eq!(bench.ctrun(&["unpause", "busy"]).good(), "busy\n");
    let before = used();
    assert!(used() > before);
    bench.ctrun(&["kill", "busy"]).good();
    bench.ctrun(&["wait", "busy"]).good();
    for verb in ["pause", "unpause"] {
        let text = bench.ctrun(&[verb, "busy"]).bad(125);
        assert!(text.ends_with(" not running\n"), "{text}");
    }
}

#[test]
fn paused_container_can_be_ended_in_each_way() {
    let Some(bench) = Bench::limited() else { return };
    for verb in [&["stop", "-t", "20"][..], &["kill"], &["rm", "-f"]] {
        listening(&bench, &["--rm", "--name", "still"], POLITE);
        bench.ctrun(&["pause", "still"]).good();
        assert_eq!(bench.ctrun(&[verb, &["still"]].concat()).good(), "still\n");
        until("it is gone", || bench.ctrun(&["ps", "-aq"]).good().is_empty());
    }
}

#[test]
fn rm_refuses_what_runs_unless_forced() {
    let bench = Bench::new();
    let id = bench.detached(&["--name", "busy"], "sleep 60");
    let text = bench.ctrun(&["rm", "busy"]).bad(125);
    assert_eq!(
        text,
        format!(
            "ctrun: state: container {} is running\nhint: stop it first, or remove it by force\n",
            &id[..12]
        )
    );
    assert_eq!(bench.ctrun(&["rm", "-f", "busy"]).good(), "busy\n");
    assert_eq!(bench.ctrun(&["ps", "-aq"]).good(), "");
    assert_eq!(bench.ctrun(&["rm", "-f", "busy"]).good(), "");
    let text = bench.ctrun(&["rm", "busy"]).bad(125);
    assert_eq!(text, "ctrun: state: container \"busy\" does not exist\n");
}

#[test]
fn one_that_fails_keeps_no_other_from_it() {
    let bench = Bench::new();
    bench.ctrun(&["run", "--name", "first", "host", "true"]).good();
    bench.ctrun(&["run", "--name", "last", "host", "true"]).good();
    let ran = bench.ctrun(&["rm", "first", "nosuch", "last"]);
    assert_eq!((ran.code, ran.out.as_str()), (125, "first\nlast\n"));
    assert_eq!(ran.err, "ctrun: state: container \"nosuch\" does not exist\n");
}

#[test]
fn wait_tells_programs_the_whole_record() {
    let bench = Bench::new();
    let id = bench.detached(&[], "exit 9");
    let ended = bench.ctrun(&["wait", "--format", "json", &id]).json();
    assert_eq!((&ended["id"], &ended["exit_code"]), (&id.as_str().into(), &9.into()));
    assert_eq!(ended["exit"]["outcome"], "exited");
    assert!(ended["exit"]["usage"]["wall_ns"].as_u64().expect("time") > 0);
    let text = bench.ctrun(&["wait", "nosuch"]).bad(125);
    assert_eq!(text, "ctrun: state: container \"nosuch\" does not exist\n");
}
