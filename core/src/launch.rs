//! The run pipeline on the host's side, in order:
//!
//! root → process → filter → groups → streams → state directory → plan → helper → verdict
//!
//! Everything that can fail for the caller's reasons fails before a process
//! exists. What is made before the helper runs is recorded first and undone
//! here on failure; from then on the helper undoes.
//!
//! Where no overlay can be mounted, the helper says so and a second attempt
//! begins with a private copy of the root.

mod degraded;
mod describe;
mod devices;
pub(crate) mod exec;
mod filesystem;
#[cfg(fuzzing)]
pub mod fuzz;
pub(crate) mod groups;
mod landlock;
mod mounts;
mod oci;
mod root;
mod seccomp;
mod security;
mod stdio;
mod verdict;

use std::fs::{DirBuilder, File};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use libctr_helper::message::Control;
use libctr_helper::plan::{Field, flag};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};

pub use stdio::Stdio;
use stdio::Streams;

use crate::cgroup::Setup;
use crate::container::{Container, Started};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::helper::{self, channel};
use crate::process::{self, Process};
use crate::runtime::Runtime;
use crate::sandbox::{self, Upper};
use crate::spec::{Degraded, Network, Root, RunSpec, Writable};
use crate::state::{Created, ExecBasis, Meta, RootMount, StateDir};
use crate::sys;
use crate::userns::Users;
use devices::Devices;
use root::RootParts;
use seccomp::Filter;
use verdict::{Executed, Failure, verdict};

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

    let root = root::find(runtime, spec)?;
    let id = crate::state::new_id()?;
    let hostname = spec.hostname.clone().unwrap_or_else(|| id[..12].to_owned());
    let config = root.image.as_ref().and_then(|image| image.config.config().as_ref());
    let process = process::resolve(spec, config, &root.sandbox.lowers, &hostname)?;
    let users = Users::choose(&spec.security.user_namespace, process.uid, process.gid)?;
    if let Some(users) = &users {
        users.check(process.uid, process.gid, !spec.groups.is_empty())?;
    }
    let filter = seccomp::filter(spec, security::bounding(spec, users.as_ref())?)?;
    let devices = devices::resolve(spec, users.is_some())?;
    let setup = groups::choose(&id, &spec.limits, &devices.filter, options.cancel)?;
    let upper = match spec.writable() {
        Writable::Memory => Upper::Memory,
        Writable::Disk => Upper::Disk(runtime.data().join("upper").join(&id)),
    };
    let streams = stdio::open([options.stdin, options.stdout, options.stderr])?;

    let start = Start {
        runtime,
        spec,
        begun,
        root: &root,
        id: &id,
        hostname: &hostname,
        process: &process,
        filter: filter.as_ref(),
        users: users.as_ref(),
        devices: &devices,
        setup: &setup,
        streams: &streams,
        cancel: options.cancel,
        terminal: options.terminal,
    };
    let (dir, meta, mut started) = match attempt(&start, &upper) {
        // What the first attempt had made is gone by now. The host's own root
        // is no tree to be copied.
        Err(Failure::NoOverlay(first)) if !matches!(spec.root(), Root::Host) => {
            let copy = Upper::Copy(runtime.data().join("upper").join(&id));
            attempt(&start, &copy).map_err(|failure| Error::from(failure).with_source(first))?
        }
        Err(Failure::NoNamespaces(first)) if may_degrade(spec) => {
            degraded::check(spec, &process, filter.as_ref())
                .map_err(|error| error.with_source(first))?;
            let own = Upper::Nowhere(runtime.data().join("upper").join(&id));
            attempt(&start, &own)?
        }
        other => other?,
    };
    // The helper has its own copies: whoever waits for the other end of one
    // must not wait for this process.
    started.streams = streams.caller;
    Ok(Container::started(runtime, dir, meta, started))
}

/// What all attempts of a start have in common.
struct Start<'a> {
    runtime: &'a Runtime,
    spec: &'a RunSpec,
    /// CLOCK_MONOTONIC when the call began.
    begun: u64,
    root: &'a RootParts,
    id: &'a str,
    hostname: &'a str,
    process: &'a Process,
    filter: Option<&'a Filter>,
    users: Option<&'a Users>,
    devices: &'a Devices,
    setup: &'a Setup,
    streams: &'a Streams,
    cancel: Option<BorrowedFd<'a>>,
    terminal: Option<(u16, u16)>,
}

/// One attempt of a start, from the state directory to the verdict.
fn attempt(
    start: &Start<'_>,
    upper: &Upper,
) -> std::result::Result<(StateDir, Meta, Started), Failure> {
    let Start { runtime, spec, root, process, users, setup, streams, cancel, .. } = *start;
    let meta = meta(start, upper)?;
    let Created { dir, lock, exit, status } = StateDir::create(runtime.run_directory(), &meta)?;
    let undo = Undo { run: runtime.run_directory(), dir: &dir, meta: &meta };
    // Closed before that runs, which needs descriptors itself; the lock is held
    // until it is over, so that nobody else removes the same at that time.
    let (exit, status) = (exit, status);
    match upper {
        Upper::Memory => {}
        Upper::Disk(path) | Upper::Nowhere(path) => make_directory(path)?,
        Upper::Copy(path) => {
            make_directory(path)?;
            let top = filesystem::top(root.top);
            sandbox::copy(&root.sandbox.lowers, path, &top, users, &|| go_on(cancel))?;
        }
    }
    // Those that come later are of a user, who may set no filter of devices.
    let filtered = !setup.needs_helper() && setup.create()?;

    let (channel, their_end) = channel::pair()?;
    let own = std::process::id().cast_signed();
    let lifeline = (!spec.detach).then(|| match sys::pidfd_open(own) {
        // The helper then looks there now and then.
        Err(Errno::ENOSYS | Errno::EPERM) => sys::process_directory(own).map(|fd| (fd, true)),
        opened => opened.map(|fd| (fd, false)),
    });
    let lifeline = lifeline.transpose().map_err(|errno| {
        Error::sys(Stage::Launch, "pidfd_open(own process)", errno)
            .with_hint("before Linux 5.3 this needs a /proc of the own pid namespace")
    })?;
    let log = streams.log.iter().any(Option::is_some).then(|| open_directory(&dir)).transpose()?;

    let mut plan = Plan::new();
    let place = filesystem::Root {
        sandbox: &root.sandbox,
        upper,
        devices: start.devices,
        users,
        top: root.top,
        stage: dir.path(),
        hostname: start.hostname,
        unified: setup.groups.v2.is_some() && setup.groups.v1.is_empty(),
        volatile: meta.removed,
    };
    describe::life(&mut plan, spec, process, users, &meta, runtime.run_directory(), dir.path());
    plan.set(Field::Begun, start.begun);
    plan.flag(flag::AWAIT_GROUPS, setup.needs_helper());
    plan.flag(flag::LIFELINE_DIRECTORY, lifeline.as_ref().is_some_and(|(_, is)| *is));
    match upper {
        Upper::Nowhere(own) => degraded::write(&mut plan, spec, process, own)?,
        _ => {
            filesystem::write(&mut plan, spec, &place)?;
            security::write(&mut plan, spec, process, users, filtered)?;
            landlock::write(&mut plan, spec)?;
        }
    }
    seccomp::write(&mut plan, spec, start.filter);
    describe::program(&mut plan, spec, process);
    if let Some((rows, columns)) = start.terminal.filter(|_| spec.tty) {
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
        (Field::Lifeline, lifeline.as_ref().map(|(fd, _)| fd)),
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
    let devices = filtered.then_some(&start.devices.filter);
    dir.write("config.json", &oci::document(&bytes, spec, devices, start.filter)?)?;
    let helper = helper::start(&bytes, &keep, runtime.helper(), &[dir.path(), runtime.data()])?;
    drop((their_end, status, lifeline, log));
    let ready = match setup.needs_helper() {
        true => groups::create_around(setup, &helper, &channel, cancel),
        false => Ok(()),
    };
    let verdict =
        ready.map_err(Failure::from).and_then(|()| verdict(&channel, &helper, &bytes, cancel));
    match verdict {
        Ok(Executed { pid, pidfd, terminal, listener }) => {
            undo.disarm();
            let streams = [None, None, None];
            let started = Started { helper, pid, pidfd, exit, terminal, listener, streams };
            Ok((dir.clone(), meta.clone(), started))
        }
        Err(error) => {
            // Whatever this side could not hear, no program runs on.
            let _ = channel::ask(helper.as_fd(), Control::Kill);
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
        _ => Ok(()),
    }
}

fn may_degrade(spec: &RunSpec) -> bool {
    spec.degraded == Degraded::Allow && matches!(spec.root(), Root::Host)
}

fn meta(start: &Start<'_>, upper: &Upper) -> Result<Meta> {
    let Start { spec, root, process, setup, .. } = *start;
    let document = spec.to_json()?;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Ok(Meta {
        id: start.id.into(),
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
        hostname: start.hostname.into(),
        labels: spec.labels.clone(),
        detached: spec.detach,
        removed: spec.is_removed(),
        groups: setup.groups.clone(),
        root: match upper {
            Upper::Memory | Upper::Disk(_) => RootMount::Overlay,
            Upper::Copy(_) => RootMount::Copy,
            Upper::Nowhere(_) => RootMount::Degraded,
        },
        upper: match upper {
            Upper::Memory => None,
            Upper::Disk(path) | Upper::Copy(path) | Upper::Nowhere(path) => Some(path.clone()),
        },
        stop_signal: process.stop_signal,
        exec: ExecBasis {
            namespaces: match upper {
                Upper::Nowhere(_) => 0,
                _ => describe::namespaces(spec, start.users, &setup.groups),
            },
            env: process.given.clone(),
            cwd: process.cwd.clone().into_os_string().into(),
            user: process.user.clone(),
        },
        spec: serde_json::from_str(&document).unwrap_or_default(),
    })
}

/// Whether the caller has not given the start up.
fn go_on(cancel: Option<BorrowedFd<'_>>) -> Result<()> {
    match cancel {
        Some(cancel) if crate::wait::until_readable(cancel, Some(Duration::ZERO))? => {
            Err(channel::cancelled())
        }
        _ => Ok(()),
    }
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

/// Removes what was made, unless the start succeeds.
struct Undo<'a> {
    run: &'a Path,
    dir: &'a StateDir,
    meta: &'a Meta,
}

impl Undo<'_> {
    fn disarm(self) {
        std::mem::forget(self);
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        // What cannot be removed now is found at the next opening.
        let _ = self.dir.remove(self.run, self.meta);
    }
}
