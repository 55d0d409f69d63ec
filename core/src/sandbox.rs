//! The overlay sandbox: what the container's root is put together from.
//!
//! Stage `rootfs`, host side, values only: lower directories (an image's
//! layers, a directory, or the host's own `/`), where the upper layer lies,
//! and for the host's root which of its directories are hidden and which
//! other file systems below it are shown. The helper makes the mounts
//! (`core/helper/src/init/filesystem.rs`).

mod copy;
mod host;

use std::path::{Path, PathBuf};

pub(crate) use copy::copy;

/// What a root is made of.
#[derive(Debug, Default)]
pub(crate) struct Sandbox {
    /// Lower directories, uppermost first.
    pub(crate) lowers: Vec<PathBuf>,
    /// Directories to make in the upper layer before it is used, parents
    /// first.
    pub(crate) prepared: Vec<UpperDirectory>,
    /// Directories of the host that lie on other file systems, shown through
    /// overlays of their own.
    pub(crate) views: Vec<PathBuf>,
}

/// A directory of the upper layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UpperDirectory {
    /// Relative to the root.
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Hides what the lower layers have there.
    pub(crate) opaque: bool,
}

/// Where that lies what the container writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Upper {
    /// In an upper layer in memory, counted against the container's memory limit.
    Memory,
    /// In an upper layer below this directory, on disk.
    Disk(PathBuf),
    /// In a private copy of the root below this directory: no overlay can be
    /// mounted here.
    Copy(PathBuf),
}

impl Sandbox {
    /// A root from layers, uppermost first, or from one directory.
    pub(crate) fn layers(lowers: Vec<PathBuf>) -> Sandbox {
        Sandbox { lowers, ..Sandbox::default() }
    }

    /// The host's own root. `hidden` is hidden besides what always is.
    pub(crate) fn host(hidden: &[&Path]) -> Sandbox {
        let (prepared, views) = host::look(Path::new("/"), hidden);
        Sandbox { lowers: vec![PathBuf::from("/")], prepared, views }
    }
}
