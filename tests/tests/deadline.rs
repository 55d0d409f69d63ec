//! A deadline ends the whole tree, however the processes behave, and the call
//! returns soon after it.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use libctr::spec::RunSpec;
use libctr::{Container, Outcome, Output};
use libctr_tests::{Fixture, PATIENCE, fixture, in_vm};

const DEADLINE: Duration = Duration::from_millis(500);

/// Far over what ending takes, for busy machines.
fn soon() -> Duration {
    if in_vm() { PATIENCE } else { Duration::from_secs(5) }
}

/// Runs a spec that ends by its deadline; nothing of it may be left then.
#[track_caller]
fn timed_out(fixture: &Fixture, mut spec: RunSpec) -> Output {
    spec.limits.wall_time = Some(DEADLINE);
    let grace = spec.limits.grace;
    let begun = Instant::now();
    let output = fixture.run(&spec);
    let took = begun.elapsed();
    assert_eq!(output.exit.outcome, Outcome::WallTimeout);
    assert!(took >= DEADLINE && took < DEADLINE + grace + soon(), "{took:?}");
    fixture.assert_clean();
    output
}

#[test]
fn daemons_in_sessions_of_their_own_end() {
    let Some(fixture) = fixture() else { return };
    let words = ["daemon", ",", "daemon", ",", "daemon", ",", "say", "three", ",", "forever"];
    for init in [true, false] {
        let mut spec = fixture.probe(&words);
        spec.init = init;
        assert_eq!(timed_out(&fixture, spec).stdout, b"three\n");
    }
}

#[test]
fn daemons_end_with_their_program_too() {
    let Some(fixture) = fixture() else { return };
    for init in [true, false] {
        // They hold the pipes open: the call must not wait for them.
        let mut spec = fixture.probe(&["daemon", ",", "fork", "3", ",", "exit", "5"]);
        spec.init = init;
        let exit = fixture.run(&spec).exit;
        assert_eq!((exit.outcome, exit.code), (Outcome::Exited, Some(5)));
        fixture.assert_clean();
    }
}

#[test]
fn ignored_sigterm_is_followed_by_sigkill_after_the_grace_period() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["ignore", "15", ",", "say", "deaf", ",", "forever"]);
    spec.limits.grace = Duration::from_millis(300);
    let output = timed_out(&fixture, spec);
    assert_eq!((output.stdout.as_slice(), output.exit.signal), (&b"deaf\n"[..], Some(9)));
    let wall = Duration::from_nanos(output.exit.usage.wall_ns.expect("time"));
    assert!(wall >= DEADLINE + Duration::from_millis(300), "{wall:?}");
}

#[test]
fn sigterm_that_is_heard_needs_no_sigkill() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["forever"]);
    spec.limits.grace = PATIENCE;
    spec.limits.wall_time = Some(DEADLINE);
    let begun = Instant::now();
    let exit = fixture.run(&spec).exit;
    assert_eq!((exit.outcome, exit.signal), (Outcome::WallTimeout, Some(15)));
    assert!(begun.elapsed() < PATIENCE);
}

#[test]
fn stopped_processes_end() {
    let Some(fixture) = fixture() else { return };
    for grace in [Duration::ZERO, Duration::from_millis(200)] {
        let mut spec =
            fixture.probe(&["daemon", "raise", "19", ",", "say", "stop", ",", "raise", "19"]);
        spec.limits.grace = grace;
        assert_eq!(timed_out(&fixture, spec).stdout, b"stop\n");
    }
}

#[test]
fn fork_bomb_ends() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    for init in [true, false] {
        let mut spec = fixture.probe(&["bomb"]);
        spec.limits.pids = Some(if in_vm() { 50 } else { 300 });
        spec.init = init;
        let output = timed_out(&fixture, spec);
        assert!(output.stdout.starts_with(b"bomb\n"));
        assert!(output.exit.usage.pids_refused.is_none_or(|refused| refused > 0));
    }
}

#[test]
fn program_that_fills_its_pipe_and_is_not_read_ends() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["output", "100000000"]);
    spec.limits.wall_time = Some(DEADLINE);
    let container = fixture.start(&spec);
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(exit.outcome, Outcome::WallTimeout);
    // What was in the pipe is still there.
    let mut kept = Vec::new();
    File::from(container.take_stream(1).expect("pipe")).read_to_end(&mut kept).expect("read");
    assert!(kept.starts_with(b"0123456789") && kept.len() >= 4096, "{}", kept.len());
}

/// A container with a daemon, all of whose processes run.
fn running(fixture: &Fixture, grace: Duration, time: Option<Duration>) -> Container {
    let mut spec = fixture.probe(&["daemon", ",", "say", "ready", ",", "forever"]);
    spec.limits.grace = grace;
    spec.limits.wall_time = time;
    let container = fixture.start(&spec);
    let mut ready = [0; 6];
    File::from(container.take_stream(1).expect("pipe")).read_exact(&mut ready).expect("ready");
    container
}

#[test]
fn paused_container_meets_its_deadline() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let time = if in_vm() { DEADLINE * 10 } else { DEADLINE };
    for grace in [Duration::ZERO, Duration::from_millis(200)] {
        let container = running(&fixture, grace, Some(time));
        container.pause().expect("pause");
        let exit = container.wait(Some(time + grace + soon())).expect("wait").expect("end");
        assert_eq!(exit.outcome, Outcome::WallTimeout);
        drop(container);
        fixture.assert_clean();
    }
}

#[test]
fn paused_container_can_be_cancelled_killed_and_stopped() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let end =
        |container: &Container| container.wait(Some(soon())).expect("wait").expect("end").outcome;
    let paused = || {
        let container = running(&fixture, Duration::ZERO, None);
        container.pause().expect("pause");
        container
    };
    let container = paused();
    container.cancel().expect("cancel");
    assert_eq!(end(&container), Outcome::Cancelled);
    let container = paused();
    container.kill(9).expect("kill");
    assert_eq!(end(&container), Outcome::Signaled);
    let container = paused();
    let exit = container.stop(soon()).expect("stop");
    assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(15)));
    let container = paused();
    container.remove(true).expect("remove");
    assert_eq!(end(&container), Outcome::Signaled);
}

#[test]
fn paused_time_counts_for_the_wall_and_not_for_the_processor() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["burn", "60000"]);
    spec.limits.cpu_time = Some(Duration::from_millis(600));
    let container = fixture.start(&spec);
    container.pause().expect("pause");
    assert_eq!(container.wait(Some(Duration::from_secs(1))).expect("wait"), None);
    container.unpause().expect("unpause");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(exit.outcome, Outcome::CpuTimeout);
}

#[test]
fn cpu_time_counts_all_processes_together() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["daemon", "burn", "60000", ",", "forever"]);
    spec.limits.cpu_time = Some(Duration::from_millis(300));
    assert_eq!(fixture.run(&spec).exit.outcome, Outcome::CpuTimeout);
}
