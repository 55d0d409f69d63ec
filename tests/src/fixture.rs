//! A runtime with directories of its own, and short ways to run the probe.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libctr::spec::{Mount, RunSpec};
use libctr::{
    Container, Error, ErrorKind, Outcome, Output, RunOptions, Runtime, RuntimeOptions, Stage, Stdio,
};
use tempfile::TempDir;

use crate::leaks::{self, Before};
use crate::skip::{in_vm, is_root, not_here, skip, skip_as_user};

/// Tests of one process run one after the other: descriptors and children are
/// the whole process' own.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The static probe on this machine.
#[must_use]
pub fn probe_path() -> &'static Path {
    Path::new(env!("LIBCTR_PROBE"))
}

/// The process id of a container's helper.
///
/// # Panics
/// If the container does not run.
#[must_use]
pub fn helper(container: &Container) -> i32 {
    number(container, "helper")
}

/// The process id, as the host sees it, of a container's program.
///
/// # Panics
/// If the container does not run.
#[must_use]
pub fn program(container: &Container) -> i32 {
    number(container, "program")
}

fn number(container: &Container, name: &str) -> i32 {
    let text = std::fs::read_to_string(container.directory().join("status.json")).expect("status");
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    json[name].as_i64().and_then(|pid| pid.try_into().ok()).expect("process id")
}

/// A runtime of one test. When it is dropped nothing may be left.
#[derive(Debug)]
pub struct Fixture {
    /// There until the fixture is dropped.
    runtime: Option<Runtime>,
    directory: TempDir,
    mark: String,
    before: Before,
    _turn: MutexGuard<'static, ()>,
}

/// A fixture, or `None` after a printed skip where no container can be run: for
/// an ordinary user on a machine that forbids user namespaces.
#[must_use]
pub fn fixture() -> Option<Fixture> {
    static REFUSED: OnceLock<Option<String>> = OnceLock::new();
    let fixture = Fixture::take();
    let refused = REFUSED.get_or_init(|| {
        if is_root() {
            return None;
        }
        let kind =
            |error: &Error| matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unsupported);
        fixture
            .try_start(&fixture.probe(&[]))
            .and_then(|first| first.wait(None))
            .err()
            .filter(kind)
            .map(|error| error.to_string())
    });
    match refused {
        None => Some(fixture),
        Some(reason) => {
            skip(reason);
            None
        }
    }
}

/// A fixture of an ordinary user; for root `None`, which only in `job` is a
/// failure: see [`not_here`].
#[must_use]
pub fn fixture_of_user(job: &str) -> Option<Fixture> {
    if nix::unistd::geteuid().is_root() {
        not_here(job, "is about ordinary users, and this is root");
        return None;
    }
    Some(Fixture::take())
}

impl Fixture {
    /// A fixture, whether a container can be run here or not.
    #[must_use]
    pub fn take() -> Fixture {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let directory =
            tempfile::Builder::new().prefix("libctr-test-").tempdir().expect("directory");
        let before = Before::look(directory.path());
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Fixture {
            runtime: Some(Runtime::open(&options_in(directory.path())).expect("runtime")),
            mark: format!("{}.{number}", std::process::id()),
            directory,
            before,
            _turn: turn,
        }
    }

    /// The runtime.
    #[must_use]
    pub fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("a fixture in use")
    }

    /// A second runtime on the same directories; opening it sweeps them.
    #[must_use]
    pub fn reopen(&self) -> Runtime {
        Runtime::open(&self.options()).expect("runtime")
    }

    /// What opens the fixture's directories.
    #[must_use]
    pub fn options(&self) -> RuntimeOptions {
        options_in(self.directory.path())
    }

    /// The fixture's own directory: files of the test may go here.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A new directory, below the fixture's own.
    #[must_use]
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(&path).expect("directory");
        path
    }

    /// A directory that can be a root: nothing but the probe, as `/probe`.
    #[must_use]
    pub fn rootfs(&self, name: &str) -> PathBuf {
        let root = self.directory(name);
        std::fs::copy(probe_path(), root.join("probe")).expect("probe");
        root
    }

    /// The variable that marks this fixture's processes.
    #[must_use]
    pub fn mark(&self) -> (String, String) {
        ("LIBCTR_TEST".into(), self.mark.clone())
    }

    /// A run of the probe in the host's root, which shows it as `/probe`.
    #[must_use]
    pub fn probe(&self, words: &[&str]) -> RunSpec {
        let args = std::iter::once("/probe").chain(words.iter().copied()).map(Into::into);
        let mut spec = RunSpec { args: args.collect(), ..RunSpec::default() };
        let (name, mark) = self.mark();
        spec.env.insert(name, Some(mark.as_str().into()));
        spec.mounts.push(Mount::bind(probe_path(), "/probe"));
        spec
    }

    /// Starts a container with pipes for all three streams.
    ///
    /// # Errors
    /// Those of [`Runtime::run`].
    pub fn try_start(&self, spec: &RunSpec) -> Result<Container, Error> {
        let (stdin, stdout, stderr) = (Stdio::Pipe, Stdio::Pipe, Stdio::Pipe);
        self.runtime().run(spec, RunOptions { stdin, stdout, stderr, ..RunOptions::default() })
    }

    /// As [`Fixture::try_start`]; an error fails the test.
    #[must_use]
    #[track_caller]
    pub fn start(&self, spec: &RunSpec) -> Container {
        self.try_start(spec).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Runs a container to its end.
    #[must_use]
    #[track_caller]
    pub fn run(&self, spec: &RunSpec) -> Output {
        self.start(spec).output(b"", &spec.limits).expect("output")
    }

    /// What the program of a spec prints; it must end with 0 and no complaint.
    #[must_use]
    #[track_caller]
    pub fn answer(&self, spec: &RunSpec) -> String {
        let output = self.run(spec);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let end = (output.exit.outcome, output.exit.code, stderr.as_str());
        assert_eq!(end, (Outcome::Exited, Some(0), ""), "{stdout}");
        stdout.strip_suffix('\n').unwrap_or(&stdout).to_owned()
    }

    /// What the probe answers in a container with every default.
    #[must_use]
    #[track_caller]
    pub fn ask(&self, words: &[&str]) -> String {
        self.answer(&self.probe(words))
    }

    /// The whole error of a run that cannot start: kind, stage, errno, text.
    #[must_use]
    #[track_caller]
    pub fn refusal(&self, spec: &RunSpec) -> (ErrorKind, Stage, Option<i32>, String) {
        match self.try_start(spec) {
            Ok(container) => panic!("it started: {:?}", container.stop(std::time::Duration::ZERO)),
            Err(error) => (error.kind(), error.stage(), error.errno(), error.to_string()),
        }
    }

    /// Whether limits can be enforced here; false after a skip. Where they
    /// cannot, a run that asks for one must have been refused before anything
    /// was made: with the limit, why, and a command that changes it.
    #[must_use]
    #[track_caller]
    pub fn has_groups(&self) -> bool {
        let mut spec = self.probe(&[]);
        spec.limits.memory = Some(256 << 20);
        match self.try_start(&spec) {
            Ok(container) => container.wait(None).is_ok_and(|exit| exit.is_some()),
            Err(error) => {
                assert_eq!(error.stage(), Stage::Cgroup, "{error}");
                let is_refusal = matches!(error.kind(), ErrorKind::Denied | ErrorKind::Unsupported);
                assert!(is_refusal, "{:?}: {error}", error.kind());
                let text = error.message();
                assert!(text.starts_with("limits.memory cannot be enforced: "), "{text}");
                assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
                assert_eq!(self.processes(), Vec::<String>::new());
                // There an ordinary user has a group.
                if in_vm() {
                    skip(&error.to_string())
                } else {
                    skip_as_user(&error.to_string())
                }
                false
            }
        }
    }

    /// Processes of its containers and their helpers, wherever they are.
    #[must_use]
    pub fn processes(&self) -> Vec<String> {
        let (name, mark) = self.mark();
        leaks::processes(self.path(), &format!("{name}={mark}"))
    }

    /// Fails the test if anything of it is left; also done at its end.
    #[track_caller]
    pub fn assert_clean(&self) {
        let (name, mark) = self.mark();
        self.before.compare(self.path(), &format!("{name}={mark}"));
    }
}

fn options_in(directory: &Path) -> RuntimeOptions {
    RuntimeOptions {
        run: Some(directory.join("run")),
        data: Some(directory.join("data")),
        ..RuntimeOptions::default()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // It holds the image store open.
        drop(self.runtime.take());
        if !std::thread::panicking() {
            self.assert_clean();
        }
    }
}
