//! A container that was started: wait for it, read from it, end it.
//!
//! Runs in the host, on any thread; all calls can run at the same time on one
//! handle. A handle works on what the kernel and the state directory say, not
//! on being the parent: one that was opened by name in another process
//! ([`Runtime::container`]) answers the same.
//!
//! Dropping a handle never ends the container. An attached container ends
//! with its host process.

mod descriptor;
mod exec;
mod held;
mod info;
mod life;
mod log;
mod output;
mod terminal;

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use libctr_helper::message::Control;
use nix::errno::Errno;
use nix::libc;
use once_cell::sync::OnceCell;

use held::Held;
use life::Life;

pub use exec::Exec;
pub use info::{Info, RootMount, Status};
pub use log::{LogEntry, LogReader, LogStream};
pub use output::Output;
pub use terminal::{resize_terminal, terminal_size};

use crate::cgroup::Stats;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::channel;
use crate::runtime::Runtime;
use crate::state::{self, Meta, StateDir};
use crate::wait::{self, Exit};
use crate::{cgroup, spec, sys};

/// How long a killed pid 1 may take to end, with all its processes.
const LAST_BREATH: Duration = Duration::from_secs(10);

/// A container. C: `ctr_container_t`.
#[doc(alias = "ctr_container_t")]
#[derive(Debug)]
pub struct Container {
    runtime: Runtime,
    dir: StateDir,
    meta: Meta,
    /// The process that made this handle: a forked child may only drop it.
    owner: u32,
    /// Its processes. Unset while another process is still starting it.
    life: OnceCell<Life>,
    /// The file of the exit record.
    exit: File,
    record: Mutex<Option<Exit>>,
    /// The caller's ends of standard input, output and error.
    streams: Mutex<[Option<OwnedFd>; 3]>,
    terminal: Mutex<Option<OwnedFd>>,
    listener: Mutex<Option<OwnedFd>>,
}

/// What a start leaves in the host.
pub(crate) struct Started {
    pub(crate) helper: OwnedFd,
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    pub(crate) exit: File,
    pub(crate) terminal: Option<OwnedFd>,
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) streams: [Option<OwnedFd>; 3],
}

impl Container {
    pub(crate) fn started(
        runtime: &Runtime,
        dir: StateDir,
        meta: Meta,
        started: Started,
    ) -> Container {
        Container {
            runtime: runtime.clone(),
            dir,
            meta,
            owner: std::process::id(),
            life: OnceCell::with_value(Life {
                helper: Some(Held::Pidfd(started.helper)),
                init: Some(Held::Pidfd(started.pidfd)),
                pid: Some(started.pid),
            }),
            exit: started.exit,
            record: Mutex::new(None),
            streams: Mutex::new(started.streams),
            terminal: Mutex::new(started.terminal),
            listener: Mutex::new(started.listener),
        }
    }

    /// Opens a container by its directory, in any state.
    pub(crate) fn open(runtime: &Runtime, dir: StateDir) -> Result<Container> {
        let meta = dir.meta()?;
        let exit = dir.exit_file()?;
        let life = Life::look(&dir)?.map_or_else(OnceCell::new, OnceCell::with_value);
        Ok(Container {
            runtime: runtime.clone(),
            dir,
            meta,
            owner: std::process::id(),
            life,
            exit,
            record: Mutex::new(None),
            streams: Mutex::new([None, None, None]),
            terminal: Mutex::new(None),
            listener: Mutex::new(None),
        })
    }

    /// The id: 32 hexadecimal digits. C: `ctr_container_id`.
    #[doc(alias = "ctr_container_id")]
    #[must_use]
    pub fn id(&self) -> &str {
        &self.meta.id
    }

    /// The name, if one was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.meta.name.as_deref()
    }

    fn owned(&self) -> Result<()> {
        if self.owner == std::process::id() {
            return Ok(());
        }
        let message = "the handle was made before this process was forked";
        Err(Error::new(Stage::State, ErrorKind::InvalidInput, message)
            .with_hint("open the container again by its id"))
    }

    /// Waits until the container has ended: until no process of it exists and
    /// everything that goes with it is removed. `None` as timeout waits for
    /// ever, zero only looks; `Ok(None)` means that the time has passed first.
    /// Works any number of times and from several threads at once.
    /// C: `ctr_wait`.
    ///
    /// # Errors
    /// Stage `wait` if waiting itself fails.
    #[doc(alias = "ctr_wait")]
    pub fn wait(&self, timeout: Option<Duration>) -> Result<Option<Exit>> {
        self.owned()?;
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let Some(life) = self.begun(deadline)? else { return Ok(None) };
        if let Some(helper) = &life.helper {
            let left = deadline.map(|end| end.saturating_duration_since(Instant::now()));
            if !helper.until_ended(left)? {
                return Ok(None);
            }
            // Only where the host is the first process of its pid namespace
            // or a subreaper has the helper become its child.
            sys::reap_pidfd(helper.as_fd());
        }
        let mut record = self.record.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if record.is_none() {
            *record = Some(match wait::read(&self.exit)? {
                Some(exit) => exit,
                None => self.lost(life)?,
            });
        }
        Ok(record.clone())
    }

    /// The helper was killed. The kernel kills pid 1 for it; what else it
    /// would have done is done here.
    fn lost(&self, life: &Life) -> Result<Exit> {
        if let Some(init) = &life.init {
            // A program that is pid 1 itself can undo that (PR_SET_PDEATHSIG).
            let _ = sys::pidfd_send_signal(init.as_fd(), libc::SIGKILL);
            init.until_ended(Some(LAST_BREATH))?;
            sys::reap_pidfd(init.as_fd());
        }
        // What cannot be removed now is tried again at the next opening.
        let _ = state::bury(self.runtime.run_directory(), &self.dir);
        Ok(Exit::lost())
    }

    /// Sends a signal to the program. SIGKILL ends the whole container, also
    /// one that is paused.
    /// C: `ctr_container_kill`.
    ///
    /// # Errors
    /// NotFound if the container has ended; InvalidInput for a signal that
    /// does not exist.
    #[doc(alias = "ctr_container_kill")]
    pub fn kill(&self, signal: i32) -> Result<()> {
        self.owned()?;
        if signal == libc::SIGKILL {
            return self.control(Control::Kill);
        }
        let failed = |errno| {
            let error = Error::sys(Stage::State, format!("pidfd_send_signal({signal})"), errno);
            if errno == Errno::EINVAL { error.with_kind(ErrorKind::InvalidInput) } else { error }
        };
        let init = self.running()?;
        // pid 1 passes signals on, but this one it cannot catch.
        if signal == libc::SIGSTOP
            && let Some(pids) = self.dir.pids()?
        {
            let program = sys::signal_handle(pids.program).map_err(failed)?;
            // The number was still the program's if pid 1 lives.
            self.running()?;
            return sys::pidfd_send_signal(program.as_fd(), signal).map_err(failed);
        }
        sys::pidfd_send_signal(init, signal).map_err(failed)
    }

    /// pid 1 of a container that runs.
    fn running(&self) -> Result<BorrowedFd<'_>> {
        let init = self.alive()?.init.as_ref();
        init.map(AsFd::as_fd).ok_or_else(|| self.not_running())
    }

    /// Its processes, as long as it has not ended. A process that has ended
    /// and is not reaped still takes signals, and files that are gone read as
    /// "not measured", so this is asked first.
    fn alive(&self) -> Result<&Life> {
        let life = self.life().ok_or_else(|| self.not_running())?;
        match &life.helper {
            Some(helper) if !helper.until_ended(Some(Duration::ZERO))? => Ok(life),
            _ => Err(self.not_running()),
        }
    }

    fn not_running(&self) -> Error {
        let message = format!("container {} not running", &self.meta.id[..12]);
        Error::new(Stage::State, ErrorKind::NotFound, message)
    }

    /// Ends the container; the outcome is `cancelled`. Returns at once.
    ///
    /// # Errors
    /// NotFound if it has ended.
    pub fn cancel(&self) -> Result<()> {
        self.owned()?;
        self.control(Control::Cancel)
    }

    fn control(&self, control: Control) -> Result<()> {
        let helper = self.alive()?.helper.as_ref().ok_or_else(|| self.not_running())?;
        channel::ask(helper.as_fd(), control)
            .map_err(|errno| Error::sys(Stage::State, "pidfd_send_signal(helper)", errno))
    }

    /// Asks the program to end with its stop signal, kills everything after
    /// `grace`, and waits. A container that has ended gives its record.
    /// C: `ctr_container_stop`.
    ///
    /// # Errors
    /// What [`Container::wait`] and [`Container::kill`] say.
    #[doc(alias = "ctr_container_stop")]
    pub fn stop(&self, grace: Duration) -> Result<Exit> {
        if let Some(exit) = self.wait(Some(Duration::ZERO))? {
            return Ok(exit);
        }
        if self.is_paused()? {
            self.unpause()?;
        }
        self.end(self.meta.stop_signal)?;
        if let Some(exit) = self.wait(Some(grace))? {
            return Ok(exit);
        }
        self.end(libc::SIGKILL)?;
        Ok(self.wait(None)?.unwrap_or_else(Exit::lost))
    }

    /// A signal to a container that may be ending by itself just now.
    fn end(&self, signal: i32) -> Result<()> {
        match self.kill(signal) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Stops all processes of the container until [`Container::unpause`].
    /// C: `ctr_container_freeze`.
    ///
    /// # Errors
    /// NotFound if it has ended, Unsupported without a control group.
    #[doc(alias = "ctr_container_freeze")]
    pub fn pause(&self) -> Result<()> {
        self.owned()?;
        self.running()?;
        self.meta.groups.freeze()
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// As [`Container::pause`].
    pub fn unpause(&self) -> Result<()> {
        self.owned()?;
        self.running()?;
        self.meta.groups.thaw()
    }

    fn is_paused(&self) -> Result<bool> {
        match self.meta.groups.is_none() {
            true => Ok(false),
            false => self.meta.groups.is_frozen(),
        }
    }

    /// Figures of a container that runs. C: `ctr_container_stats_json`.
    ///
    /// # Errors
    /// NotFound if it has ended, Unsupported without a control group.
    #[doc(alias = "ctr_container_stats_json")]
    pub fn stats(&self) -> Result<Stats> {
        self.owned()?;
        self.running()?;
        self.meta.groups.stats()
    }

    /// Changes the limits of a container that runs. Only the limits of
    /// control groups can change; `None` leaves one as it is.
    /// C: `ctr_container_update`.
    ///
    /// # Errors
    /// NotFound if it has ended; stage `cgroup` if the kernel refuses.
    #[doc(alias = "ctr_container_update")]
    pub fn update(&self, limits: &spec::Limits) -> Result<()> {
        self.owned()?;
        self.running()?;
        let limits: cgroup::Limits = crate::launch::groups::of(limits)?;
        self.meta.groups.update(&limits)
    }

    /// Removes a container that is kept. With `force` one that runs is killed
    /// first. C: `ctr_container_delete`.
    ///
    /// # Errors
    /// Busy if it runs and `force` is false.
    #[doc(alias = "ctr_container_delete")]
    pub fn remove(&self, force: bool) -> Result<()> {
        self.owned()?;
        if self.wait(Some(Duration::ZERO))?.is_none() {
            if !force {
                let message = format!("container {} is running", &self.meta.id[..12]);
                return Err(Error::new(Stage::State, ErrorKind::Busy, message)
                    .with_hint("stop it first, or remove it by force"));
            }
            self.end(libc::SIGKILL)?;
            self.wait(None)?;
        }
        self.dir.remove(self.runtime.run_directory(), &self.meta)
    }

    /// The directory of its state: `log` and `log.1` lie there.
    #[must_use]
    pub fn directory(&self) -> &std::path::Path {
        self.dir.path()
    }
}
