//! What the root of a container is made of: images, from archive to lower
//! directories.
//!
//! Stage `image`, host process. A [`Store`] holds images as a plain OCI layout
//! with one unpacked tree for each layer. [`Store::load`] and
//! [`Store::import`] bring images in, [`Store::get`] hands one out with its
//! layers locked, so that running containers keep what they use.
//!
//! ```text
//! Source ─→ Content ─→ Candidate ─→ Transaction ─→ Store ─→ Image
//! archive,   named      documents     blobs, trees,   on      layers,
//! directory  bytes      verified      commit          disk    locks
//! ```
//!
//! Errors: all of stage `image`.
//! Sources: OCI image-spec v1.1, kernel `overlayfs.rst`.

use std::io;

use crate::error::{Error, Stage};

mod compression;
mod digest;
mod dir;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzz;
mod import;
mod limits;
mod load;
mod notes;
mod reference;
mod save;
mod source;
mod store;
mod tar;
mod unpack;

pub use import::ImportOptions;
pub use limits::{Limits, OnProgress, Progress, Step};
pub use load::LoadOptions;
pub use reference::Reference;
pub use save::ArchiveFormat;
pub use source::Source;
pub use store::{Image, Inspect, InspectLayer, Layer, Removed, RootDirectory, Store, Summary};

/// Input that is wrong.
pub(crate) fn bad(text: impl Into<String>) -> Error {
    Error::invalid(Stage::Image, text)
}

/// Sends an error of this crate through a `Read`.
pub(crate) fn wrap_io(error: Error) -> io::Error {
    io::Error::other(error)
}

/// Takes an error of a `Read` or `Write` apart: one of this crate comes back
/// as it was, damage found by a decoder is invalid input.
pub(crate) fn unwrap_io(call: &str, error: io::Error) -> Error {
    if error.raw_os_error().is_some() {
        return Error::io(Stage::Image, call, error);
    }
    match error.downcast::<Error>() {
        Ok(error) => error,
        // Decoders have no kind of their own for damage.
        Err(error) if error.kind() == io::ErrorKind::Other => {
            bad(format!("{call}: {error}")).with_source(error)
        }
        Err(error) => Error::io(Stage::Image, call, error),
    }
}

#[cfg(test)]
mod tests;
