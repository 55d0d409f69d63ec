//! Mounts that the caller asks for.
//!
//! Stage `spec`, host side; made later by the helper at stage `filesystem`.
//! Targets are paths inside the container and are resolved there, below its
//! root; sources are paths of the host.

use std::path::{Component, PathBuf};

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
}

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
        Mount { kind, source, target, read_only: None, size: None, mode: None }
    }

    /// Whether writing is refused, with the default of the kind applied.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only.unwrap_or(self.kind == MountKind::Bind)
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
    use super::Mount;

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
            (
                Mount { mode: Some(0o10000), ..Mount::tmpfs("/b") },
                "m.mode: expected at most 07777, found 010000",
            ),
        ] {
            assert_eq!(mount.validate("m").unwrap_err().message(), message);
        }
    }
}
