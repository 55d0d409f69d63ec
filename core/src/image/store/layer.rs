//! One unpacked layer: `layers/<id>/{fs,meta.json}`.
//!
//! Stage `image`, host process. The id is the hex part of the DiffID, or of
//! the ChainID where the tree depends on the layers below it. A layer is in
//! use as long as somebody holds a shared lock on its directory; the collector
//! takes the exclusive one. The lock lives as long as the descriptor and all
//! its duplicates, in whatever process: a container's helper keeps the layers
//! of its image just by holding them.
//!
//! Errors: `image`, with path and errno; not found when it was never unpacked.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::bad;
use crate::image::dir::Dir;
use crate::image::store::index;
use crate::image::store::stage::{is_current, try_lock};

/// A layer of an image, unpacked and locked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Layer {
    /// The name of its directory in the store: what `in_use` is asked about.
    pub id: String,
    /// The digest of its uncompressed tar.
    pub diff_id: String,
    /// The tree, in overlay form: a lower directory.
    pub path: PathBuf,
    /// Bytes of all its files.
    pub size: u64,
    /// Entries of its tar.
    pub entries: u64,
}

/// Mode and owner of a root directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RootDirectory {
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

impl Default for RootDirectory {
    fn default() -> RootDirectory {
        RootDirectory { mode: 0o755, uid: 0, gid: 0 }
    }
}

/// What `meta.json` records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Meta {
    pub(crate) diff_id: String,
    /// The compressed blob it was made from.
    pub(crate) blob: String,
    /// Bytes of the uncompressed tar.
    pub(crate) tar_size: u64,
    pub(crate) size: u64,
    pub(crate) entries: u64,
    /// What the tar says about `/`; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<RootDirectory>,
    /// Whether the tree took something from lower layers, or would have to in
    /// another place: then its id holds for this stack only.
    pub(crate) stacked: bool,
    /// Which overlay attributes the tree has: `trusted`.
    pub(crate) overlay: String,
}

/// How long somebody may hold the lock that only the collector takes.
const PATIENCE_MS: u32 = 5000;

/// A layer that cannot be collected as long as this lives.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) dir: Dir,
    pub(crate) meta: Meta,
}

/// Finds and locks the layer `id`; `None` where it is not unpacked.
pub(crate) fn hold(layers: &Dir, id: &str) -> Result<Option<Held>> {
    for _ in 0..PATIENCE_MS {
        let Some(dir) = layers.find(id)? else {
            return Ok(None);
        };
        // A collector takes the other lock just before the layer is gone.
        if !try_lock(dir.as_fd(), false)? || !is_current(layers, id, dir.as_fd())? {
            std::thread::sleep(Duration::from_millis(1));
            continue;
        }
        let what = format!("meta.json of layer {id}");
        let bytes = dir.read("meta.json", index::DOCUMENT)?;
        let bytes = bytes.ok_or_else(|| bad(format!("{what} is missing")))?;
        let meta: Meta = index::parse(&what, &bytes)?;
        return Ok(Some(Held { id: id.to_owned(), dir, meta }));
    }
    let text = format!("layer {id} is locked by another process");
    Err(Error::new(Stage::Image, ErrorKind::Busy, text))
}

/// Finds and locks the layer at one place of a stack: by the ChainID, or by
/// the DiffID when its tree does not depend on its place.
pub(crate) fn hold_at(layers: &Dir, chain: &Digest, diff_id: &Digest) -> Result<Option<Held>> {
    if let Some(held) = hold(layers, chain.digest())? {
        return Ok(Some(held));
    }
    if chain == diff_id {
        return Ok(None);
    }
    Ok(hold(layers, diff_id.digest())?.filter(|held| !held.meta.stacked))
}

impl Held {
    /// The public view and the descriptor that holds the lock.
    pub(crate) fn into_parts(self, layers: &Dir) -> (Layer, OwnedFd) {
        let layer = Layer {
            path: layers.path().join(&self.id).join("fs"),
            id: self.id,
            diff_id: self.meta.diff_id,
            size: self.meta.size,
            entries: self.meta.entries,
        };
        (layer, self.dir.into_fd())
    }
}
