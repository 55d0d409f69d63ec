//! Where systemd's user manager of the caller can be reached.
//!
//! Host side; reads two variables of the environment and makes nothing.
//! The manager's own socket comes first: it needs neither a message bus nor a
//! match rule, and it is there without a session. A bus is the way where a
//! sandbox shows only that.
//!
//! Source: D-Bus Specification, "Server Addresses"; systemd's
//! `bus_connect_user_systemd` and sd_bus_default_user(3).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sys::socket::UnixAddr;

use crate::sys::SysResult;

/// More than any environment names.
const MOST: usize = 8;

/// One socket to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) name: Name,
    /// Whether a message bus listens there, rather than the manager itself.
    pub(super) is_bus: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Path(PathBuf),
    Abstract(OsString),
}

impl Address {
    /// Every address at which the manager of `uid` may be, best first.
    /// `variable` looks up the environment.
    pub(super) fn all(uid: u32, variable: impl Fn(&str) -> Option<OsString>) -> Vec<Address> {
        let run = variable("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .unwrap_or_else(|| format!("/run/user/{uid}").into());
        let at = |name| Name::Path(run.join(name));
        let mut all = vec![Address { name: at("systemd/private"), is_bus: false }];
        let named = variable("DBUS_SESSION_BUS_ADDRESS").unwrap_or_default();
        let parts = named.as_bytes().split(|byte| *byte == b';');
        let named = parts.filter_map(|part| parse(part, &run));
        for name in named.chain([at("bus")]) {
            let bus = Address { name, is_bus: true };
            if all.len() < MOST && !all.contains(&bus) {
                all.push(bus);
            }
        }
        all
    }

    /// As `connect(2)` takes it.
    pub(super) fn socket(&self) -> SysResult<UnixAddr> {
        match &self.name {
            Name::Path(path) => UnixAddr::new(path),
            Name::Abstract(name) => UnixAddr::new_abstract(name.as_bytes()),
        }
    }

    /// The address for people.
    pub(super) fn shown(&self) -> String {
        match &self.name {
            Name::Path(path) => format!("{path:?}"),
            Name::Abstract(name) => format!("abstract {name:?}"),
        }
    }
}

/// One address of the variable; `None` for those that are no socket of this
/// machine.
fn parse(text: &[u8], run: &Path) -> Option<Name> {
    let options = text.strip_prefix(b"unix:")?;
    options.split(|byte| *byte == b',').find_map(|option| {
        let equals = option.iter().position(|byte| *byte == b'=')?;
        let (key, value) = option.split_at(equals);
        let value = unescape(&value[1..])?;
        match key {
            b"path" => Some(Name::Path(value.into())),
            b"abstract" => Some(Name::Abstract(value)),
            b"runtime" if value == *OsStr::new("yes") => Some(Name::Path(run.join("bus"))),
            _ => None,
        }
    })
}

/// Undoes `%2f` and the like.
fn unescape(text: &[u8]) -> Option<OsString> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = tail.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = tail;
    }
    Some(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::{Address, MOST, Name};
    use std::ffi::OsString;

    fn all(run: Option<&str>, bus: Option<&str>) -> Vec<Address> {
        Address::all(1000, |name| match name {
            "XDG_RUNTIME_DIR" => run.map(OsString::from),
            _ => bus.map(OsString::from),
        })
    }

    fn path(path: &str, is_bus: bool) -> Address {
        Address { name: Name::Path(path.into()), is_bus }
    }

    #[test]
    fn environment_without_variables_means_the_usual_places() {
        let expected =
            [path("/run/user/1000/systemd/private", false), path("/run/user/1000/bus", true)];
        assert_eq!(all(None, None), expected);
        assert_eq!(all(Some("relative"), Some("")), expected);
    }

    #[test]
    fn named_buses_come_between() {
        let named = "tcp:host=x;unix:abstract=/tmp/a%20b,guid=1;unix:path=/run/x/bus,guid=2;\
                     unix:runtime=yes;unix:dir=/tmp;unix:path=%zz;autolaunch:";
        let space = Address { name: Name::Abstract("/tmp/a b".into()), is_bus: true };
        assert_eq!(
            all(Some("/run/x"), Some(named)),
            [path("/run/x/systemd/private", false), space, path("/run/x/bus", true)]
        );
    }

    #[test]
    fn addresses_are_bounded() {
        let many: String = (0..100).map(|number| format!("unix:path=/{number};")).collect();
        assert_eq!(all(None, Some(&many)).len(), MOST);
    }

    #[test]
    fn address_that_is_too_long_is_no_socket() {
        let long = path(&"/x".repeat(100), true);
        assert!(long.socket().is_err());
        assert!(path("/x", true).socket().is_ok());
    }
}
