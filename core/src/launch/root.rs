//! What the root is made of: the first step of a run.
//!
//! Stage `image` or `rootfs`, host side: an image of the store with its layers
//! held, a directory, or the host's own root.

use std::fs;

use crate::error::{Error, ErrorKind, Result, Stage};
use crate::image::{Image, RootDirectory};
use crate::runtime::Runtime;
use crate::sandbox::Sandbox;
use crate::spec::{Pull, Root, RunSpec};

/// The root's layers, and what keeps them.
pub(super) struct RootParts {
    pub(super) sandbox: Sandbox,
    pub(super) top: RootDirectory,
    pub(super) image: Option<Image>,
    /// As the caller named it.
    pub(super) name: String,
}

/// Finds what the container's root is made of.
pub(super) fn find(runtime: &Runtime, spec: &RunSpec) -> Result<RootParts> {
    match spec.root() {
        Root::Host => Ok(RootParts {
            sandbox: Sandbox::host(&[runtime.data(), runtime.run_directory()]),
            top: RootDirectory::default(),
            image: None,
            name: "host".into(),
        }),
        Root::Directory(path) => {
            let found = fs::canonicalize(path).map_err(|error| {
                Error::io(Stage::Rootfs, format!("rootfs: realpath({path:?})"), error)
            })?;
            if !found.is_dir() {
                return Err(Error::invalid(
                    Stage::Rootfs,
                    format!("rootfs: {path:?} is no directory"),
                ));
            }
            Ok(RootParts {
                name: path.display().to_string(),
                sandbox: Sandbox::layers(vec![found]),
                top: RootDirectory::default(),
                image: None,
            })
        }
        Root::Image(name) => {
            if spec.pull == Pull::Always {
                let message =
                    "pull: always needs a registry client, which this version does not have";
                return Err(Error::new(Stage::Image, ErrorKind::Unsupported, message)
                    .with_hint("load the image from an archive and use pull: missing or never"));
            }
            let image = runtime.images()?.get(name)?;
            let lowers = image.layers.iter().rev().map(|layer| layer.path.clone()).collect();
            Ok(RootParts {
                sandbox: Sandbox::layers(lowers),
                top: image.root,
                name: name.into(),
                image: Some(image),
            })
        }
        Root::Bundle(path) => Err(Error::invalid(Stage::Rootfs, format!("bundle: {path:?}"))),
    }
}
