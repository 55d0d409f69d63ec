//! Mounts that the caller asks for.
//!
//! Stage `spec`, host side; made later by the helper at stage `filesystem`.
//! Targets are paths inside the container and are resolved there, below its
//! root; sources are paths of the host.

use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::limits::at_least;
use super::size::{octal, optional_bytes};
use super::text::{optional_path, path};
use super::validate::{absolute, refuse};
use crate::Result;

/// One mount in the container, made in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// What is mounted; `type` in JSON.
    #[serde(rename = "type")]
    pub kind: MountKind,
    /// Absolute path on the host; for `bind` and `overlay` only.
    #[serde(default, with = "optional_path", skip_serializing_if = "Option::is_none")]
    pub source: Option<PathBuf>,
    /// Absolute path inside, without `..`, not the root itself. Missing
    /// directories (for a file: its parents and an empty file) are made.
    #[serde(with = "path")]
    pub target: PathBuf,
    /// Whether writing is refused. `None`: true for `bind`, else false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Most bytes in a `tmpfs`. `None`: bounded by the memory limit and the
    /// kernel's default of half the machine's memory.
    #[serde(default, deserialize_with = "optional_bytes", skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Mode of the top directory of a `tmpfs`, 0 to 0o7777, octal digits in a
    /// JSON string. `None` means 0o1777.
    #[serde(default, with = "octal", skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// What else holds in the mount and in all that is mounted below. Empty:
    /// set-user-ID bits and file capabilities have no effect, programs can be
    /// executed. Devices never work in a mount; `devices` of [`super::RunSpec`]
    /// gives them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<MountOption>,
}

/// An option of a mount, named as by mount(8) and the container engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountOption {
    /// Set-user-ID bits and file capabilities have no effect: the default.
    NoSuid,
    /// They have.
    Suid,
    /// Nothing can be executed.
    NoExec,
    /// Programs can be executed: the default.
    Exec,
    /// Devices do not work: always so.
    NoDev,
}

impl MountOption {
    const ALL: [(&'static str, MountOption); 5] = [
        ("nosuid", MountOption::NoSuid),
        ("suid", MountOption::Suid),
        ("noexec", MountOption::NoExec),
        ("exec", MountOption::Exec),
        ("nodev", MountOption::NoDev),
    ];

    /// The option of this name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<MountOption> {
        MountOption::ALL.iter().find(|(known, _)| *known == name).map(|(_, option)| *option)
    }
}

/// Files of /proc that may be replaced, as other runtimes allow it: they tell
/// what the container may use instead of what the machine has.
const IN_PROC: [&str; 9] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
];

/// Directories of /sys that are places to mount on, and what tells of
/// processors.
const IN_SYS: [&str; 3] = ["/sys/fs", "/sys/kernel", "/sys/devices/system/cpu"];

/// The kind of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A file or directory of the host.
    Bind,
    /// An empty file system in memory.
    Tmpfs,
    /// A copy-on-write view of a directory of the host: the container may
    /// write, the host's directory never changes.
    Overlay,
}

impl Mount {
    /// A file or directory of the host, read-only.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
        Mount::new(MountKind::Bind, Some(source.into()), target.into())
    }

    /// An empty file system in memory.
    pub fn tmpfs(target: impl Into<PathBuf>) -> Mount {
        Mount::new(MountKind::Tmpfs, None, target.into())
    }

    /// A copy-on-write view of a directory of the host.
    pub fn overlay(source: impl Into<PathBuf>, target: impl Into<PathBuf>) -> Mount {
        Mount::new(MountKind::Overlay, Some(source.into()), target.into())
    }

    fn new(kind: MountKind, source: Option<PathBuf>, target: PathBuf) -> Mount {
        Mount { kind, source, target, read_only: None, size: None, mode: None, options: Vec::new() }
    }

    /// Whether writing is refused, with the default of the kind applied.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only.unwrap_or(self.kind == MountKind::Bind)
    }

    /// Whether set-user-ID bits and file capabilities have no effect.
    #[must_use]
    pub fn is_nosuid(&self) -> bool {
        !self.options.contains(&MountOption::Suid)
    }

    /// Whether nothing can be executed.
    #[must_use]
    pub fn is_noexec(&self) -> bool {
        self.options.contains(&MountOption::NoExec)
    }

    /// Whether the target is one of those in /proc and /sys that may be.
    pub(crate) fn is_in_kernel(&self) -> bool {
        IN_PROC.iter().any(|file| self.target == Path::new(file))
            || IN_SYS.iter().any(|directory| {
                self.target != Path::new(directory) && self.target.starts_with(directory)
            })
    }

    fn options(&self, at: &str) -> Result<()> {
        let both = |a, b| self.options.contains(&a) && self.options.contains(&b);
        if both(MountOption::Suid, MountOption::NoSuid) {
            return Err(refuse(format!("{at}.options"), "suid and nosuid exclude each other"));
        }
        if both(MountOption::Exec, MountOption::NoExec) {
            return Err(refuse(format!("{at}.options"), "exec and noexec exclude each other"));
        }
        Ok(())
    }

    pub(super) fn validate(&self, at: &str) -> Result<()> {
        match (self.kind, &self.source) {
            (MountKind::Tmpfs, Some(_)) => {
                return Err(refuse(format!("{at}.source"), "a tmpfs has no source"));
            }
            (MountKind::Bind | MountKind::Overlay, None) => {
                return Err(refuse(at, "expected a source: an absolute path on the host"));
            }
            (_, Some(source)) => absolute(&format!("{at}.source"), source)?,
            (_, None) => {}
        }
        let target = format!("{at}.target");
        absolute(&target, &self.target)?;
        if self.target.components().any(|part| part == Component::ParentDir) {
            return Err(refuse(
                target,
                format!("expected a path without \"..\", found {:?}", self.target),
            ));
        }
        if self.target.components().count() == 1 {
            return Err(refuse(target, "the root itself cannot be a mount target")
                .with_hint("rootfs and image say what the root is made of"));
        }
        let kernel = ["/proc", "/sys"].iter().any(|top| self.target.starts_with(top));
        if kernel && !self.is_in_kernel() {
            let text = format!("{:?} is the kernel's, no mount may cover it", self.target);
            return Err(refuse(target, text));
        }
        self.options(at)?;
        for (key, given) in [("size", self.size.is_some()), ("mode", self.mode.is_some())] {
            if given && self.kind != MountKind::Tmpfs {
                return Err(refuse(format!("{at}.{key}"), "only a tmpfs has it"));
            }
        }
        at_least(&format!("{at}.size"), self.size, 1)?;
        match self.mode {
            Some(mode) if mode > 0o7777 => Err(refuse(
                format!("{at}.mode"),
                format!("expected at most 07777, found 0{mode:o}"),
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Mount, MountOption};

    #[test]
    fn binds_are_read_only_unless_said() {
        assert!(Mount::bind("/a", "/b").is_read_only());
        assert!(!Mount { read_only: Some(false), ..Mount::bind("/a", "/b") }.is_read_only());
        assert!(!Mount::tmpfs("/tmp").is_read_only());
        assert!(!Mount::overlay("/a", "/b").is_read_only());
    }

    #[test]
    fn wrong_mounts_are_refused_in_words() {
        for (mount, message) in [
            (Mount::bind("a", "/b"), "m.source: expected an absolute path, found \"a\""),
            (Mount::bind("/a", "b"), "m.target: expected an absolute path, found \"b\""),
            (
                Mount::bind("/a", "/b/../c"),
                "m.target: expected a path without \"..\", found \"/b/../c\"",
            ),
            (Mount::bind("/a", "/b\0"), "m.target: contains a NUL byte"),
            (Mount::tmpfs("//./"), "m.target: the root itself cannot be a mount target"),
            (
                Mount { source: None, ..Mount::bind("/a", "/b") },
                "m: expected a source: an absolute path on the host",
            ),
            (
                Mount { source: Some("/a".into()), ..Mount::tmpfs("/b") },
                "m.source: a tmpfs has no source",
            ),
            (Mount { size: Some(1), ..Mount::bind("/a", "/b") }, "m.size: only a tmpfs has it"),
            (Mount { size: Some(0), ..Mount::tmpfs("/b") }, "m.size: expected at least 1, found 0"),
            (Mount::tmpfs("/proc"), "m.target: \"/proc\" is the kernel's, no mount may cover it"),
            (
                Mount::bind("/a", "//proc/./self/attr"),
                "m.target: \"//proc/./self/attr\" is the kernel's, no mount may cover it",
            ),
            (
                Mount::bind("/a", "/sys/firmware"),
                "m.target: \"/sys/firmware\" is the kernel's, no mount may cover it",
            ),
            (
                Mount::bind("/a", "/sys/fs"),
                "m.target: \"/sys/fs\" is the kernel's, no mount may cover it",
            ),
            (
                Mount {
                    options: vec![MountOption::Suid, MountOption::NoSuid],
                    ..Mount::bind("/a", "/b")
                },
                "m.options: suid and nosuid exclude each other",
            ),
            (
                Mount {
                    options: vec![MountOption::NoExec, MountOption::Exec],
                    ..Mount::tmpfs("/b")
                },
                "m.options: exec and noexec exclude each other",
            ),
            (
                Mount { mode: Some(0o10000), ..Mount::tmpfs("/b") },
                "m.mode: expected at most 07777, found 010000",
            ),
        ] {
            assert_eq!(mount.validate("m").unwrap_err().message(), message);
        }
    }

    #[test]
    fn options_have_the_names_of_mount_and_safe_defaults() {
        let plain = Mount::bind("/a", "/b");
        assert!(plain.is_nosuid() && !plain.is_noexec());
        let other = Mount { options: vec![MountOption::Suid, MountOption::NoExec], ..plain };
        assert!(!other.is_nosuid() && other.is_noexec());
        for (name, option) in MountOption::ALL {
            let json = serde_json::to_string(&option).expect("json");
            assert_eq!((json, MountOption::from_name(name)), (format!("\"{name}\""), Some(option)));
        }
        assert_eq!(MountOption::from_name("dev"), None);
    }

    #[test]
    fn places_in_proc_and_sys_that_others_allow_are_allowed() {
        for target in
            ["/proc/meminfo", "/proc/net/dev", "/sys/fs/cgroup", "/sys/kernel/debug", "/procx"]
        {
            assert!(Mount::bind("/a", target).validate("m").is_ok(), "{target}");
        }
    }
}
