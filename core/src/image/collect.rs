//! Removes what nothing names.
//!
//! Stage `image`, host process.

use super::dir::Dir;
use super::index::Locked;
use super::store::Store;
use crate::error::Result;

/// Takes back what the dead load of the stage `dead` had moved in.
pub(crate) fn undo(_store: &Store, _locked: &Locked<'_>, _dead: &Dir) -> Result<()> {
    Ok(())
}
