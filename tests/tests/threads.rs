//! A host with many threads and much memory runs many containers: no hang, no
//! leak, and nothing of the host's own state is changed.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use libctr::{ErrorKind, Outcome, Runtime, Stage, Stdio};
use libctr_tests::{HostState, PATIENCE, fixture, in_vm, runs};

const THREADS: u32 = 64;

/// Threads that allocate without pause hold every lock that an allocator has.
fn allocate_until(done: &AtomicBool) {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    let mut size = 1;
    while !done.load(Ordering::Relaxed) {
        size = size * 7 % 65_521 + 1;
        kept.push(black_box(vec![1; size]));
        if kept.len() > 50 {
            kept.clear();
            // Two processors are shared with what is tested.
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Says that it is over, also when a test fails: no thread may go on then.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn thousand_containers_leave_a_busy_host_as_it_was() {
    let Some(fixture) = fixture() else { return };
    let resident = vec![1_u8; if in_vm() { 256 << 20 } else { 1 << 30 }];
    // Threads that run containers, and one of them first, so that what the
    // library keeps for good is there before the first look.
    assert_eq!(fixture.ask(&["say", "warm"]), "warm");
    let (done, next) = (AtomicBool::new(false), AtomicU32::new(0));
    let containers = runs(1000);
    let ready = Barrier::new(1 + usize::try_from(THREADS).expect("a number"));
    let begun = Instant::now();
    thread::scope(|scope| {
        let over = Over(&done);
        for _ in 0..THREADS {
            scope.spawn(|| {
                // Until its first instruction a thread has all signals blocked.
                ready.wait();
                allocate_until(&done);
            });
        }
        ready.wait();
        let before = HostState::look();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < containers {
                        let output = fixture.run(&fixture.probe(&["say", "x", ",", "exit", "3"]));
                        assert_eq!(output.exit.outcome, Outcome::Exited);
                        assert_eq!(
                            (output.exit.code, output.stdout.as_slice()),
                            (Some(3), &b"x\n"[..])
                        );
                    }
                });
            }
        });
        before.assert_unchanged();
        drop(over);
    });
    let took = begun.elapsed();
    assert!(black_box(&resident).iter().all(|byte| *byte == 1));
    assert!(in_vm() || took < Duration::from_secs(300), "{took:?}");
}

#[test]
fn failed_starts_leave_a_host_as_it_was() {
    let Some(fixture) = fixture() else { return };
    assert_eq!(fixture.ask(&["say", "warm"]), "warm");
    let mut missing = fixture.probe(&["uid"]);
    missing.args[0] = "/no/such/program".into();
    let before = HostState::look();
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < runs(200) {
                    let (kind, stage, errno, _) = fixture.refusal(&missing);
                    let expected = (ErrorKind::ProgramNotFound, Stage::Exec, Some(libc::ENOENT));
                    assert_eq!((kind, stage, errno), expected);
                }
            });
        }
    });
    before.assert_unchanged();
}

#[test]
fn opening_a_runtime_leaves_what_others_are_starting_alone() {
    let Some(fixture) = fixture() else { return };
    let (done, next) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        let _over = Over(&done);
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(Runtime::open(&fixture.options()).expect("runtime"));
                }
            });
        }
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while next.fetch_add(1, Ordering::Relaxed) < runs(300) {
                        let number = next.load(Ordering::Relaxed);
                        let mut spec = fixture.probe(&["say", "x"]);
                        spec.name = Some(
                            format!("name-{number}-{:?}", thread::current().id())
                                .replace(['(', ')'], ""),
                        );
                        assert_eq!(fixture.answer(&spec), "x");
                    }
                });
            }
        });
    });
}

#[test]
fn container_outlives_the_thread_that_started_it() {
    let Some(fixture) = fixture() else { return };
    let spec = fixture.probe(&["line", ",", "exit", "4"]);
    let container =
        thread::scope(|scope| scope.spawn(|| fixture.start(&spec)).join().expect("thread"));
    assert_eq!(container.wait(Some(Duration::from_millis(100))).expect("wait"), None);
    drop(container.take_stream(0));
    assert_eq!(container.wait(None).expect("wait").expect("end").code, Some(4));
}

#[test]
fn cancelled_starts_are_undone() {
    let Some(fixture) = fixture() else { return };
    let (mut cancelled, mut started) = (0, 0);
    // A program that is deaf to SIGTERM, and a grace period that nobody waits for.
    let mut spec = fixture.probe(&["daemon", ",", "ignore", "15", ",", "forever"]);
    spec.limits.grace = PATIENCE * 10;
    for number in 0..runs(60) {
        let (reader, writer) = std::io::pipe().expect("pipe");
        let result = thread::scope(|scope| {
            scope.spawn(move || {
                thread::sleep(Duration::from_micros(u64::from(number) * 200));
                drop(writer);
            });
            let options = libctr::RunOptions {
                cancel: Some(std::os::fd::AsFd::as_fd(&reader)),
                stdout: Stdio::Null,
                ..Default::default()
            };
            fixture.runtime().run(&spec, options)
        });
        match result {
            Ok(container) => {
                started += 1;
                container.kill(9).expect("kill");
                let exit = container.wait(Some(PATIENCE)).expect("wait").expect("end");
                assert_eq!(exit.outcome, Outcome::Signaled);
            }
            Err(error) => {
                cancelled += 1;
                let found = (error.kind(), error.stage(), error.errno());
                assert_eq!(found, (ErrorKind::Cancelled, Stage::Launch, None));
                assert_eq!(error.to_string(), "launch: the start was cancelled");
            }
        }
        drop(reader);
        fixture.assert_clean();
    }
    assert!(cancelled > 0, "{started} started");
}
