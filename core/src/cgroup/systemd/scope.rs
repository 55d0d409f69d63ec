//! One transient scope: made around the helper, with room for the container.
//!
//! Host side. Sources: org.freedesktop.systemd1(5) on StartTransientUnit and
//! JobRemoved, systemd.scope(5).

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::address::Address;
use super::bus::{Bus, Patience};
use super::message::{Message, Values};
use super::{MANAGER, PATIENCE, method, method_of_bus, open};
use crate::cgroup::file;
use crate::error::{Error, ErrorKind, Result, Stage};

/// The slice for scopes: where systemd puts the user's applications. Given by
/// name, because the default has changed (systemd 247).
const SLICE: &str = "app.slice";

/// The scope of one container: a group of systemd's in which the container's
/// own can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cgroup) struct Scope {
    address: Address,
    unit: String,
    /// Where it will be.
    pub(in crate::cgroup) dir: PathBuf,
}

impl Scope {
    /// That of the container `name` below the manager's group at `dir`.
    pub(super) fn new(address: Address, dir: &Path, name: &str) -> Scope {
        let unit = format!("{name}.scope");
        Scope { address, dir: dir.join(SLICE).join(&unit), unit }
    }

    /// The container's group in it.
    pub(in crate::cgroup) fn container(&self) -> PathBuf {
        self.dir.join("container")
    }

    /// Has systemd make the scope around the process `helper`, which then lives
    /// in a group below it, so that there is room for the container's.
    ///
    /// # Errors
    /// What systemd says; `Timeout` after five seconds; `SetupFailed` when the
    /// scope is not what was asked for. It is gone when the helper has ended.
    pub(in crate::cgroup) fn start(
        &self,
        helper: i32,
        cancel: Option<BorrowedFd<'_>>,
    ) -> Result<()> {
        let patience = Patience { until: Instant::now() + PATIENCE, cancel };
        let mut bus = open(&self.address, patience)?;
        if self.address.is_bus {
            let rule = format!("type='signal',interface='{MANAGER}',member='JobRemoved'");
            let mut arguments = Values::default();
            arguments.string(&rule);
            bus.call(&method_of_bus("AddMatch", "s"), &arguments)?;
            bus.call(&method("Subscribe", ""), &Values::default())?;
        }
        let answer = self.ask(&mut bus, patience, helper)?;
        let job = answer.values("o").and_then(|mut values| values.string());
        let job = job.map_err(|garbage| bus.garbage(&garbage))?;
        self.wait(&mut bus, job)?;
        self.settle(helper)
    }

    /// Makes the call until the name is free: the scope of an attempt before
    /// this one may still be on its way out.
    fn ask(&self, bus: &mut Bus<'_>, patience: Patience<'_>, helper: i32) -> Result<Message> {
        let start = method("StartTransientUnit", "ssa(sv)a(sa(sv))");
        let mut taken: Option<Error> = None;
        loop {
            let answer = bus.call(&start, &self.unit(helper));
            let paused = match answer {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    taken = Some(error);
                    patience.pause(&self.unit)
                }
                Err(error) => Err(error),
                Ok(answer) => return Ok(answer),
            };
            match (paused, taken.take()) {
                (Err(error), Some(taken)) if error.kind() == ErrorKind::Timeout => {
                    return Err(taken);
                }
                (Err(error), _) => return Err(error),
                (Ok(()), before) => taken = before,
            }
        }
    }

    /// The arguments of the call.
    fn unit(&self, helper: i32) -> Values {
        let mut values = Values::default();
        values.string(&self.unit).string("fail");
        values.array(8, |properties| {
            let texts = [
                ("Description", "libctr container"),
                ("Slice", SLICE),
                // Nothing is left of one that systemd could not end.
                ("CollectMode", "inactive-or-failed"),
            ];
            for (name, text) in texts {
                properties.structure().string(name).signature("s").string(text);
            }
            properties.structure().string("Delegate").signature("b").boolean(true);
            properties.structure().string("PIDs").signature("au").array(4, |pids| {
                pids.u32(helper.cast_unsigned());
            });
        });
        values.array(8, |_| {});
        values
    }

    /// Waits for the end of the job that makes the scope.
    fn wait(&self, bus: &mut Bus<'_>, job: &str) -> Result<()> {
        loop {
            let signal = bus.signal()?;
            let is_end = signal.interface.as_deref() == Some(MANAGER)
                && signal.member.as_deref() == Some("JobRemoved");
            if !is_end {
                continue;
            }
            let end = (|| {
                let mut values = signal.values("uoss")?;
                let _number = values.u32()?;
                let (path, _unit) = (values.string()?, values.string()?);
                Ok((path, values.string()?))
            })();
            match end.map_err(|garbage| bus.garbage(&garbage))? {
                (path, "done") if path == job => return Ok(()),
                (path, result) if path == job => {
                    let message = format!("StartTransientUnit({:?}): {result:?}", self.unit);
                    return Err(Error::new(Stage::Cgroup, ErrorKind::SetupFailed, message)
                        .with_hint("systemd's log says why: journalctl --user"));
                }
                _ => {}
            }
        }
    }

    /// Moves the helper out of the way of the controllers.
    fn settle(&self, helper: i32) -> Result<()> {
        let members = file::read(&self.dir, "cgroup.procs")?;
        if members.trim_end() != helper.to_string() {
            let message = format!(
                "StartTransientUnit({:?}): process {helper} is not alone in {:?}, but {members:?}",
                self.unit, self.dir
            );
            return Err(Error::new(Stage::Cgroup, ErrorKind::SetupFailed, message));
        }
        let leaf = self.dir.join("helper");
        file::make_dir(&leaf)?;
        file::write(&leaf, "cgroup.procs", &helper.to_string())
    }
}
