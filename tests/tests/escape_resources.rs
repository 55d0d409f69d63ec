//! What a program can use up: processes, memory, room and names for files, the
//! caller's memory through its output. With limits it meets them; after that
//! the host is as it was.

use std::fs;
use std::io::Read;
use std::time::Duration;

use libctr::spec::{Keep, Mount, RunSpec, Writable};
use libctr::{Outcome, RunOptions, Stdio};
use libctr_tests::{Fixture, fixture, program, runs};

const MIB: u64 = 1 << 20;

fn limited(fixture: &Fixture, words: &[&str]) -> RunSpec {
    let mut spec = fixture.probe(words);
    spec.limits.memory = Some(64 * MIB);
    spec.limits.pids = Some(64);
    spec
}

/// Lines of an answer as numbers; those of refusals are left out.
fn numbers(answer: &str) -> Vec<u64> {
    answer.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn bombs_meet_their_limits_and_containers_start_after_them() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    // The pids limit counts the init and the program as well. EAGAIN.
    assert_eq!(fixture.answer(&limited(&fixture, &["fork", "300"])), "62\nerror 11");
    let exit = fixture.run(&limited(&fixture, &["allocate", "256"])).exit;
    assert_eq!(exit.outcome, Outcome::OomKilled);
    assert_eq!(fixture.processes(), Vec::<String>::new());
    for _ in 0..runs(100) {
        assert_eq!(fixture.answer(&limited(&fixture, &["uid"])), "0 0 0 0");
    }
}

#[test]
fn bombs_that_stay_below_their_limits_are_none() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let words = ["fork", "40", ",", "allocate", "8", ",", "say", "end"];
    assert_eq!(fixture.answer(&limited(&fixture, &words)), "40\nend");
}

#[test]
fn root_in_memory_is_full_before_its_program_is_killed() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let words = ["fill", "/file", ",", "remove", "/file", ",", "inodes", "/var", ",", "say", "end"];
    let answer = fixture.answer(&limited(&fixture, &words));
    // ENOSPC both times.
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!((lines[1], lines[3], lines[4]), ("error 28", "error 28", "end"), "{answer}");
    // An eighth is left for the program, and a file for each page.
    let found = numbers(&answer);
    let (kib, files) = (found[0], found[1]);
    assert!((55 * 1024..=56 * 1024).contains(&kib), "{answer}");
    assert!((14_000..=14_336).contains(&files), "{answer}");
    // Nothing of it stays.
    assert_eq!(fixture.answer(&limited(&fixture, &["write", "/file", "x", ",", "uid"])), "0 0 0 0");
}

#[test]
fn root_in_memory_has_the_room_of_its_limit() {
    let Some(fixture) = fixture().filter(Fixture::has_groups) else { return };
    let mut spec = fixture.probe(&["inodes", "/var"]);
    spec.limits.memory = Some(8 * MIB);
    let few = numbers(&fixture.answer(&spec))[0];
    spec.limits.memory = Some(64 * MIB);
    let more = numbers(&fixture.answer(&spec))[0];
    assert!(few < 2048 && more > 7 * few, "{few} {more}");
}

#[test]
fn file_systems_in_memory_end_at_their_size() {
    let Some(fixture) = fixture() else { return };
    let mut spec = fixture.probe(&["fill", "/t/file", ",", "fill", "/dev/shm/file"]);
    spec.mounts.push(Mount { size: Some(MIB), ..Mount::tmpfs("/t") });
    assert_eq!(fixture.answer(&spec), "1024\nerror 28\n65536\nerror 28");
}

#[test]
fn root_on_disk_is_bounded_by_the_limit_of_file_size_only() {
    let Some(fixture) = fixture() else { return };
    // SIGXFSZ ends a program that does not ignore it.
    let mut spec = fixture.probe(&["ignore", "25", ",", "fill", "/file"]);
    spec.writable = Some(Writable::Disk);
    spec.limits.fsize = Some(MIB);
    assert_eq!(fixture.answer(&spec), "1024\nerror 27");
}

/// The most memory that this process has had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn flood_of_output_takes_no_more_than_its_limit_of_the_caller() {
    let Some(fixture) = fixture() else { return };
    let flood = 512 * MIB;
    let mut spec = fixture.probe(&["output", &flood.to_string()]);
    spec.limits.output = Some(MIB);
    spec.limits.keep = Keep::Tail;
    let before = peak();
    let output = fixture.run(&spec);
    assert!(output.exit.success(), "{:?}", output.exit);
    assert_eq!(output.stdout.len(), usize::try_from(MIB).expect("a size"));
    let grown = peak() - before;
    assert!(grown < 32 * 1024, "{grown} KiB");
}

#[test]
fn flood_of_output_that_nobody_reads_stands_still_and_loses_nothing() {
    let Some(fixture) = fixture() else { return };
    let flood = 4 * MIB;
    let options = RunOptions { stdout: Stdio::Pipe, ..RunOptions::default() };
    let spec = fixture.probe(&["output", &flood.to_string()]);
    let container = fixture.runtime().run(&spec, options).expect("start");
    let mut stdout = fs::File::from(container.take_stream(1).expect("output"));
    // It waits in write(2), and takes no time.
    assert!(container.wait(Some(Duration::from_millis(300))).expect("wait").is_none());
    let state = fs::read_to_string(format!("/proc/{}/stat", program(&container))).expect("stat");
    assert!(state.contains(") S "), "{state}");
    let mut text = Vec::new();
    stdout.read_to_end(&mut text).expect("read");
    assert_eq!(u64::try_from(text.len()).expect("a size"), flood);
    assert!(text.chunks(10).all(|chunk| b"0123456789".starts_with(chunk)));
    assert!(container.wait(None).expect("wait").expect("end").success());
}
