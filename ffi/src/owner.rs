//! Which process a handle belongs to.
//!
//! `fork` copies handles into a process that must not use them: locks may be
//! held by threads that do not exist there. It may only drop them.

use crate::error::Error;

/// The process that made a handle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner(u32);

impl Owner {
    pub(crate) fn this_process() -> Owner {
        Owner(std::process::id())
    }

    /// Whether it is this process; `CTR_E_FORKED` otherwise.
    pub(crate) fn check(self) -> Result<(), Error> {
        if self.0 == std::process::id() { Ok(()) } else { Err(Error::forked()) }
    }
}
