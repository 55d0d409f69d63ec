//! The checks that look at the whole document.
//!
//! Stage `spec`, host side. Everything here is `InvalidInput` and starts with
//! the path of the value, as errors of the JSON reader do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Network, RunSpec, Text, signal_number};
use crate::{Error, Result, Stage};

/// The most items of an ordinary list or map.
pub(super) const MAX_ITEMS: usize = 65_536;
/// The most mounts and published ports.
const MAX_MOUNTS: usize = 4096;
/// The most devices.
const MAX_DEVICES: usize = 1024;

impl RunSpec {
    /// Checks every value and the ones that exclude each other.
    ///
    /// [`RunSpec::from_json`] calls it, and so does every function that takes
    /// a document; nothing on the machine is looked at.
    ///
    /// # Errors
    /// `InvalidInput` at stage `spec`; the message begins with the path of
    /// the value.
    pub fn validate(&self) -> Result<()> {
        if self.schema != 1 {
            return Err(refuse("schema", format!("expected 1, found {}", self.schema))
                .with_hint("a newer libctr may know it"));
        }
        self.lengths()?;
        self.root_sources()?;
        self.process()?;
        self.names()?;
        self.mounts()?;
        self.devices()?;
        self.network()?;
        self.limits.validate()?;
        self.security.validate()
    }

    fn lengths(&self) -> Result<()> {
        for (key, length, most) in [
            ("args", self.args.len(), MAX_ITEMS),
            ("entrypoint", self.entrypoint.as_ref().map_or(0, Vec::len), MAX_ITEMS),
            ("env", self.env.len(), MAX_ITEMS),
            ("inherit_env", self.inherit_env.len(), MAX_ITEMS),
            ("groups", self.groups.len(), MAX_ITEMS),
            ("labels", self.labels.len(), MAX_ITEMS),
            ("annotations", self.annotations.len(), MAX_ITEMS),
            ("hosts", self.hosts.len(), MAX_ITEMS),
            ("mounts", self.mounts.len(), MAX_MOUNTS),
            ("devices", self.devices.len(), MAX_DEVICES),
            ("publish", self.publish.len(), MAX_MOUNTS),
            ("dns", self.dns.len(), 64),
        ] {
            at_most(key, length, most)?;
        }
        Ok(())
    }

    fn root_sources(&self) -> Result<()> {
        let given = [
            ("image", self.image.is_some()),
            ("rootfs", self.rootfs.is_some()),
            ("bundle", self.bundle.is_some()),
        ];
        let mut given = given.iter().filter(|(_, given)| *given).map(|(key, _)| key);
        if let (Some(first), Some(second)) = (given.next(), given.next()) {
            return Err(refuse(second, format!("cannot be combined with {first}")));
        }
        if let Some(image) = &self.image {
            if image.is_empty() {
                return Err(refuse("image", "expected an image reference or \"host\", found \"\""));
            }
            no_nul("image", image.as_bytes())?;
        }
        for (key, path) in [("rootfs", &self.rootfs), ("bundle", &self.bundle)] {
            if let Some(path) = path {
                absolute(key, path)?;
            }
        }
        Ok(())
    }

    fn process(&self) -> Result<()> {
        texts("args", &self.args)?;
        texts("entrypoint", self.entrypoint.as_deref().unwrap_or_default())?;
        variables(&self.env, &self.inherit_env)?;
        if let Some(cwd) = &self.cwd {
            absolute("cwd", cwd)?;
        }
        mask(self.umask)?;
        match &self.stop_signal {
            Some(signal) if signal_number(signal).is_none() => Err(refuse(
                "stop_signal",
                format!("expected a signal such as \"SIGTERM\" or 15, found {signal:?}"),
            )),
            _ => Ok(()),
        }
    }

    fn names(&self) -> Result<()> {
        if let Some(name) = &self.name
            && !is_name(name)
        {
            let message = format!(
                "expected 2 to 255 of a-z, A-Z, 0-9, \"_\", \".\" and \"-\", not beginning with one of the last three, found {name:?}"
            );
            return Err(refuse("name", message));
        }
        if let Some(hostname) = &self.hostname
            && !(is_host(hostname) && hostname.len() <= 64)
        {
            return Err(refuse("hostname", host_message(64, hostname)));
        }
        for (key, map) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            for (name, value) in map {
                if name.is_empty() {
                    return Err(refuse(key, "a key is empty"));
                }
                no_nul(&format!("{key}.{name}"), name.as_bytes())?;
                no_nul(&format!("{key}.{name}"), value.as_bytes())?;
            }
        }
        Ok(())
    }

    fn mounts(&self) -> Result<()> {
        let mut targets = BTreeSet::new();
        for (index, mount) in self.mounts.iter().enumerate() {
            let at = format!("mounts[{index}]");
            mount.validate(&at)?;
            // Compared by components, so `/a` and `/a/` and `//a` are equal.
            if !targets.insert(mount.target.components().collect::<Vec<_>>()) {
                return Err(refuse(
                    format!("{at}.target"),
                    format!("{:?} is a target already", mount.target),
                ));
            }
        }
        Ok(())
    }

    fn devices(&self) -> Result<()> {
        let mut targets = BTreeSet::new();
        for (index, device) in self.devices.iter().enumerate() {
            let at = format!("devices[{index}]");
            device.validate(&at)?;
            if !targets.insert(device.target().components().collect::<Vec<_>>()) {
                return Err(refuse(at, format!("{:?} is a device already", device.target())));
            }
        }
        Ok(())
    }

    fn network(&self) -> Result<()> {
        if !self.publish.is_empty() && self.network != Network::Nat {
            return Err(refuse("publish", "ports can be published from a \"nat\" network only")
                .with_hint("set network to \"nat\""));
        }
        for (index, port) in self.publish.iter().enumerate() {
            if port.port == 0 || port.host_port == Some(0) {
                return Err(refuse(
                    format!("publish[{index}]"),
                    "expected ports from 1 to 65535, found 0",
                ));
            }
        }
        match self.hosts.keys().find(|name| !(is_host(name) && name.len() <= 253)) {
            Some(name) => Err(refuse("hosts", host_message(253, name))),
            None => Ok(()),
        }
    }
}

/// An error of the value at a path of the document.
pub(super) fn refuse(path: impl Display, message: impl Display) -> Error {
    Error::invalid(Stage::Spec, format!("{path}: {message}"))
}

pub(super) fn at_most(path: &str, length: usize, most: usize) -> Result<()> {
    if length > most {
        return Err(refuse(path, format!("expected at most {most} items, found {length}")));
    }
    Ok(())
}

pub(super) fn absolute(at: &str, path: &Path) -> Result<()> {
    if !path.is_absolute() {
        return Err(refuse(at, format!("expected an absolute path, found {path:?}")));
    }
    no_nul(at, path.as_os_str().as_bytes())
}

fn no_nul(at: &str, bytes: &[u8]) -> Result<()> {
    if bytes.contains(&0) {
        return Err(refuse(at, "contains a NUL byte"));
    }
    Ok(())
}

pub(super) fn texts(key: &str, texts: &[Text]) -> Result<()> {
    match texts.iter().position(Text::has_nul) {
        Some(index) => Err(refuse(format!("{key}[{index}]"), "contains a NUL byte")),
        None => Ok(()),
    }
}

pub(super) fn variables(
    env: &BTreeMap<String, Option<Text>>,
    inherit_env: &[String],
) -> Result<()> {
    for (name, value) in env {
        variable(&format!("env.{name}"), name)?;
        if value.as_ref().is_some_and(Text::has_nul) {
            return Err(refuse(format!("env.{name}"), "contains a NUL byte"));
        }
    }
    for (index, name) in inherit_env.iter().enumerate() {
        variable(&format!("inherit_env[{index}]"), name)?;
    }
    Ok(())
}

pub(super) fn mask(umask: Option<u32>) -> Result<()> {
    match umask {
        Some(umask) if umask > 0o777 => {
            Err(refuse("umask", format!("expected at most 0777, found 0{umask:o}")))
        }
        _ => Ok(()),
    }
}

fn variable(at: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.contains(['=', '\0']) {
        let message = format!("expected the name of a variable, without \"=\", found {name:?}");
        return Err(refuse(at, message));
    }
    Ok(())
}

/// The names that Docker gives to containers: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
fn is_name(name: &str) -> bool {
    (2..=255).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// What may stand in a line of `/etc/hosts`. Underscores are no part of
/// RFC 1123, but in use.
fn is_host(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

fn host_message(most: usize, name: &str) -> String {
    format!(
        "expected 1 to {most} of a-z, A-Z, 0-9, \".\", \"-\" and \"_\", beginning with a letter or digit, found {name:?}"
    )
}
