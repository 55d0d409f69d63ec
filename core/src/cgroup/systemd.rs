//! Groups from systemd: a scope of the caller's user manager, delegated to us.
//!
//! Stage `cgroup`, host side. An ordinary user owns no place in the hierarchy
//! unless somebody delegates one. systemd's user manager does, on one call:
//!
//! ```text
//! Manager::find     where the manager's own group is, and so what it can give
//! Scope::start      after the helper runs, before it clones pid 1:
//!   StartTransientUnit("libctr-<id>.scope", PIDs=[helper], Delegate=yes)
//!   JobRemoved("done")
//!   libctr-<id>.scope/helper       the helper moves here, because a group
//!                                  with processes hands no controllers down
//!   libctr-<id>.scope/container    limits; pid 1 is born here
//! ```
//!
//! A scope cannot be made without a process, and the host's own must not be
//! moved; the helper is ours. Only systemd can move it out of a login session:
//! the user has no rights to the group above both.
//!
//! The scope is systemd's to remove, which it does once the helper, its last
//! process, has ended. So nothing of it has to be recorded but the container's
//! group.
//!
//! Sources: org.freedesktop.systemd1(5), systemd.scope(5),
//! systemd.resource-control(5), <https://systemd.io/CGROUP_DELEGATION>.

use std::env;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

use super::file;
use crate::error::{Error, ErrorKind, Result, Stage};

mod address;
mod bus;
mod message;

use address::Address;
use bus::{Bus, Patience};
use message::{Message, Method, Values};

/// How long systemd may take to answer: to say where it is, and to make a scope.
const PATIENCE: Duration = Duration::from_secs(5);

/// The slice for scopes: where systemd puts the user's applications. Given by
/// name, because the default has changed (systemd 247).
const SLICE: &str = "app.slice";

const MANAGER: &str = "org.freedesktop.systemd1.Manager";

/// A method of the manager.
const fn method(member: &'static str, signature: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.systemd1",
        path: "/org/freedesktop/systemd1",
        interface: MANAGER,
        member,
        signature,
    }
}

/// A method of a message bus.
const fn method_of_bus(member: &'static str, signature: &'static str) -> Method {
    Method {
        destination: "org.freedesktop.DBus",
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member,
        signature,
    }
}

/// The caller's user manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Manager {
    address: Address,
    /// Its own group, as the kernel names it.
    pub(super) group: PathBuf,
}

impl Manager {
    /// Looks for the manager of the calling user.
    ///
    /// # Errors
    /// The first of all addresses' that says more than that nobody is there,
    /// else the first; after five seconds `Timeout`.
    pub(crate) fn find(cancel: Option<BorrowedFd<'_>>) -> Result<Manager> {
        let all = Address::all(geteuid().as_raw(), |name| env::var_os(name));
        Manager::at(all, Patience { until: Instant::now() + PATIENCE, cancel })
    }

    fn at(addresses: Vec<Address>, patience: Patience<'_>) -> Result<Manager> {
        let mut failed: Option<Error> = None;
        for address in addresses {
            match Manager::ask(address, patience) {
                Ok(manager) => return Ok(manager),
                Err(error) if error.kind() == ErrorKind::Cancelled => return Err(error),
                Err(error) if failed.as_ref().is_none_or(is_absent) => {
                    if failed.is_none() || !is_absent(&error) {
                        failed = Some(error);
                    }
                }
                Err(_) => {}
            }
        }
        let none = || Error::new(Stage::Cgroup, ErrorKind::NotFound, "systemd has no address");
        Err(failed.unwrap_or_else(none))
    }

    fn ask(address: Address, patience: Patience<'_>) -> Result<Manager> {
        let mut bus = open(&address, patience)?;
        let get = Method { interface: "org.freedesktop.DBus.Properties", ..method("Get", "ss") };
        let mut arguments = Values::default();
        arguments.string(MANAGER).string("ControlGroup");
        let answer = bus.call(&get, &arguments)?;
        let group = read_property(&answer).map_err(|garbage| bus.garbage(&garbage))?;
        // The manager of a machine whose root is the hierarchy's says "".
        let group = PathBuf::from(if group.is_empty() { "/" } else { group });
        match group.is_absolute() {
            true => Ok(Manager { address, group }),
            false => Err(bus.garbage(&message::Garbage("a control group that is no path"))),
        }
    }

    /// The scope of one container below the manager's group, which is mounted
    /// at `dir`.
    pub(super) fn scope(&self, dir: &Path, name: &str) -> Scope {
        let unit = format!("{name}.scope");
        Scope { address: self.address.clone(), dir: dir.join(SLICE).join(&unit), unit }
    }
}

fn read_property(answer: &Message) -> std::result::Result<&str, message::Garbage> {
    let mut values = answer.values("v")?;
    match values.signature()? {
        "s" => values.string(),
        _ => Err(message::Garbage("values of other types")),
    }
}

/// Whether an error says only that nobody listens at an address.
pub(super) fn is_absent(error: &Error) -> bool {
    let refused = error.errno() == Some(libc::ECONNREFUSED);
    refused || error.kind() == ErrorKind::NotFound
}

/// Whether systemd is this machine's first process (sd_booted(3)).
pub(super) fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Connects; on a message bus also takes a name, without which it lets nothing
/// through.
fn open<'a>(address: &Address, patience: Patience<'a>) -> Result<Bus<'a>> {
    let mut bus = Bus::open(address, patience)?;
    if address.is_bus {
        bus.call(&method_of_bus("Hello", ""), &Values::default())?;
    }
    Ok(bus)
}

/// The scope of one container: a group of systemd's in which the container's
/// own can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    address: Address,
    unit: String,
    /// Where it will be.
    pub(super) dir: PathBuf,
}

impl Scope {
    /// The container's group in it.
    pub(super) fn container(&self) -> PathBuf {
        self.dir.join("container")
    }

    /// Has systemd make the scope around the process `helper`, which then lives
    /// in a group below it, so that there is room for the container's.
    ///
    /// # Errors
    /// What systemd says; `Timeout` after five seconds; `SetupFailed` when the
    /// scope is not what was asked for. It is gone when the helper has ended.
    pub(super) fn start(&self, helper: i32, cancel: Option<BorrowedFd<'_>>) -> Result<()> {
        let patience = Patience { until: Instant::now() + PATIENCE, cancel };
        let mut bus = open(&self.address, patience)?;
        if self.address.is_bus {
            let rule = format!("type='signal',interface='{MANAGER}',member='JobRemoved'");
            let mut arguments = Values::default();
            arguments.string(&rule);
            bus.call(&method_of_bus("AddMatch", "s"), &arguments)?;
            bus.call(&method("Subscribe", ""), &Values::default())?;
        }
        let answer = loop {
            match bus.call(&method("StartTransientUnit", "ssa(sv)a(sa(sv))"), &self.unit(helper)) {
                // That of an attempt before this one is on its way out.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    patience.pause(&format!("StartTransientUnit({:?})", self.unit))?;
                }
                other => break other?,
            }
        };
        let job = answer.values("o").and_then(|mut values| values.string());
        let job = job.map_err(|garbage| bus.garbage(&garbage))?;
        self.wait(&mut bus, job)?;
        self.settle(helper)
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

#[cfg(test)]
mod tests;
