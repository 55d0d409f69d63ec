//! `ctrun logs`.

use std::process::Stdio;

use crate::bench::{Bench, Ran};

/// A container that has ended, with this output.
fn ended(bench: &Bench, options: &[&str], script: &str) -> String {
    let id = bench.detached(options, script);
    bench.ctrun(&["wait", &id]).good();
    id
}

#[test]
fn streams_stay_apart() {
    let bench = Bench::new();
    let id = ended(&bench, &[], "echo a; echo b >&2; printf c");
    let log = bench.ctrun(&["logs", &id]);
    assert_eq!((log.code, log.out.as_str(), log.err.as_str()), (0, "a\nc", "b\n"));
}

#[test]
fn tail_shows_the_last_lines() {
    let bench = Bench::new();
    let id = ended(&bench, &[], "for i in 1 2 3 4 5; do echo $i; done");
    assert_eq!(bench.ctrun(&["logs", "-n", "2", &id]).good(), "4\n5\n");
    assert_eq!(bench.ctrun(&["logs", "--tail=all", &id]).good(), "1\n2\n3\n4\n5\n");
    assert_eq!(bench.ctrun(&["logs", "--tail", "0", &id]).good(), "");
}

#[test]
fn lines_may_begin_with_their_time() {
    let bench = Bench::new();
    let id = ended(&bench, &[], "echo first; echo second");
    let info = &bench.ctrun(&["inspect", &id]).json()[0];
    let ended = info["exit"]["ended_at_ns"].as_u64().expect("time") / 1_000_000_000;
    let text = bench.ctrun(&["logs", "-t", &id]).good();
    let lines: Vec<_> = text.lines().map(|line| line.split_once(' ').expect("time")).collect();
    assert_eq!(lines.iter().map(|(_, text)| *text).collect::<Vec<_>>(), ["first", "second"]);
    for (time, _) in lines {
        let time = humantime::parse_rfc3339(time).expect("RFC 3339");
        let seconds = time.duration_since(std::time::UNIX_EPOCH).expect("time").as_secs();
        assert!((ended - 60..=ended).contains(&seconds), "{seconds} {ended}");
    }
}

#[test]
fn since_leaves_out_what_is_older() {
    let bench = Bench::new();
    let id = ended(&bench, &[], "echo old; sleep 0.3; echo new");
    let text = bench.ctrun(&["logs", "-t", &id]).good();
    let time = text.lines().nth(1).and_then(|line| line.split(' ').next()).expect("time");
    assert_eq!(bench.ctrun(&["logs", "--since", time, &id]).good(), "new\n");
    assert_eq!(bench.ctrun(&["logs", "--since", "1h", &id]).good(), "old\nnew\n");
    let text = bench.ctrun(&["logs", "--since", "yesterday", &id]).bad(125);
    assert!(text.starts_with("ctrun: invalid value 'yesterday' for '--since"), "{text}");
}

#[test]
fn follow_ends_with_the_container() {
    let bench = Bench::new();
    let id = bench.detached(&[], "for i in 1 2 3 4; do echo $i; sleep 0.1; done; echo end >&2");
    let log = bench.ctrun(&["logs", "--follow", &id]);
    assert_eq!((log.code, log.out.as_str(), log.err.as_str()), (0, "1\n2\n3\n4\n", "end\n"));
    // The same of one that has ended.
    assert_eq!(bench.ctrun(&["logs", "-f", "-n1", &id]).err, "end\n");
}

#[test]
fn follow_of_a_container_that_is_removed_shows_all() {
    let bench = Bench::new();
    let id = bench.detached(&["--rm"], "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done");
    assert_eq!(bench.ctrun(&["logs", "-f", &id]).good(), "1\n2\n3\n4\n5\n6\n");
}

#[test]
fn log_keeps_the_newest_up_to_its_size() {
    let bench = Bench::new();
    let script = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done";
    let id = ended(&bench, &["--log-size", "8k"], script);
    let text = bench.ctrun(&["logs", &id]).good();
    assert!(text.ends_with("line 2998\nline 2999\n"), "{text}");
    assert!(!text.contains("line 0\n"), "{text}");
    let directory = bench.path(&format!("run/containers/{id}"));
    let size = |name: &str| std::fs::metadata(directory.join(name)).expect(name).len();
    // One frame may go beyond a half.
    assert!(size("log") + size("log.1") <= 8192 + 65_536, "{} {}", size("log"), size("log.1"));
    assert!(text.len() > 1000, "{}", text.len());
}

#[test]
fn attached_container_has_no_log_and_says_so() {
    let bench = Bench::new();
    bench.ctrun(&["run", "--name", "plain", "host", "true"]).good();
    let text = bench.ctrun(&["logs", "plain"]).bad(125);
    assert!(text.starts_with("ctrun: state: container "), "{text}");
    assert!(text.contains(" has no log\nhint: its output went to whoever ran it"), "{text}");
    let text = bench.ctrun(&["logs", "nosuch"]).bad(125);
    assert_eq!(text, "ctrun: state: container \"nosuch\" does not exist\n");
}

#[test]
fn reader_that_goes_away_ends_it_quietly() {
    let bench = Bench::new();
    let id = bench.detached(&[], "while :; do echo line; sleep 0.02; done");
    let mut command = bench.command(&["logs", "-f", &id]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("ctrun");
    drop(child.stdout.take());
    let ran = Ran::from(child.wait_with_output().expect("ctrun"));
    assert_eq!(ran, Ran { code: 0, out: String::new(), err: String::new() });
}
