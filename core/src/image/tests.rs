//! Tests of the store as a whole, on images made by `forge`.

mod hostile;
mod load;
mod remove;
mod stack;
