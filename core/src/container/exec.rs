//! Another program in a container that runs.
//!
//! Runs in the host, on any thread, as [`Container`] does: a handle works on
//! what the kernel and the program's directory say. Dropping one ends nothing.
//! An attached program ends with its host process; every program ends with its
//! container, of SIGKILL.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libctr_helper::message::Control;
use nix::errno::Errno;
use nix::libc;

use super::output::{self, Bound, Running};
use super::{Container, Output, Started};
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::channel;
use crate::launch::RunOptions;
use crate::launch::exec::{self, Target};
use crate::spec::{ExecLimits, ExecSpec};
use crate::state::{ExecDir, ExecMeta};
use crate::sys;
use crate::wait::{self, Exit};

/// A program that was executed in a container that ran. C: `ctr_process_t`.
#[doc(alias = "ctr_process_t")]
#[derive(Debug)]
pub struct Exec {
    dir: ExecDir,
    meta: ExecMeta,
    /// The process that made this handle: a forked child may only drop it.
    owner: u32,
    /// Becomes readable when its helper ends. `None`: it had ended before.
    helper: Option<OwnedFd>,
    program: Option<OwnedFd>,
    pid: Option<i32>,
    exit: File,
    record: Mutex<Option<Exit>>,
    streams: Mutex<[Option<OwnedFd>; 3]>,
    terminal: Mutex<Option<OwnedFd>>,
    listener: Mutex<Option<OwnedFd>>,
}

impl Container {
    /// Executes another program in the container; returns as soon as it was
    /// executed. What the document leaves out is as for the container's own
    /// program. [`crate::Stdio::Log`] is the container's alone.
    /// C: `ctr_container_exec`.
    ///
    /// # Errors
    /// NotFound at stage `state` if the container does not run, Busy if it is
    /// paused; else those of a start.
    #[doc(alias = "ctr_container_exec")]
    pub fn exec(&self, spec: &ExecSpec, options: RunOptions<'_>) -> Result<Exec> {
        self.owned()?;
        spec.validate()?;
        let life = self.alive()?;
        let (Some(init), Some(pid), Some(pids)) = (&life.init, life.pid, self.dir.pids()?) else {
            return Err(self.not_running());
        };
        let opened = if init.pidfd().is_none() { Some(exec::pidfd(pid)?) } else { None };
        let Some(init) = init.pidfd().or(opened.as_ref().map(AsFd::as_fd)) else {
            return Err(self.not_running());
        };
        if self.is_paused()? {
            let message = format!("container {} is paused", &self.meta.id[..12]);
            return Err(
                Error::new(Stage::State, ErrorKind::Busy, message).with_hint("unpause it first")
            );
        }
        let program = exec::pidfd(pids.program).map_err(|error| match error.errno() {
            Some(libc::ESRCH) => self.not_running(),
            _ => error,
        })?;
        // The numbers were theirs if the container still runs.
        self.alive()?;
        let target = Target {
            runtime: &self.runtime,
            dir: &self.dir,
            meta: &self.meta,
            init: (init, pid),
            program: (program.as_fd(), pids.program),
        };
        let (dir, meta, started) = exec::run(&target, spec, options)?;
        Ok(Exec::started(dir, meta, started))
    }

    /// Ids of the programs that have a record here: those that run, and
    /// detached ones that have ended.
    ///
    /// # Errors
    /// Stage `state` if the directory cannot be read.
    pub fn execs(&self) -> Result<Vec<String>> {
        ExecDir::ids(&self.dir)
    }

    /// Opens a program that [`Container::exec`] has started, by its id.
    ///
    /// # Errors
    /// NotFound if there is none.
    pub fn find_exec(&self, id: &str) -> Result<Exec> {
        Exec::open(ExecDir::of_id(&self.dir, id)?)
    }
}

impl Exec {
    fn started(dir: ExecDir, meta: ExecMeta, started: Started) -> Exec {
        Exec {
            dir,
            meta,
            owner: std::process::id(),
            helper: Some(started.helper),
            program: Some(started.pidfd),
            pid: Some(started.pid),
            exit: started.exit,
            record: Mutex::new(None),
            streams: Mutex::new(started.streams),
            terminal: Mutex::new(started.terminal),
            listener: Mutex::new(started.listener),
        }
    }

    fn open(dir: ExecDir) -> Result<Exec> {
        let meta = dir.meta()?;
        let exit = dir.exit_file()?;
        let pids = dir.pids()?;
        // As long as the lock is held the helper lives, and the program is not
        // reaped before that ends.
        let open = |pid| sys::pidfd_open(pid).ok();
        let processes = pids.map(|pids| (open(pids.helper), open(pids.program), pids.program));
        let (helper, program, pid) = match (processes, dir.has_helper()?) {
            (Some((helper, program, pid)), true) => (helper, program, Some(pid)),
            (None, true) => {
                let message = format!("exec {} is being started", &meta.id[..12]);
                return Err(Error::new(Stage::State, ErrorKind::Busy, message));
            }
            (_, false) => (None, None, None),
        };
        Ok(Exec {
            dir,
            meta,
            owner: std::process::id(),
            helper,
            program,
            pid,
            exit,
            record: Mutex::new(None),
            streams: Mutex::new([None, None, None]),
            terminal: Mutex::new(None),
            listener: Mutex::new(None),
        })
    }

    /// The id: 32 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.meta.id
    }

    /// Program and arguments.
    #[must_use]
    pub fn command(&self) -> &[String] {
        &self.meta.command
    }

    /// The program's process id as the host sees it. `None`: it had ended when
    /// this handle was opened.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    fn owned(&self) -> Result<()> {
        if self.owner == std::process::id() {
            return Ok(());
        }
        let message = "the handle was made before this process was forked";
        Err(Error::new(Stage::State, ErrorKind::InvalidInput, message))
    }

    /// Waits until the program has ended. `None` as timeout waits for ever,
    /// zero only looks; `Ok(None)` means that the time has passed first. Works
    /// any number of times and from several threads at once. Processes that the
    /// program has left behind go on, unless it was ended.
    /// C: `ctr_process_wait`.
    ///
    /// # Errors
    /// Stage `wait` if waiting itself fails.
    #[doc(alias = "ctr_process_wait")]
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<Exit>> {
        self.owned()?;
        if let Some(helper) = &self.helper {
            if !wait::until_readable(helper.as_fd(), timeout)? {
                return Ok(None);
            }
            sys::reap_pidfd(helper.as_fd());
        }
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        if record.is_none() {
            *record = Some(match wait::read(&self.exit)? {
                Some(exit) => exit,
                None => self.lost(),
            });
        }
        Ok(record.clone())
    }

    /// The helper was killed. The kernel kills the program for it; of what that
    /// has made the rest ends with the container.
    fn lost(&self) -> Exit {
        if let Some(program) = &self.program {
            // It can undo that (PR_SET_PDEATHSIG).
            let _ = sys::pidfd_send_signal(program.as_fd(), libc::SIGKILL);
        }
        if !self.meta.detached {
            // What cannot be removed now is found at the next opening.
            let _ = self.dir.remove();
        }
        Exit::lost()
    }

    /// A descriptor for event loops: readable once the program has ended, and
    /// from then on. `None`: it had ended when this handle was opened.
    #[must_use]
    pub fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        self.helper.as_ref().map(AsFd::as_fd)
    }

    /// The pidfd of the program. C: `ctr_process_pidfd`.
    #[doc(alias = "ctr_process_pidfd")]
    #[must_use]
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.program.as_ref().map(AsFd::as_fd)
    }

    /// Takes the caller's end of standard input (0), output (1) or error (2),
    /// where [`crate::Stdio::Pipe`] was asked for. Each can be taken once.
    #[must_use]
    pub fn take_stream(&self, number: usize) -> Option<OwnedFd> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.get_mut(number).and_then(Option::take)
    }

    /// Takes the master end of the terminal, where `tty` was asked for and the
    /// program is attached.
    #[must_use]
    pub fn take_terminal(&self) -> Option<OwnedFd> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes the listener of the program's filter of system calls, where the
    /// container's profile has `SCMP_ACT_NOTIFY`, as
    /// [`Container::take_seccomp_listener`] does.
    #[must_use]
    pub fn take_seccomp_listener(&self) -> Option<OwnedFd> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Sends a signal to the program. SIGKILL ends it with all that descends
    /// from it, as far as the host's /proc shows that: its session, and the
    /// children of its children. C: `ctr_process_kill`.
    ///
    /// # Errors
    /// NotFound if it has ended; InvalidInput for a signal that does not exist.
    #[doc(alias = "ctr_process_kill")]
    pub fn kill(&self, signal: i32) -> Result<()> {
        self.owned()?;
        if signal == libc::SIGKILL {
            return self.control(Control::Kill);
        }
        self.alive()?;
        let program = self.program.as_ref().ok_or_else(|| self.not_running())?;
        sys::pidfd_send_signal(program.as_fd(), signal).map_err(|errno| match errno {
            Errno::ESRCH => self.not_running(),
            _ => {
                let error = Error::sys(Stage::State, format!("pidfd_send_signal({signal})"), errno);
                if errno == Errno::EINVAL {
                    error.with_kind(ErrorKind::InvalidInput)
                } else {
                    error
                }
            }
        })
    }

    /// Ends the program as [`Exec::kill`] does; the outcome is `cancelled`.
    /// Returns at once.
    ///
    /// # Errors
    /// NotFound if it has ended.
    pub fn cancel(&self) -> Result<()> {
        self.owned()?;
        self.control(Control::Cancel)
    }

    /// Ends the program because it wrote more than `limits.output`; the outcome
    /// is `output_limit`. For callers that read the streams themselves.
    ///
    /// # Errors
    /// NotFound if it has ended.
    pub fn end_for_output(&self) -> Result<()> {
        self.owned()?;
        self.control(Control::OutputLimit)
    }

    /// Writes `input` to the program's standard input, reads its outputs until
    /// they end, and waits, as [`Container::output`] does.
    ///
    /// # Errors
    /// Stage `wait` if reading or waiting fails.
    pub fn output(&self, input: &[u8], limits: &ExecLimits) -> Result<Output> {
        self.owned()?;
        output::collect(self, input, &Bound::from(limits), None)
    }

    fn alive(&self) -> Result<&OwnedFd> {
        match &self.helper {
            Some(helper) if !wait::until_readable(helper.as_fd(), Some(Duration::ZERO))? => {
                Ok(helper)
            }
            _ => Err(self.not_running()),
        }
    }

    fn not_running(&self) -> Error {
        let message = format!("exec {} not running", &self.meta.id[..12]);
        Error::new(Stage::State, ErrorKind::NotFound, message)
    }
}

impl Running for Exec {
    fn take_stream(&self, number: usize) -> Option<OwnedFd> {
        Exec::take_stream(self, number)
    }

    fn event_fd(&self) -> Option<BorrowedFd<'_>> {
        Exec::event_fd(self)
    }

    fn wait(&self, timeout: Option<Duration>) -> Result<Option<Exit>> {
        Exec::wait(self, timeout)
    }

    fn control(&self, control: Control) -> Result<()> {
        channel::ask(self.alive()?.as_fd(), control)
            .map_err(|errno| Error::sys(Stage::State, "pidfd_send_signal(helper)", errno))
    }
}
