//! A machine of its own for each test: directories that nobody else uses, and
//! a look at its end whether anything is left.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a command wrote and ended with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    /// What it printed, of a command that must succeed and say nothing else.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "stdout: {}", self.out);
        self.out
    }

    /// The same as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.good()).expect("JSON")
    }

    /// What it complained about, of a command that must fail with this code
    /// and print nothing.
    #[track_caller]
    pub(crate) fn bad(self, code: i32) -> String {
        assert_eq!((self.code, self.out.as_str()), (code, ""), "stderr: {}", self.err);
        self.err
    }
}

/// One test's directories.
#[derive(Debug)]
pub(crate) struct Bench {
    dir: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        Bench { dir: tempfile::tempdir().expect("directory") }
    }

    /// A bench where limits can be enforced, or `None` after saying so: then
    /// they must be refused with a command that changes it.
    pub(crate) fn limited() -> Option<Bench> {
        let bench = Bench::new();
        let ran = bench.ctrun(&["run", "--rm", "-m", "256M", "host", "true"]);
        if ran.code == 0 {
            return Some(bench);
        }
        let refused = "cgroup: limits.memory cannot be enforced: ";
        assert!(ran.code == 125 && ran.err.contains(refused), "{ran:?}");
        assert!(ran.err.contains("\nhint: "), "no hint: {}", ran.err);
        skip_as_user(&ran.err);
        None
    }

    /// A bench of root, or `None` after saying so.
    pub(crate) fn of_root() -> Option<Bench> {
        if !is_root() {
            skip_as_user("needs root");
            return None;
        }
        Some(Bench::new())
    }

    /// A path of this test's own, outside the runtime's directories.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ctrun"));
        command.arg("--root").arg(self.path("run")).arg("--data").arg(self.path("data"));
        command.args(arguments);
        command
    }

    /// Runs a command without input.
    pub(crate) fn ctrun(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).stdin(Stdio::null()).output().expect("ctrun").into()
    }

    /// Runs a command with input.
    pub(crate) fn feed(&self, input: &str, arguments: &[&str]) -> Ran {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("ctrun");
        // It may end without having read anything.
        let _ = child.stdin.take().expect("stdin").write_all(input.as_bytes());
        child.wait_with_output().expect("ctrun").into()
    }

    /// Starts a detached container with a shell script; returns its id.
    #[track_caller]
    pub(crate) fn detached(&self, options: &[&str], script: &str) -> String {
        let arguments = [&["run", "-d"], options, &["host", "sh", "-c", script]].concat();
        let id = self.ctrun(&arguments).good();
        assert_eq!((id.len(), id.trim_end().len()), (33, 32), "{id:?}");
        id.trim_end().to_owned()
    }

    /// Starts an attached container whose output can be read while it runs.
    pub(crate) fn attached(&self, options: &[&str], script: &str) -> Child {
        let arguments = [&["run"], options, &["host", "sh", "-c", script]].concat();
        let mut command = self.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("ctrun")
    }

    fn names(&self, path: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(path)) else { return Vec::new() };
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into()).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let ids = self.names("run/containers");
        for id in &ids {
            let removed = self.ctrun(&["rm", "-f", id]);
            assert!(removed.code == 0 || std::thread::panicking(), "{removed:?}");
        }
        if std::thread::panicking() {
            return;
        }
        for path in ["run/containers", "run/names", "data/upper", "data/stage"] {
            assert_eq!(self.names(path), [""; 0], "left in {path}");
        }
        for id in &ids {
            assert!(groups(id).is_empty(), "left of {id}");
        }
    }
}

/// Says why a test does nothing, or fails where it must not be skipped.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn skip(reason: &str) {
    assert!(std::env::var_os("LIBCTR_TEST_REQUIRE").is_none(), "cannot be skipped: {reason}");
    eprintln!("skipped: {reason}");
}

/// Says that an ordinary user cannot have what the test needs; a failure where
/// more than an ordinary user's is required.
#[expect(clippy::print_stderr, reason = "a skip must be seen")]
pub(crate) fn skip_as_user(reason: &str) {
    match std::env::var("LIBCTR_TEST_REQUIRE").as_deref() {
        Ok("user") if !is_root() => eprintln!("skipped: {reason}"),
        _ => skip(reason),
    }
}

pub(crate) fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The control groups of a container.
pub(crate) fn groups(id: &str) -> Vec<PathBuf> {
    let name = format!("libctr-{id}");
    let mounts = std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let places = mounts.map(|mount| mount.path()).chain([PathBuf::from("/sys/fs/cgroup")]);
    places.map(|place| place.join(&name)).filter(|path| path.exists()).collect()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until a file has some contents.
#[track_caller]
pub(crate) fn appears(path: &Path) -> String {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    until(&format!("{path:?} has contents"), || !read().is_empty());
    read()
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().cast_signed()), signal).expect("kill");
}
