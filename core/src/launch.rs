//! The run pipeline on the host's side, in order:
//!
//! root → process → groups → streams → state directory → plan → helper → verdict
//!
//! Everything that can fail for the caller's reasons fails before a process
//! exists. What is made before the helper runs is recorded first and undone
//! here on failure; from then on the helper undoes.

mod channel;
mod describe;
mod fault;
mod filesystem;
pub(crate) mod groups;
mod plan;
mod program;
mod security;
#[allow(unsafe_code, reason = "the two clones, and what runs between them and exec")]
mod spawn;
mod stdio;

use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use libctr_helper::fault::Fault;
use libctr_helper::message::{Control, Message};
use libctr_helper::plan::Field;
use nix::libc;
use nix::time::{ClockId, clock_gettime};

pub use stdio::Stdio;

use crate::cgroup::Setup;
use crate::container::Container;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::{Image, RootDirectory};
use crate::process::{self, Process};
use crate::runtime::Runtime;
use crate::sandbox::{Sandbox, Upper};
use crate::spec::{Network, Pull, Root, RunSpec, Seccomp, UserNamespace, Writable};
use crate::state::{Created, Meta, StateDir};
use crate::sys;
use plan::Plan;

/// What a run needs that no document can carry.
#[derive(Debug, Default)]
pub struct RunOptions<'a> {
    /// Standard input of the program.
    pub stdin: Stdio,
    /// Standard output of the program.
    pub stdout: Stdio,
    /// Standard error of the program.
    pub stderr: Stdio,
    /// When it becomes readable, the start is given up and undone.
    pub cancel: Option<BorrowedFd<'a>>,
    /// Rows and columns of the terminal, if `tty` is set.
    pub terminal: Option<(u16, u16)>,
}

/// Runs the pipeline up to "the program was executed".
pub(crate) fn run(runtime: &Runtime, spec: &RunSpec, options: RunOptions<'_>) -> Result<Container> {
    let begun = now();
    spec.validate()?;
    refuse_what_is_missing(spec)?;

    let root = root(runtime, spec)?;
    let id = crate::state::new_id()?;
    let hostname = spec.hostname.clone().unwrap_or_else(|| id[..12].to_owned());
    let config = root.image.as_ref().and_then(|image| image.config.config().as_ref());
    let process = process::resolve(spec, config, &root.sandbox.lowers, &hostname)?;
    let setup = groups::choose(&id, &spec.limits)?;
    let upper = match spec.writable() {
        Writable::Memory => Upper::Memory,
        Writable::Disk => Upper::Disk(runtime.data().join("upper").join(&id)),
    };
    let streams = stdio::open([options.stdin, options.stdout, options.stderr])?;

    let meta = meta(&id, &hostname, spec, &root, &process, &setup, &upper)?;
    let Created { dir, lock, exit, status } = StateDir::create(runtime.run_directory(), &meta)?;
    let mut undo = Undo { run: runtime.run_directory(), dir: &dir, meta: &meta, setup: None };
    if let Upper::Disk(path) = &upper {
        make_directory(path)?;
    }
    setup.create()?;
    undo.setup = Some(&setup);

    let (channel, their_end) = channel::pair()?;
    let lifeline = match spec.detach {
        true => None,
        false => Some(
            sys::pidfd_open(std::process::id().cast_signed())
                .map_err(|errno| Error::sys(Stage::Launch, "pidfd_open(own process)", errno))?,
        ),
    };
    let log = streams.log.iter().any(Option::is_some).then(|| open_directory(&dir)).transpose()?;

    let mut plan = Plan::new();
    let place = filesystem::Root {
        sandbox: &root.sandbox,
        upper: &upper,
        top: root.top,
        stage: dir.path(),
        hostname: &hostname,
        unified: setup.groups.v2.is_some() && setup.groups.v1.is_empty(),
        volatile: meta.removed,
    };
    describe::life(&mut plan, spec, &process, &meta, runtime.run_directory(), dir.path());
    plan.set(Field::Begun, begun);
    filesystem::write(&mut plan, spec, &place)?;
    security::write(&mut plan, spec, &process)?;
    describe::program(&mut plan, spec, &process);
    if let Some((rows, columns)) = options.terminal.filter(|_| spec.tty) {
        plan.set(Field::Rows, rows);
        plan.set(Field::Columns, columns);
    }

    let mut keep: Vec<RawFd> = Vec::with_capacity(16);
    let mut hand = |field: Field, fd: BorrowedFd<'_>| {
        plan.descriptor(field, fd);
        keep.push(fd.as_raw_fd());
    };
    hand(Field::Channel, their_end.as_fd());
    hand(Field::Exit, exit.as_fd());
    hand(Field::Status, status.as_fd());
    for (field, stream) in
        [Field::Stdin, Field::Stdout, Field::Stderr].into_iter().zip(&streams.program)
    {
        hand(field, stream.as_fd());
    }
    let optional = [
        (Field::Lifeline, lifeline.as_ref()),
        (Field::LogStdout, streams.log[0].as_ref()),
        (Field::LogStderr, streams.log[1].as_ref()),
        (Field::LogDirectory, log.as_ref()),
    ];
    for (field, fd) in optional {
        if let Some(fd) = fd {
            hand(field, fd.as_fd());
        }
    }
    keep.push(lock.as_raw_fd());
    if let Some(image) = &root.image {
        keep.extend(image.locks().iter().map(AsRawFd::as_raw_fd));
    }

    let bytes = plan.to_bytes();
    let helper = start_helper(runtime, &bytes, &mut keep, dir.path())?;
    // The helper has its own copies: whoever waits for the other end of one
    // must not wait for this process.
    drop((their_end, lock, status, lifeline, log));
    let [stdin, stdout, stderr] = streams.caller;
    drop((streams.program, streams.log));
    match verdict(&channel, &helper, &bytes, options.cancel) {
        Ok((pidfd, pid, terminal)) => {
            undo.disarm();
            Ok(Container::started(
                runtime,
                dir.clone(),
                meta.clone(),
                crate::container::Started {
                    helper,
                    pid,
                    pidfd,
                    exit,
                    terminal,
                    streams: [stdin, stdout, stderr],
                },
            ))
        }
        Err(error) => {
            // The helper has undone everything once it has ended.
            let _ = crate::wait::until_readable(helper.as_fd(), Some(Duration::from_secs(10)));
            sys::reap_pidfd(helper.as_fd());
            Err(error)
        }
    }
}

/// What later versions bring is an error now, before anything is made.
fn refuse_what_is_missing(spec: &RunSpec) -> Result<()> {
    let missing = |stage, what: &str| {
        Err(Error::new(
            stage,
            ErrorKind::Unsupported,
            format!("{what} is not supported by this version"),
        ))
    };
    match spec {
        RunSpec { network: Network::Nat, .. } => missing(Stage::Network, "network: nat"),
        RunSpec { publish, .. } if !publish.is_empty() => missing(Stage::Network, "publish"),
        RunSpec { bundle: Some(_), .. } => missing(Stage::Rootfs, "bundle"),
        _ if matches!(spec.security.user_namespace, UserNamespace::Map { .. }) => {
            missing(Stage::User, "security.user_namespace with maps")
        }
        _ if matches!(spec.security.seccomp, Seccomp::Profile(_)) => {
            missing(Stage::User, "security.seccomp with a profile")
        }
        _ if !nix::unistd::geteuid().is_root() => {
            missing(Stage::Launch, "running as an ordinary user")
                .map_err(|error: Error| error.with_hint("run as root"))
        }
        _ => Ok(()),
    }
}

/// The root's layers, and what keeps them.
struct RootParts {
    sandbox: Sandbox,
    top: RootDirectory,
    image: Option<Image>,
    /// As the caller named it.
    name: String,
}

fn root(runtime: &Runtime, spec: &RunSpec) -> Result<RootParts> {
    match spec.root() {
        Root::Host => Ok(RootParts {
            sandbox: Sandbox::host(&[runtime.data(), runtime.run_directory()]),
            top: RootDirectory::default(),
            image: None,
            name: "host".into(),
        }),
        Root::Directory(path) => {
            let found = fs::canonicalize(path).map_err(|error| {
                Error::io(Stage::Rootfs, format!("rootfs: realpath({path:?})"), error)
            })?;
            if !found.is_dir() {
                return Err(Error::invalid(
                    Stage::Rootfs,
                    format!("rootfs: {path:?} is no directory"),
                ));
            }
            Ok(RootParts {
                name: path.display().to_string(),
                sandbox: Sandbox::layers(vec![found]),
                top: RootDirectory::default(),
                image: None,
            })
        }
        Root::Image(name) => {
            if spec.pull == Pull::Always {
                let message =
                    "pull: always needs a registry client, which this version does not have";
                return Err(Error::new(Stage::Image, ErrorKind::Unsupported, message)
                    .with_hint("load the image from an archive and use pull: missing or never"));
            }
            let image = runtime.images()?.get(name)?;
            let lowers = image.layers.iter().rev().map(|layer| layer.path.clone()).collect();
            Ok(RootParts {
                sandbox: Sandbox::layers(lowers),
                top: image.root,
                name: name.into(),
                image: Some(image),
            })
        }
        Root::Bundle(path) => Err(Error::invalid(Stage::Rootfs, format!("bundle: {path:?}"))),
    }
}

fn meta(
    id: &str,
    hostname: &str,
    spec: &RunSpec,
    root: &RootParts,
    process: &Process,
    setup: &Setup,
    upper: &Upper,
) -> Result<Meta> {
    let document = spec.to_json()?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Meta {
        id: id.into(),
        name: spec.name.clone(),
        image: root.name.clone(),
        image_id: root.image.as_ref().map(|image| image.id.clone()),
        layers: root
            .image
            .iter()
            .flat_map(|image| &image.layers)
            .map(|layer| layer.id.clone())
            .collect(),
        command: process.args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect(),
        created_at_ns: u64::try_from(since.as_nanos()).unwrap_or(u64::MAX),
        hostname: hostname.into(),
        labels: spec.labels.clone(),
        detached: spec.detach,
        removed: spec.is_removed(),
        groups: setup.groups.clone(),
        upper: match upper {
            Upper::Memory => None,
            Upper::Disk(path) => Some(path.clone()),
        },
        stop_signal: process.stop_signal,
        spec: serde_json::from_str(&document).unwrap_or_default(),
    })
}

fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::io(Stage::Rootfs, format!("mkdir({path:?})"), error))
}

fn open_directory(dir: &StateDir) -> Result<OwnedFd> {
    let path = dir.path();
    let file = File::open(path)
        .map_err(|error| Error::io(Stage::State, format!("open({path:?})"), error))?;
    sys::high(file.into())
        .map_err(|errno| Error::sys(Stage::State, "fcntl(F_DUPFD_CLOEXEC)", errno))
}

/// CLOCK_MONOTONIC in nanoseconds.
fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| u64::try_from(Duration::from(time).as_nanos()).unwrap_or(0))
}

/// Executes the helper, from the first place from which it can be.
fn start_helper(
    runtime: &Runtime,
    plan: &[u8],
    keep: &mut Vec<RawFd>,
    dir: &Path,
) -> Result<OwnedFd> {
    let plan = program::memory_file(c"libctr-plan", plan, false)?;
    keep.push(plan.as_raw_fd());
    let start = |program: &OwnedFd| spawn::spawn(program.as_fd(), plan.as_fd(), keep);
    if let Some(path) = runtime.helper() {
        return start(&program::at(path)?);
    }
    let forbidden = |error: &Error| matches!(error.errno(), Some(libc::EACCES | libc::EPERM));
    let mut started = program::sealed().and_then(|program| start(&program));
    for directory in [dir, runtime.data()] {
        match &started {
            Err(error) if forbidden(error) => {
                started = program::unlinked(directory).and_then(|program| start(&program));
            }
            _ => break,
        }
    }
    started
}

/// Waits for what the helper says of the start.
fn verdict(
    channel: &channel::Channel,
    helper: &OwnedFd,
    plan: &[u8],
    cancel: Option<BorrowedFd<'_>>,
) -> Result<(OwnedFd, i32, Option<OwnedFd>)> {
    let mut cancel = cancel;
    let mut cancelled = None;
    loop {
        let message = match channel.receive(cancel) {
            Err(error) if error.kind() == ErrorKind::Cancelled => {
                // Ask the helper to undo, then wait for its last word.
                // At once: no grace period is due to a program that the caller
                // never got to see.
                let value = Control::Kill.to_value();
                let _ = sys::pidfd_queue(helper.as_fd(), Control::SIGNAL, value);
                cancelled = Some(error);
                cancel = None;
                continue;
            }
            other => other?,
        };
        match (message, cancelled.take()) {
            (Some((Message::Started { pid }, [Some(pidfd), terminal])), None) => {
                return Ok((pidfd, pid, terminal));
            }
            (_, Some(error)) => return Err(error),
            (Some((Message::Failed(fault), _)), None) => return Err(failed(plan, fault)),
            (Some(_), None) => {
                return Err(Error::new(
                    Stage::Launch,
                    ErrorKind::Internal,
                    "the helper sent an unknown message",
                ));
            }
            (None, None) => {
                let message = "the helper ended before the container was started";
                return Err(Error::new(Stage::Launch, ErrorKind::SetupFailed, message)
                    .with_hint("was it killed? is memory short?"));
            }
        }
    }
}

fn failed(plan: &[u8], fault: Fault) -> Error {
    fault::error(plan, fault)
}

/// Removes what was made, unless the start succeeds.
struct Undo<'a> {
    run: &'a Path,
    dir: &'a StateDir,
    meta: &'a Meta,
    setup: Option<&'a Setup>,
}

impl Undo<'_> {
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        if self.setup.is_some() {
            let _ = self.meta.groups.remove();
        }
        let _ = self.dir.remove(self.run, self.meta);
    }
}
