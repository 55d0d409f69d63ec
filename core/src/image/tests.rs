//! Tests of the store as a whole, on images made by `forge`.

mod bombs;
pub(super) mod forge;
mod hostile;
mod load;
mod remove;
mod sources;
mod stack;
