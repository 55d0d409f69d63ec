//! The program that the library carries: its plan written, itself started,
//! and the channel on which it answers.
//!
//! Host side, of no stage of its own: launching a container is one use of it.
//! The host never does itself what would change it (namespaces, ids); it has
//! this program do it in a process of its own.

pub(crate) mod channel;
pub(crate) mod fault;
pub(crate) mod plan;
mod program;
#[allow(unsafe_code, reason = "the two clones, and what runs between them and exec")]
mod spawn;

use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use crate::error::{Error, Result};

/// Executes the program, from the first place from which it can be: the file
/// `given`, memory, an unlinked file of one of the directories. Of the host's
/// descriptors it has the plan and those of `keep`. Returns its pidfd.
pub(crate) fn start(
    plan: &[u8],
    keep: &[RawFd],
    given: Option<&Path>,
    directories: &[&Path],
) -> Result<OwnedFd> {
    let plan = program::memory_file(c"libctr-plan", plan, false)?;
    let mut keep = keep.to_vec();
    keep.push(plan.as_raw_fd());
    let start = |program: &OwnedFd| spawn::spawn(program.as_fd(), plan.as_fd(), &keep);
    if let Some(path) = given {
        return start(&program::at(path)?);
    }
    let forbidden = |error: &Error| matches!(error.errno(), Some(libc::EACCES | libc::EPERM));
    let mut started = program::sealed().and_then(|program| start(&program));
    for directory in directories {
        match &started {
            Err(error) if forbidden(error) => {
                started = program::unlinked(directory).and_then(|program| start(&program));
            }
            _ => break,
        }
    }
    started
}
