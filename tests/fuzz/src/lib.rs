//! What the fuzz targets share: tars and images with right checksums and
//! digests, so that fuzzing gets past those, and a place where they can do no
//! harm.

mod image;
mod place;
mod tar;

pub use image::{Image, digest};
pub use place::Place;
pub use tar::{Item, Tar, fix_checksums};

use libctr::image::Limits;

/// Small bounds, which inputs can reach.
#[must_use]
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.bytes = 4 << 20;
    limits.entries = 500;
    limits.depth = 24;
    limits.extended = 64 << 10;
    limits.document = 64 << 10;
    limits
}
