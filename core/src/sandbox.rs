//! The overlay sandbox: what the container's root is put together from.
//!
//! Stage `rootfs`, host side: lower directories (an image's
//! layers, a directory, or the host's own `/`), where the upper layer lies,
//! and for the host's root which of its directories are hidden and which
//! other file systems below it are shown. The helper makes the mounts
//! (`core/helper/src/init/filesystem.rs`).

mod copy;
mod host;
mod pieces;

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

pub(crate) use copy::copy;

use crate::tree::is_opaque;
use crate::userns;

/// The attribute of a directory that hides what is below it; in a user
/// namespace overlays read the other one.
fn opaque() -> &'static CStr {
    match userns::is_host_root() {
        true => c"trusted.overlay.opaque",
        false => c"user.overlay.opaque",
    }
}

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
    pub(crate) views: Vec<View>,
    /// The root is a directory in memory, with these in it, parents first.
    pub(crate) pieces: Option<Vec<Piece>>,
}

/// A part of a root that cannot be one overlay.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A directory of its own.
    Directory { path: PathBuf, mode: u32 },
    /// A symbolic link.
    Link { path: PathBuf, contents: PathBuf },
    /// A file of the host, read-only.
    File(PathBuf),
    /// A directory of the host and all below it, read-only.
    Tree(PathBuf),
    /// A directory of the host, through an overlay.
    View(View),
}

/// A directory of the host that is shown through an overlay of its own.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) path: PathBuf,
    /// As [`Sandbox::prepared`], relative to the view.
    pub(crate) prepared: Vec<UpperDirectory>,
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
    /// Nowhere but below this directory: the program stays in the host's own
    /// root.
    Nowhere(PathBuf),
}

impl Sandbox {
    /// A root from layers, uppermost first, or from one directory.
    ///
    /// Overlayfs takes no directory twice (ELOOP), and images have the same
    /// layer twice; the upper one hides all that the lower one has. Nor does
    /// overlayfs look at the opaque attribute of a layer's own top directory:
    /// what is below such a layer is left out here.
    pub(crate) fn layers(layers: Vec<PathBuf>) -> Sandbox {
        let mut lowers: Vec<PathBuf> = Vec::with_capacity(layers.len());
        for layer in layers {
            if lowers.contains(&layer) {
                continue;
            }
            let opaque = hides_all(&layer);
            lowers.push(layer);
            if opaque {
                break;
            }
        }
        Sandbox { lowers, ..Sandbox::default() }
    }

    /// The host's own root. `hidden` is hidden besides what always is.
    pub(crate) fn host(hidden: &[&Path]) -> Sandbox {
        let lowers = vec![PathBuf::from("/")];
        if !userns::is_host_root() {
            let pieces = Some(pieces::take(Path::new("/"), hidden));
            return Sandbox { lowers, pieces, ..Sandbox::default() };
        }
        let (prepared, views) = host::look(Path::new("/"), hidden);
        Sandbox { lowers, prepared, views, pieces: None }
    }
}

/// What a container of the host's own root sees of it.
pub(crate) fn visible() -> Vec<PathBuf> {
    pieces::visible(Path::new("/"))
}

/// Whether a layer hides everything below it. One that cannot be read is an
/// error of whoever uses it.
fn hides_all(layer: &Path) -> bool {
    File::open(layer).is_ok_and(|dir| is_opaque(dir.as_fd(), opaque()).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::Sandbox;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::path::PathBuf;

    #[test]
    fn layer_that_occurs_twice_counts_where_it_is_uppermost() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let sandbox = Sandbox::layers(paths(&["/c/none", "/a/none", "/b/none", "/a/none"]));
        assert_eq!(sandbox.lowers, paths(&["/c/none", "/a/none", "/b/none"]));
    }

    #[test]
    fn layer_with_an_opaque_top_is_the_lowest() {
        let place = tempfile::tempdir().expect("directory");
        let layers: Vec<_> =
            ["upper", "opaque", "lower"].map(|name| place.path().join(name)).into();
        for layer in &layers {
            std::fs::create_dir(layer).expect("directory");
        }
        assert_eq!(Sandbox::layers(layers.clone()).lowers, layers);
        let opaque = File::open(&layers[1]).expect("directory");
        crate::sys::fsetxattr(opaque.as_fd(), super::opaque(), b"y").expect("attribute");
        assert_eq!(Sandbox::layers(layers.clone()).lowers, layers[..2]);
    }
}
