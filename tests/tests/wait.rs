//! Step `wait`: how a container ended, each outcome with its twin that must
//! not look the same.

use std::fs::File;
use std::io::Read;
use std::thread;
use std::time::{Duration, Instant};

use libctr::spec::Keep;
use libctr::{Exit, Outcome};
use libctr_tests::{Fixture, PATIENCE, fixture, in_vm};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

const MS: Duration = Duration::from_millis(1);
const SIGKILL: i32 = 9;

/// Outcome, code and signal of a run of the probe.
#[track_caller]
fn end(fixture: &Fixture, words: &[&str]) -> (Outcome, Option<i32>, Option<i32>) {
    parts(&fixture.run(&fixture.probe(words)).exit)
}

fn parts(exit: &Exit) -> (Outcome, Option<i32>, Option<i32>) {
    (exit.outcome, exit.code, exit.signal)
}

#[test]
fn exit_codes_are_passed_on_and_are_no_signals() {
    let Some(fixture) = fixture() else { return };
    for code in [0, 1, 125, 126, 127, 128, 137, 143, 255] {
        let ended = end(&fixture, &["exit", &code.to_string()]);
        assert_eq!(ended, (Outcome::Exited, Some(code), None));
    }
}

#[test]
fn signals_are_signals_with_an_init_and_without() {
    let Some(fixture) = fixture() else { return };
    for signal in [1, 2, 6, 9, 11, 13, 15] {
        let ended = end(&fixture, &["raise", &signal.to_string()]);
        assert_eq!(ended, (Outcome::Signaled, None, Some(signal)));
    }
    // Without an init the program is pid 1, which the kernel protects from its
    // own signals, SIGKILL included; from outside it can be killed.
    let mut spec = fixture.probe(&["raise", "9", ",", "say", "alive", ",", "forever"]);
    spec.init = false;
    let container = fixture.start(&spec);
    container.kill(SIGKILL).expect("kill");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(parts(&exit), (Outcome::Signaled, None, Some(9)));
}

#[test]
fn core_is_not_dumped_by_default() {
    let Some(fixture) = fixture() else { return };
    let exit = fixture.run(&fixture.probe(&["raise", "6"])).exit;
    assert_eq!((exit.signal, exit.core_dumped), (Some(6), false));
}

#[test]
fn program_killed_for_memory_is_oom_killed() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    for init in [true, false] {
        let mut spec = fixture.probe(&["allocate", "256"]);
        spec.limits.memory = Some(32 << 20);
        spec.init = init;
        let exit = fixture.run(&spec).exit;
        assert_eq!(parts(&exit), (Outcome::OomKilled, None, Some(9)), "init: {init}");
        assert_eq!(exit.usage.oom_kills, Some(1));
        let peak = exit.usage.memory_peak.expect("peak");
        assert!((16 << 20..=32 << 20).contains(&peak), "{peak}");
    }
}

#[test]
fn child_killed_for_memory_is_only_counted() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["oom_child", "256", ",", "exit", "7"]);
    spec.limits.memory = Some(32 << 20);
    let output = fixture.run(&spec);
    assert_eq!(output.stdout, b"child 9\n");
    assert_eq!(parts(&output.exit), (Outcome::Exited, Some(7), None));
    assert_eq!(output.exit.usage.oom_kills, Some(1));
}

#[test]
fn own_kill_after_a_counted_oom_kill_is_a_signal() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec =
        fixture.probe(&["oom_child", "256", ",", "ignore", "15", ",", "say", ",", "forever"]);
    spec.limits.memory = Some(32 << 20);
    for stop in [true, false] {
        let container = fixture.start(&spec);
        let mut out = File::from(container.take_stream(1).expect("pipe"));
        out.read_exact(&mut [0; 9]).expect("ready");
        let exit = if stop {
            container.stop(MS).expect("stop")
        } else {
            container.kill(SIGKILL).expect("kill");
            container.wait(Some(PATIENCE)).expect("wait").expect("end")
        };
        assert_eq!(parts(&exit), (Outcome::Signaled, None, Some(9)));
        assert_eq!(exit.usage.oom_kills, Some(1));
    }
}

#[test]
fn self_sigkill_after_a_counted_oom_kill_is_a_signal() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["oom_child", "256", ",", "sleep", "200", ",", "raise", "9"]);
    spec.limits.memory = Some(32 << 20);
    let exit = fixture.run(&spec).exit;
    // Only the kernel's log tells the two apart (docs/outcomes.md).
    let expected = match File::open("/dev/kmsg") {
        Ok(_) => Outcome::Signaled,
        Err(_) => Outcome::OomKilled,
    };
    assert_eq!(parts(&exit), (expected, None, Some(9)));
    assert_eq!(exit.usage.oom_kills, Some(1));
}

#[test]
fn code_137_and_own_sigkill_are_no_oom() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    for (words, ended) in [
        (["exit", "137"], (Outcome::Exited, Some(137), None)),
        (["raise", "9"], (Outcome::Signaled, None, Some(9))),
    ] {
        let mut spec = fixture.probe(&words);
        spec.limits.memory = Some(32 << 20);
        let exit = fixture.run(&spec).exit;
        assert_eq!(parts(&exit), ended);
        assert_eq!(exit.usage.oom_kills, Some(0));
    }
}

#[test]
fn wall_time_over_is_a_timeout_and_output_is_kept() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["say", "before", ",", "forever"]);
    spec.limits.wall_time = Some(300 * MS);
    let output = fixture.run(&spec);
    assert_eq!(parts(&output.exit), (Outcome::WallTimeout, None, Some(9)));
    assert_eq!(output.stdout, b"before\n");
    assert!(output.exit.usage.wall_ns.expect("time") >= 300_000_000);
}

#[test]
fn wall_time_not_reached_changes_nothing() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["sleep", "20", ",", "exit", "3"]);
    spec.limits.wall_time = Some(PATIENCE);
    assert_eq!(parts(&fixture.run(&spec).exit), (Outcome::Exited, Some(3), None));
}

#[test]
fn cpu_time_over_is_a_cpu_timeout() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["burn", "60000"]);
    spec.limits.cpu_time = Some(200 * MS);
    let exit = fixture.run(&spec).exit;
    assert_eq!(parts(&exit), (Outcome::CpuTimeout, None, Some(9)));
    let used = exit.usage.cpu_user_ns.expect("user") + exit.usage.cpu_system_ns.expect("system");
    assert!((150_000_000..5_000_000_000).contains(&used), "{used}");
}

#[test]
fn sleeping_uses_no_cpu_time() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    // An emulated machine takes long for the start alone.
    let (limit, sleep) = if in_vm() { (3000 * MS, "4000") } else { (300 * MS, "400") };
    let mut spec = fixture.probe(&["sleep", sleep, ",", "exit", "4"]);
    spec.limits.cpu_time = Some(limit);
    assert_eq!(parts(&fixture.run(&spec).exit), (Outcome::Exited, Some(4), None));
}

#[test]
fn output_over_its_limit_keeps_the_head_and_ends_the_program() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["output", "10000000", ",", "forever"]);
    spec.limits.output = Some(25);
    let output = fixture.run(&spec);
    assert_eq!(parts(&output.exit), (Outcome::OutputLimit, None, Some(9)));
    assert_eq!(output.stdout, b"0123456789012345678901234");
    assert!(output.stdout_lost > 0);
    assert_eq!((output.stderr.as_slice(), output.stderr_lost), (&b""[..], 0));
}

#[test]
fn output_at_its_limit_is_no_event() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["output", "200000", ",", "exit", "5"]);
    spec.limits.output = Some(200_000);
    let output = fixture.run(&spec);
    assert_eq!(parts(&output.exit), (Outcome::Exited, Some(5), None));
    assert_eq!((output.stdout.len(), output.stdout_lost), (200_000, 0));
}

#[test]
fn output_with_tail_keeps_the_end_and_counts_the_rest() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["output", "1000000", ",", "exit", "6"]);
    spec.limits.output = Some(15);
    spec.limits.keep = Keep::Tail;
    let output = fixture.run(&spec);
    assert_eq!(parts(&output.exit), (Outcome::Exited, Some(6), None));
    assert_eq!(output.stdout, b"567890123456789");
    assert_eq!(output.stdout_lost, 1_000_000 - 15);
}

#[test]
fn refused_processes_that_the_program_survives_are_only_counted() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["fork", "50", ",", "exit", "0"]);
    spec.limits.pids = Some(10);
    let output = fixture.run(&spec);
    // init and program are two of the ten; EAGAIN is 11
    assert_eq!(output.stdout, b"8\nerror 11\n");
    assert_eq!(parts(&output.exit), (Outcome::Exited, Some(0), None));
    assert_eq!(output.exit.usage.pids_refused, Some(1));
    assert!(output.exit.usage.pids_peak.is_none_or(|peak| peak == 10));
}

#[test]
fn program_that_fails_of_the_pids_limit_says_so() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["fork", "50", ",", "exit", "1"]);
    spec.limits.pids = Some(10);
    assert_eq!(parts(&fixture.run(&spec).exit), (Outcome::PidsLimit, Some(1), None));
    // The same program with room for its children.
    spec.limits.pids = Some(100);
    assert_eq!(parts(&fixture.run(&spec).exit), (Outcome::Exited, Some(1), None));
}

#[test]
fn cancelled_is_told_from_killed() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["forever"]));
    container.cancel().expect("cancel");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(parts(&exit), (Outcome::Cancelled, None, Some(9)));

    let container = fixture.start(&fixture.probe(&["forever"]));
    container.kill(SIGKILL).expect("kill");
    let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
    assert_eq!(parts(&exit), (Outcome::Signaled, None, Some(9)));
}

#[test]
fn stop_asks_first_and_kills_after_the_grace_period() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["forever"]));
    assert_eq!(
        parts(&container.stop(PATIENCE).expect("stop")),
        (Outcome::Signaled, None, Some(15))
    );

    let container =
        fixture.start(&fixture.probe(&["ignore", "15", ",", "say", "x", ",", "forever"]));
    let mut out = File::from(container.take_stream(1).expect("pipe"));
    out.read_exact(&mut [0; 2]).expect("ready");
    assert_eq!(parts(&container.stop(50 * MS).expect("stop")), (Outcome::Signaled, None, Some(9)));
    // Once more is the same answer.
    assert_eq!(parts(&container.stop(50 * MS).expect("stop")), (Outcome::Signaled, None, Some(9)));
}

#[test]
fn wait_has_a_timeout_and_can_look_only() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["line", ",", "exit", "2"]));
    assert_eq!(container.wait(Some(Duration::ZERO)).expect("wait"), None);
    let begun = Instant::now();
    assert_eq!(container.wait(Some(50 * MS)).expect("wait"), None);
    assert!(begun.elapsed() >= 50 * MS);
    drop(container.take_stream(0));
    let exit = container.wait(None).expect("wait").expect("end");
    assert_eq!(parts(&exit), (Outcome::Exited, Some(2), None));
    assert_eq!(container.wait(Some(Duration::ZERO)).expect("wait"), Some(exit.clone()));
    assert_eq!(container.wait(None).expect("wait"), Some(exit));
}

#[test]
fn many_threads_get_the_same_record() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["line", ",", "exit", "8"]));
    let records: Vec<Exit> = thread::scope(|scope| {
        let wait = || container.wait(Some(PATIENCE)).expect("wait").expect("end");
        let waiters: Vec<_> = (0..32).map(|_| scope.spawn(wait)).collect();
        thread::sleep(20 * MS);
        drop(container.take_stream(0));
        waiters.into_iter().map(|waiter| waiter.join().expect("thread")).collect()
    });
    assert_eq!(parts(&records[0]), (Outcome::Exited, Some(8), None));
    assert!(records.iter().all(|record| *record == records[0]));
}

#[test]
fn event_descriptor_is_readable_from_the_end_on() {
    let Some(fixture) = fixture() else { return };
    let container = fixture.start(&fixture.probe(&["line"]));
    let event = container.event_fd().expect("descriptor");
    let ready = |timeout: PollTimeout| {
        poll(&mut [PollFd::new(event, PollFlags::POLLIN)], timeout).expect("poll") == 1
    };
    assert!(!ready(PollTimeout::ZERO));
    drop(container.take_stream(0));
    assert!(ready(PollTimeout::from(60_000_u16)));
    assert!(ready(PollTimeout::ZERO));
    assert!(container.wait(Some(Duration::ZERO)).expect("wait").expect("end").success());
    assert!(ready(PollTimeout::ZERO));
}

#[test]
fn usage_is_measured() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let exit = fixture.run(&fixture.probe(&["allocate", "20", ",", "burn", "100"])).exit;
    let usage = exit.usage;
    let (user, system) = (usage.cpu_user_ns.expect("user"), usage.cpu_system_ns.expect("system"));
    assert!(user + system >= 50_000_000, "{user} {system}");
    assert!(usage.memory_peak.expect("peak") >= 20 << 20);
    assert!(usage.wall_ns.expect("wall") >= 100_000_000);
    assert_eq!((usage.oom_kills, usage.pids_refused), (Some(0), Some(0)));
    assert!(usage.started_in_ns.expect("start") > 0);
    let (started, ended) = (exit.started_at_ns.expect("time"), exit.ended_at_ns.expect("time"));
    assert!(ended - started >= 100_000_000);
}
