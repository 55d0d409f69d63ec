//! Loads in a process of its own, to measure its memory and to trace it.

use std::path::Path;
use std::process::Command;

use libctr::image::{Limits, LoadOptions, Source, Store};
use serde_json::{Value, json};

/// How a load in a child ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The error's kind and text; `None`: it was loaded.
    pub(crate) error: Option<(String, String)>,
    /// Bytes by which the peak of the resident memory grew.
    pub(crate) grown: u64,
}

/// The name of the test that is the child: every program that uses [`load`]
/// has one, which calls [`main`].
const NAME: &str = "child_of_the_other_tests";
const JOB: &str = "LIBCTR_HOSTILE_JOB";

/// Loads `archive` into the store at `store`, run by `wrapper` if there is one.
pub(crate) fn load(store: &Path, archive: &Path, limits: &Value, wrapper: &[&str]) -> Ended {
    let result = archive.with_extension("result");
    let job = json!({"store": store, "archive": archive, "limits": limits, "result": result});
    let this = std::env::current_exe().expect("own path");
    let mut words: Vec<&str> = wrapper.to_vec();
    words.extend([this.to_str().expect("path"), "--exact", NAME, "--ignored", "--test-threads=1"]);
    let output = Command::new(words[0])
        .args(&words[1..])
        .env(JOB, job.to_string())
        .output()
        .expect("a child");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let ended: Value =
        serde_json::from_slice(&std::fs::read(result).expect("a result")).expect("a document");
    let word = |key: &str| ended[key].as_str().map(str::to_owned);
    Ended {
        error: word("kind").zip(word("error")),
        grown: ended["grown"].as_u64().expect("a number"),
    }
}

/// The child: does the job, if there is one.
pub(crate) fn main() {
    let Some(job) = std::env::var_os(JOB) else { return };
    let job: Value = serde_json::from_str(job.to_str().expect("text")).expect("a job");
    let path = |key: &str| Path::new(job[key].as_str().expect("a path")).to_owned();
    let store = Store::open(&path("store")).expect("store");
    let mut options = LoadOptions::default();
    options.limits = limits(&job["limits"]);
    let before = peak();
    let loaded = store.load(Source::Path(path("archive")), &options);
    let grown = peak() - before;
    let (kind, error) = match &loaded {
        Ok(_) => (None, None),
        Err(error) => (Some(format!("{:?}", error.kind())), Some(error.to_string())),
    };
    let result = json!({"grown": grown, "kind": kind, "error": error});
    std::fs::write(path("result"), result.to_string()).expect("result");
}

fn limits(given: &Value) -> Limits {
    let mut limits = Limits::default();
    for (key, field) in [
        ("bytes", &mut limits.bytes),
        ("entries", &mut limits.entries),
        ("extended", &mut limits.extended),
    ] {
        *field = given[key].as_u64().unwrap_or(*field);
    }
    limits
}

/// Peak of the resident memory in bytes (proc_pid_status(5)).
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    let kilobytes: u64 =
        line.trim().trim_end_matches(" kB").parse().expect("a number of kilobytes");
    kilobytes << 10
}
