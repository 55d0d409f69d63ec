//! Telling what a removal of images has removed, in the words of Docker.

use libctr::image::Removed;

use crate::failure::Result;
use crate::output;

pub(super) fn show(removed: &Removed) -> Result {
    for name in &removed.names {
        output::line(format_args!("Untagged: {name}"))?;
    }
    for id in &removed.images {
        output::line(format_args!("Deleted: {id}"))?;
    }
    Ok(())
}
