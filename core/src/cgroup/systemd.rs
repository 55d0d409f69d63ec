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

use crate::error::{Error, ErrorKind, Result, Stage};

mod address;
mod bus;
mod message;
mod scope;

use address::Address;
use bus::{Bus, Patience};
use message::{Message, Method, Values};
pub(super) use scope::Scope;

/// How long systemd may take to answer: to say where it is, and to make a scope.
const PATIENCE: Duration = Duration::from_secs(5);

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

    /// One that answers at no such address.
    #[cfg(test)]
    pub(super) fn of(socket: &str, group: &str) -> Manager {
        let address = Address { name: address::Name::Path(socket.into()), is_bus: false };
        Manager { address, group: group.into() }
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
        Scope::new(self.address.clone(), dir, name)
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

#[cfg(test)]
mod tests;
