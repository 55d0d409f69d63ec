//! What is recorded about a container before it exists.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::cgroup::Groups;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::spec::Text;

/// `meta.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// As the caller named it: an image reference, `host`, a directory.
    pub(crate) image: String,
    /// Digest of the image's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_id: Option<String>,
    /// Layers that the container needs, while it is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) layers: Vec<String>,
    /// argv, for people.
    pub(crate) command: Vec<String>,
    /// Nanoseconds since 1970.
    pub(crate) created_at_ns: u64,
    pub(crate) hostname: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) detached: bool,
    /// Whether the helper removes everything at the end.
    pub(crate) removed: bool,
    /// The control groups.
    pub(crate) groups: Groups,
    /// How the root is put together.
    #[serde(default)]
    pub(crate) root: RootMount,
    /// The directory of the upper layer or of the copied root, where there is
    /// one on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) upper: Option<PathBuf>,
    /// Signal that asks the program to end.
    pub(crate) stop_signal: i32,
    /// What another program of the container begins with.
    pub(crate) exec: ExecBasis,
    /// The document that the caller gave.
    pub(crate) spec: serde_json::Value,
}

/// What another program of a container begins with, beside the document.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ExecBasis {
    /// The container's own namespaces, as `CLONE_NEW…` bits.
    pub(crate) namespaces: u32,
    /// What image and caller have said of variables; `None` removes one.
    pub(crate) env: BTreeMap<String, Option<Text>>,
    /// The working directory.
    pub(crate) cwd: Text,
    /// The user as the caller or the image names it.
    pub(crate) user: String,
}

/// How the root of a container is put together from its lower directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RootMount {
    /// An overlay: they are shared, and what the container changes is apart.
    #[default]
    Overlay,
    /// A private copy, because no overlay can be mounted there. It lies on
    /// disk, whatever `writable` says.
    Copy,
    /// The host's own: no namespaces can be made here, and the caller allows
    /// to do without ([`crate::spec::Degraded`]).
    Degraded,
}

impl Meta {
    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self).map_err(|error| {
            Error::new(Stage::State, ErrorKind::Internal, "meta.json cannot be written as JSON")
                .with_source(error)
        })
    }

    pub(crate) fn from_json(json: &[u8]) -> Result<Meta> {
        serde_json::from_slice(json).map_err(|error| {
            Error::invalid(Stage::State, format!("meta.json: {error}")).with_source(error)
        })
    }
}

/// `status.json`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pids {
    /// The helper's process id, in the pid namespace of whoever started it.
    pub(crate) helper: i32,
    /// pid 1 of the container, likewise.
    pub(crate) init: i32,
    /// The program, likewise: pid 1, or its child.
    pub(crate) program: i32,
    /// Nanoseconds since 1970, at exec.
    pub(crate) started_at_ns: u64,
}
