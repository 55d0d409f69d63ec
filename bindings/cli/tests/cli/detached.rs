//! A detached container goes on without its `ctrun`.

use std::fs;

use crate::bench::{Bench, groups, until};

#[test]
fn container_survives_ctrun_and_keeps_log_and_record() {
    let bench = Bench::new();
    let folder = bench.path("folder");
    fs::create_dir(&folder).expect("folder");
    let volume = format!("{}:/mnt", folder.display());
    let script = "echo begun; while [ ! -e /mnt/go ]; do sleep 0.02; done; echo done >&2; exit 6";
    let id = bench.detached(&["--name", "worker", "-v", &volume], script);
    let info = &bench.ctrun(&["inspect", "worker"]).json()[0];
    assert_eq!((&info["id"], &info["status"]), (&id.as_str().into(), &"running".into()));
    assert_eq!((&info["detached"], &info["removed"]), (&true.into(), &false.into()));
    fs::write(folder.join("go"), "").expect("file");
    assert_eq!(bench.ctrun(&["wait", "worker"]).good(), "6\n");
    let log = bench.ctrun(&["logs", "worker"]);
    assert_eq!((log.out.as_str(), log.err.as_str()), ("begun\n", "done\n"));
    let info = &bench.ctrun(&["inspect", "worker"]).json()[0];
    assert_eq!((&info["status"], &info["exit"]["code"]), (&"exited".into(), &6.into()));
    until("the groups are gone", || groups(&id).is_empty());
    // Its end is not the end of its name.
    bench.ctrun(&["rm", "worker"]).good();
    assert_eq!(bench.ctrun(&["ps", "-aq"]).good(), "");
}

#[test]
fn container_that_is_removed_at_its_end_leaves_nothing() {
    let bench = Bench::new();
    let id = bench.detached(&["--rm"], "sleep 0.3");
    assert_eq!(bench.ctrun(&["wait", &id]).good(), "0\n");
    let text = bench.ctrun(&["inspect", &id]);
    assert_eq!((text.code, text.out.as_str()), (125, "[]\n"));
    assert_eq!(text.err, format!("ctrun: state: container {id:?} does not exist\n"));
}

#[test]
fn input_of_a_detached_container_may_be_a_file() {
    let bench = Bench::new();
    let id = bench.feed("from outside\n", &["run", "-di", "host", "cat"]).good();
    assert_eq!(bench.ctrun(&["wait", id.trim()]).good(), "0\n");
    assert_eq!(bench.ctrun(&["logs", id.trim()]).good(), "from outside\n");
}

#[test]
fn terminal_of_a_detached_container_stays_open_and_is_logged() {
    let bench = Bench::new();
    let script = "test -t 0 && test -t 1 && echo terminal; read line || echo closed; echo $line";
    let id = bench.ctrun(&["run", "-dit", "host", "sh", "-c", script]).good();
    let id = id.trim();
    while bench.ctrun(&["logs", id]).good().is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    // Nobody types, so it waits.
    assert_eq!(bench.ctrun(&["stop", "-t", "0", id]).good().trim(), id);
    assert_eq!(bench.ctrun(&["logs", id]).good(), "terminal\r\n");
}
