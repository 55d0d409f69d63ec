//! Doors to private parsers for the fuzz targets in `tests/fuzz`. Compiled
//! under cargo-fuzz only, which sets `cfg(fuzzing)`; no part of the interface.

pub use crate::cgroup::fuzz as cgroup;
pub use crate::image::fuzz as image;
pub use crate::launch::fuzz as launch;
pub use crate::process::fuzz as process;
