//! `RunSpec`: everything that one run of a container needs, as one document.
//!
//! Stage `spec`, host side: the first step of the pipeline. JSON (schema 1)
//! or Rust values → checked values; nothing on the machine is looked at or
//! changed. Every error is `InvalidInput` and begins with the path of the
//! value: `limits.memory: expected a size such as 268435456 or "256M", found
//! "12Q"`.
//!
//! The document is strict. An unknown key, a key given twice, a document over
//! 8 MiB, more than 32 levels or 262144 values are errors; keys at the top
//! that begin with `x-` are free for the caller and are ignored. Sizes are
//! bytes or strings such as `"256M"` (powers of 1024), durations are seconds.
//! Where Linux takes bytes (arguments, values of variables, paths), a string
//! may be given as `{"base64": "…"}`.

mod device;
mod document;
mod exec;
mod limits;
mod mount;
mod network;
mod security;
mod signal;
mod size;
mod text;
mod tree;
mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use device::{DeviceAccess, HostDevice};
pub use exec::{ExecLimits, ExecSpec};
pub use limits::{Device, Io, IoDevice, Keep, Limits};
pub use mount::{Mount, MountKind, MountOption};
pub use network::{Network, Port, Protocol};
pub(crate) use security::capability;
pub use security::{Capabilities, IdMap, Landlock, Seccomp, Security, UserNamespace};
pub use signal::signal_number;
pub use size::parse_size;
pub use text::Text;

use crate::Result;

/// One run of a container.
///
/// ```
/// use libctr::spec::{Mount, RunSpec};
///
/// let mut spec = RunSpec { image: Some("alpine:3.20".into()), ..RunSpec::default() };
/// spec.args = vec!["sh".into(), "-c".into(), "ls /src".into()];
/// spec.mounts.push(Mount::bind("/home/me/src", "/src"));
/// spec.limits.memory = Some(256 << 20);
/// spec.validate()?;
///
/// let same = RunSpec::from_json(br#"{
///     "image": "alpine:3.20",
///     "args": ["sh", "-c", "ls /src"],
///     "mounts": [{"type": "bind", "source": "/home/me/src", "target": "/src"}],
///     "limits": {"memory": "256M"}
/// }"#)?;
/// assert_eq!(spec, same);
/// # Ok::<(), libctr::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunSpec {
    /// Version of the document: 1.
    pub schema: u32,
    /// Image reference, or `"host"`: the host's own `/` as a read-only lower
    /// layer. `None` without `rootfs` and `bundle` means `"host"`.
    pub image: Option<String>,
    /// Absolute path of a directory to use as the lower layer, instead of an
    /// image.
    #[serde(with = "text::optional_path")]
    pub rootfs: Option<PathBuf>,
    /// Absolute path of an OCI bundle (`config.json` and root), instead of an
    /// image.
    #[serde(with = "text::optional_path")]
    pub bundle: Option<PathBuf>,
    /// When the image is fetched from its registry.
    pub pull: Pull,
    /// Arguments; they replace the image's Cmd and follow the entry point.
    /// Without an entry point the first is the program. Empty: the image's.
    pub args: Vec<Text>,
    /// Replaces the image's Entrypoint, and with it the image's Cmd. `None`:
    /// the image's. An empty list only removes the Entrypoint and keeps Cmd;
    /// a list of one empty string removes both.
    pub entrypoint: Option<Vec<Text>>,
    /// Variables, put over the image's and the inherited ones. `None` (JSON
    /// `null`) removes a variable.
    pub env: BTreeMap<String, Option<Text>>,
    /// Names of the host's variables to pass on, over the image's. A name
    /// that the host does not have changes nothing.
    pub inherit_env: Vec<String>,
    /// Absolute working directory inside. `None`: the image's, else `/`.
    #[serde(with = "text::optional_path")]
    pub cwd: Option<PathBuf>,
    /// `name` or `uid`, alone or followed by `:group` or `:gid`; names are
    /// those of the container's `/etc/passwd` and `/etc/group`. `None` or
    /// empty: the image's, else root.
    pub user: Option<String>,
    /// Supplementary groups in addition to the user's, names or numbers.
    pub groups: Vec<String>,
    /// File mode creation mask, 0 to 0o777; in JSON octal digits in a string
    /// (`"022"`) or a number. `None` means 0o022.
    #[serde(with = "size::octal")]
    pub umask: Option<u32>,
    /// Host name inside, 1 to 64 letters, digits, `.`, `-`, `_`. `None`: the
    /// short id of the container.
    pub hostname: Option<String>,
    /// Name of the container: Docker's grammar, 2 to 255 characters, unique
    /// in the state directory. `None`: it is found by its id only.
    pub name: Option<String>,
    /// Labels to find and group containers by.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the OCI document; not interpreted.
    pub annotations: BTreeMap<String, String>,
    /// Whether the program gets a pseudo-terminal.
    pub tty: bool,
    /// Whether a tiny init is pid 1 and the program its child, so that
    /// aborts, signals and zombies behave. Default true.
    pub init: bool,
    /// Whether the root is read-only.
    pub read_only: bool,
    /// Where what is written to the root goes. `None`: memory for a container
    /// that is attached and removed at its end, else disk.
    pub writable: Option<Writable>,
    /// Mounts, made in this order.
    pub mounts: Vec<Mount>,
    /// Devices of the host, besides null, zero, full, random, urandom, tty and
    /// pseudo-terminals. No other can be opened, whatever nodes there are.
    pub devices: Vec<HostDevice>,
    /// Which network the container sees.
    pub network: Network,
    /// Ports that the host offers; for [`Network::Nat`] only.
    pub publish: Vec<Port>,
    /// Name servers for `/etc/resolv.conf`, at most 64. Empty: the host's, as
    /// far as they can be reached from the network.
    pub dns: Vec<IpAddr>,
    /// Further lines of `/etc/hosts`: name and address.
    pub hosts: BTreeMap<String, IpAddr>,
    /// What the container may use.
    pub limits: Limits,
    /// What keeps the container in.
    pub security: Security,
    /// What to do where no namespaces can be made. Default: the run is an
    /// error.
    pub degraded: Degraded,
    /// Signal that asks the program to end: name or number. `None`: the
    /// image's, else SIGTERM.
    #[serde(deserialize_with = "signal::text")]
    pub stop_signal: Option<String>,
    /// Whether the container goes on when its host ends. Default false: it
    /// ends with the host, even if that is killed.
    pub detach: bool,
    /// Whether the container is removed when it ends. `None`: yes if it is
    /// attached, no if it is detached.
    pub remove: Option<bool>,
}

/// When an image is fetched from its registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pull {
    /// When the store does not have it.
    #[default]
    Missing,
    /// Each time, if the registry has another one.
    Always,
    /// Never; an image that is not in the store is an error.
    Never,
}

/// Where what is written to the root goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Writable {
    /// Memory, counted against the memory limit; gone at the end.
    Memory,
    /// The data directory on disk.
    Disk,
}

/// What to do for an ordinary user where user namespaces are forbidden.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Degraded {
    /// The run is an error.
    #[default]
    Deny,
    /// For `image: host` only: a process of the host that Landlock (Linux 6.12),
    /// seccomp and resource limits keep in, as the caller's own user. It sees
    /// the host's processes and file names, reads what a container of the host
    /// could, writes below `$TMPDIR` and writable binds (whose target must be
    /// their source) only, and signals nobody outside. `inspect` says
    /// `"root": "degraded"`.
    Allow,
}

/// What the root of the container is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root<'a> {
    /// The host's own root.
    Host,
    /// An image reference.
    Image(&'a str),
    /// A directory.
    Directory(&'a Path),
    /// An OCI bundle.
    Bundle(&'a Path),
}

impl Default for RunSpec {
    fn default() -> RunSpec {
        RunSpec {
            schema: 1,
            image: None,
            rootfs: None,
            bundle: None,
            pull: Pull::Missing,
            args: Vec::new(),
            entrypoint: None,
            env: BTreeMap::new(),
            inherit_env: Vec::new(),
            cwd: None,
            user: None,
            groups: Vec::new(),
            umask: None,
            hostname: None,
            name: None,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            tty: false,
            init: true,
            read_only: false,
            writable: None,
            mounts: Vec::new(),
            devices: Vec::new(),
            network: Network::None,
            publish: Vec::new(),
            dns: Vec::new(),
            hosts: BTreeMap::new(),
            limits: Limits::default(),
            security: Security::default(),
            degraded: Degraded::Deny,
            stop_signal: None,
            detach: false,
            remove: None,
        }
    }
}

impl RunSpec {
    /// Reads and checks a document. C: `ctr_spec_validate`.
    ///
    /// # Errors
    /// `InvalidInput` at stage `spec`; the message begins with the path of
    /// the value.
    #[doc(alias = "ctr_spec_validate")]
    pub fn from_json(json: &[u8]) -> Result<RunSpec> {
        let spec: RunSpec = document::decode(&document::read(json)?)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Writes the document without what is at its default;
    /// [`RunSpec::from_json`] reads the same values back. Durations are exact
    /// to the nanosecond up to 97 days, beyond that to a few. (`Serialize`
    /// writes every key.)
    ///
    /// # Errors
    /// `Internal` if a value cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        document::write(self, &RunSpec::default())
    }

    /// What the root is made of.
    #[must_use]
    pub fn root(&self) -> Root<'_> {
        match (&self.image, &self.rootfs, &self.bundle) {
            (_, _, Some(bundle)) => Root::Bundle(bundle),
            (_, Some(rootfs), None) => Root::Directory(rootfs),
            (Some(image), None, None) if image != "host" => Root::Image(image),
            (_, None, None) => Root::Host,
        }
    }

    /// Whether the container is removed when it ends, the default applied.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.remove.unwrap_or(!self.detach)
    }

    /// Where what is written to the root goes, the default applied.
    #[must_use]
    pub fn writable(&self) -> Writable {
        let throw_away = !self.detach && self.is_removed();
        self.writable.unwrap_or(if throw_away { Writable::Memory } else { Writable::Disk })
    }
}
