//! Another program in a container that runs: how it lives and ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio as Pipe};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use libctr::spec::{ExecSpec, RunSpec};
use libctr::{Container, ErrorKind, Exec, Exit, Outcome, RunOptions, Stage};
use libctr_tests::exec::{answer, ask, end, fixture, kinds, probe, running, try_exec};
use libctr_tests::{Fixture, PATIENCE, in_vm, runs, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

fn directories(container: &Container) -> Vec<PathBuf> {
    let entries = fs::read_dir(container.directory().join("exec"));
    entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[track_caller]
fn ended(exec: &Exec) -> Exit {
    exec.wait(Some(PATIENCE)).expect("wait").expect("it goes on")
}

/// Programs in the container, by their arguments.
fn programs(container: &Container) -> Vec<String> {
    let text = ask(container, &["list", "/proc"]);
    let pids = text.lines().filter(|name| name.parse::<u32>().is_ok_and(|pid| pid > 2));
    let of = |pid: &str| ask(container, &["read", &format!("/proc/{pid}/cmdline")]);
    let mut found: Vec<String> = pids.map(of).collect();
    // The ones that have looked are gone by now.
    found.retain(|line| !line.is_empty() && !line.starts_with("error"));
    found
}

#[test]
fn record_says_how_it_ended() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    for (words, outcome, code, signal) in [
        (&["exit", "0"][..], Outcome::Exited, Some(0), None),
        (&["exit", "7"], Outcome::Exited, Some(7), None),
        (&["raise", "15"], Outcome::Signaled, None, Some(15)),
        (&["raise", "9"], Outcome::Signaled, None, Some(9)),
    ] {
        let exec = try_exec(&container, &probe(words)).expect("exec");
        let exit = ended(&exec);
        assert_eq!((exit.outcome, exit.code, exit.signal), (outcome, code, signal), "{words:?}");
        assert_eq!(exec.wait(None).expect("wait"), Some(exit));
    }
    let exec = try_exec(&container, &probe(&["burn", "60", ",", "sleep", "20"])).expect("exec");
    let usage = ended(&exec).usage;
    let cpu = usage.cpu_user_ns.zip(usage.cpu_system_ns).map(|(user, system)| user + system);
    assert!(cpu.is_some_and(|cpu| cpu > 5_000_000), "{usage:?}");
    assert!(usage.wall_ns.is_some_and(|wall| wall >= 20_000_000), "{usage:?}");
    // What is only measured for the container as a whole is absent.
    let absent = (usage.memory_peak, usage.pids_peak, usage.pids_refused, usage.oom_kills);
    assert_eq!(absent, (None, None, None, None));
    assert_eq!(directories(&container), Vec::<PathBuf>::new());
    end(&container);
}

#[test]
fn streams_carry_input_and_output_up_to_the_limit() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    let mut spec = probe(&["echo"]);
    let exec = try_exec(&container, &spec).expect("exec");
    let input = vec![b'x'; 300_000];
    let output = exec.output(&input, &spec.limits).expect("output");
    assert!(output.exit.success() && output.stdout == input);

    spec = probe(&["output", "100000000", ",", "forever"]);
    spec.limits.output = Some(1000);
    let exec = try_exec(&container, &spec).expect("exec");
    let output = exec.output(b"", &spec.limits).expect("output");
    assert_eq!((output.exit.outcome, output.stdout.len()), (Outcome::OutputLimit, 1000));
    assert_eq!(ask(&container, &["uid"]), "0 0 0 0");
    end(&container);
}

#[test]
fn deadline_ends_the_program_with_what_descends_from_it_and_nothing_else() {
    let Some(fixture) = fixture() else { return };
    for kind in kinds(&fixture, &["forever"]) {
        let container = fixture.start(&kind);
        let beside = try_exec(&container, &probe(&["forever"])).expect("exec");
        // Children that wait, of which some have left the parents' session.
        let mut spec =
            probe(&["ignore", "15", ",", "orphans", "3", ",", "fork", "5", ",", "forever"]);
        spec.limits.wall_time = Some(Duration::from_millis(300));
        spec.limits.grace = Duration::from_millis(100);
        let begun = Instant::now();
        let exec = try_exec(&container, &spec).expect("exec");
        let exit = ended(&exec);
        assert_eq!((exit.outcome, exit.signal), (Outcome::WallTimeout, Some(9)));
        assert!(begun.elapsed() >= Duration::from_millis(400));
        until("only the other program is there", || programs(&container).len() == 1);
        assert_eq!(beside.wait(Some(Duration::ZERO)).expect("wait"), None);
        beside.kill(9).expect("kill");
        let exit = ended(&beside);
        assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(9)));
        end(&container);
    }
}

#[test]
fn stopped_and_forking_program_is_killed_whole() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["forever"]);
    spec.limits.pids = Some(200);
    let limited = fixture.try_start(&spec);
    let is_limited = limited.is_ok();
    // Without the limit nobody wants the bomb.
    let container = limited.unwrap_or_else(|_| running(&fixture, |_| {}));
    for words in [&["bomb"][..], &["fork", "3", ",", "stop"]] {
        if words == ["bomb"] && !is_limited {
            continue;
        }
        let exec = try_exec(&container, &probe(words)).expect("exec");
        sleep(Duration::from_millis(100));
        exec.cancel().expect("cancel");
        let exit = ended(&exec);
        assert_eq!(exit.outcome, Outcome::Cancelled);
        until("nothing of it is left", || {
            // A bomb's last children may still refuse the one that looks.
            try_exec(&container, &probe(&["uid"])).is_ok_and(|exec| {
                exec.wait(Some(PATIENCE)).is_ok_and(|exit| exit.is_some_and(|exit| exit.success()))
            }) && programs(&container).is_empty()
        });
    }
    end(&container);
}

#[test]
fn signals_reach_the_program_alone() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    let exec = try_exec(&container, &probe(&["forever"])).expect("exec");
    assert_eq!(exec.kill(200).expect_err("no signal").kind(), ErrorKind::InvalidInput);
    exec.kill(15).expect("kill");
    let exit = ended(&exec);
    assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(15)));
    let error = exec.kill(15).expect_err("ended");
    assert_eq!((error.kind(), error.stage()), (ErrorKind::NotFound, Stage::State));
    assert!(error.message().ends_with(" not running"), "{error}");
    assert_eq!(container.wait(Some(Duration::ZERO)).expect("wait"), None);
    end(&container);
}

#[test]
fn what_a_program_leaves_behind_goes_on_until_the_container_ends() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    let exec = try_exec(&container, &probe(&["daemon"])).expect("exec");
    assert!(ended(&exec).success());
    assert_eq!(programs(&container).len(), 1);
    end(&container);
}

#[test]
fn container_that_ends_takes_its_programs_along() {
    let Some(fixture) = fixture() else { return };
    for remove in [true, false] {
        let container = running(&fixture, |spec| spec.remove = Some(remove));
        let exec = try_exec(&container, &probe(&["ignore", "15", ",", "forever"])).expect("exec");
        end(&container);
        let exit = ended(&exec);
        assert_eq!((exit.outcome, exit.signal), (Outcome::Signaled, Some(9)));
        if !remove {
            container.remove(false).expect("remove");
        }
        until("the directory is gone", || !container.directory().exists());
    }
}

#[test]
fn memory_that_runs_out_ends_the_program_that_took_it() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["forever"]);
    spec.limits.memory = Some(64 << 20);
    let Ok(container) = fixture.try_start(&spec) else {
        libctr_tests::skip("the memory of a container cannot be limited here");
        return;
    };
    let exec = try_exec(&container, &probe(&["allocate", "256"])).expect("exec");
    let exit = ended(&exec);
    assert_eq!((exit.outcome, exit.signal), (Outcome::OomKilled, Some(9)));
    let exec = try_exec(&container, &probe(&["raise", "9"])).expect("exec");
    assert_eq!(ended(&exec).outcome, Outcome::Signaled);
    end(&container);
}

#[test]
fn detached_program_keeps_its_record_with_the_container() {
    let Some(fixture) = fixture() else { return };
    for tty in [false, true] {
        let container = running(&fixture, |_| {});
        // More than a terminal holds: somebody has to read it.
        let mut spec = probe(&["output", "1000000", ",", "exit", "3"]);
        (spec.detach, spec.tty) = (true, tty);
        let exec = container.exec(&spec, RunOptions::default()).expect("exec");
        assert!(exec.take_terminal().is_none());
        let other = fixture.reopen().container(container.id()).expect("open");
        let found = other.find_exec(exec.id()).expect("open");
        assert_eq!(ended(&found).code, Some(3));
        assert_eq!(ended(&exec), ended(&found));
        let again = other.find_exec(exec.id()).expect("open");
        assert!(again.event_fd().is_none() && again.pid().is_none());
        assert_eq!(ended(&again), ended(&exec));
        assert_eq!(other.execs().expect("list"), [exec.id()]);
        assert_eq!(other.find_exec("../x").expect_err("no id").kind(), ErrorKind::NotFound);
        end(&container);
    }
}

#[test]
fn program_whose_helper_is_killed_is_lost_and_dead() {
    let Some(fixture) = fixture() else { return };
    for detach in [false, true] {
        let container = running(&fixture, |_| {});
        let exec = container
            .exec(
                &ExecSpec { detach, ..probe(&["ignore", "15", ",", "forever"]) },
                RunOptions::default(),
            )
            .expect("exec");
        let status = container.directory().join("exec").join(exec.id()).join("status.json");
        let status: serde_json::Value =
            serde_json::from_slice(&fs::read(status).expect("status")).expect("JSON");
        let helper = status["helper"].as_i64().and_then(|pid| i32::try_from(pid).ok());
        kill(Pid::from_raw(helper.expect("a number")), Signal::SIGKILL).expect("kill");
        assert_eq!(ended(&exec), Exit::lost());
        until("it is dead", || programs(&container).is_empty());
        drop(fixture.reopen());
        match detach {
            true => {
                let again = container.find_exec(exec.id()).expect("open");
                assert_eq!(ended(&again).outcome, Outcome::Lost);
            }
            false => assert_eq!(directories(&container), Vec::<PathBuf>::new()),
        }
        end(&container);
    }
}

/// Starts the host program with programs in the container NAME.
fn host(fixture: &Fixture, mode: &str, name: &str, spec: &ExecSpec) -> Child {
    let directory = |name| fixture.path().join(name);
    Command::new(env!("CARGO_BIN_EXE_host"))
        .args([directory("run"), directory("data")])
        .args([mode, &format!("{name}={}", spec.to_json().expect("document"))])
        .stdin(Pipe::null())
        .stdout(Pipe::piped())
        .spawn()
        .expect("host program")
}

fn named(fixture: &Fixture) -> Container {
    fixture.start(&RunSpec { name: Some("one".into()), ..fixture.probe(&["forever"]) })
}

#[test]
fn attached_program_ends_with_its_host_and_a_detached_one_does_not() {
    let Some(fixture) = fixture() else { return };
    let container = named(&fixture);
    for detach in [false, true] {
        let spec = ExecSpec { detach, ..probe(&["fork", "2", ",", "forever"]) };
        let mut host = host(&fixture, "exec-hold", "one", &spec);
        let mut line = String::new();
        let out = host.stdout.take().expect("pipe");
        BufReader::new(out).read_line(&mut line).expect("line");
        until("all are there", || programs(&container).len() == 3);
        host.kill().expect("kill");
        host.wait().expect("wait");
        if detach {
            let exec = container.find_exec(line.trim()).expect("open");
            assert_eq!(exec.wait(Some(Duration::from_millis(50))).expect("wait"), None);
            exec.kill(9).expect("kill");
            assert_eq!(ended(&exec).signal, Some(9));
        }
        until("none is left", || programs(&container).is_empty());
        until("its directory is gone", || directories(&container).len() == usize::from(detach));
    }
    end(&container);
}

#[test]
fn host_killed_at_any_moment_leaves_nothing() {
    let Some(fixture) = fixture() else { return };
    let container = named(&fixture);
    let spec = probe(&["sleep", "2"]);
    for number in 0..runs(60) {
        let mut host = host(&fixture, "exec-loop", "one", &spec);
        let moment = Duration::from_micros(u64::from(number) * 1_111);
        sleep(if in_vm() { moment * 10 } else { moment });
        host.kill().expect("kill");
        host.wait().expect("wait");
        until("only the container's helper is left", || {
            fixture.processes().iter().filter(|line| line.contains(" libctr ")).count() <= 1
        });
        // A helper that was about to be executed still has copies of all locks
        // of the host, for a moment.
        until("nothing is left after an opening", || {
            drop(fixture.reopen());
            directories(&container).is_empty()
        });
        assert_eq!(ask(&container, &["uid"]), "0 0 0 0");
    }
    end(&container);
}

#[test]
fn fifty_programs_at_a_time_each_have_their_own_end() {
    let Some(fixture) = fixture() else { return };
    let container = running(&fixture, |_| {});
    let begin = std::sync::Barrier::new(50);
    thread::scope(|scope| {
        for number in 0..50_u8 {
            let (container, begin) = (&container, &begin);
            scope.spawn(move || {
                let code = number.to_string();
                let spec = probe(&["say", &code, ",", "exit", &code]);
                begin.wait();
                let exec = try_exec(container, &spec).expect("exec");
                let output = exec.output(b"", &spec.limits).expect("output");
                assert_eq!(output.exit.code, Some(i32::from(number)));
                assert_eq!(output.stdout, format!("{code}\n").as_bytes());
            });
        }
    });
    assert_eq!(answer(&container, &probe(&["zombies"])), "0");
    assert_eq!(directories(&container), Vec::<PathBuf>::new());
    end(&container);
}
