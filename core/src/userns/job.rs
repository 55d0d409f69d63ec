//! Work on files that have owners of a user namespace: the host cannot do it
//! itself, because a process with threads cannot enter one. The helper does.
//!
//! Host side, of the stage for which it is done.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libctr_helper::message::Message;
use libctr_helper::plan::{Field, Kind, job, when};
use nix::errno::Errno;

use super::Users;
use crate::error::{Error, ErrorKind, Result, Stage};
use crate::helper::plan::Plan;
use crate::helper::{self, channel};
use crate::{sys, tree, wait};

/// What one file of a tree is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// From the top of the tree.
    pub(crate) path: Vec<u8>,
    /// As the container sees it.
    pub(crate) uid: u32,
    /// As the container sees it.
    pub(crate) gid: u32,
    /// Of a regular file, whose set-id bits a change of owner takes away.
    pub(crate) mode: Option<u32>,
    /// `security.capability`; empty for none.
    pub(crate) capability: Vec<u8>,
}

/// Gives files of a tree their owners.
///
/// # Errors
/// Stage `user`, with the call that failed.
pub(crate) fn give(users: &Users, tree: BorrowedFd<'_>, owners: &[Owner]) -> Result<()> {
    if owners.is_empty() {
        return Ok(());
    }
    let mut plan = Plan::new();
    users.write_job(&mut plan, job::OWNERS);
    plan.descriptor(Field::Tree, tree);
    for owner in owners {
        plan.record(Kind::Owner, |body| {
            body.u32(owner.uid).u32(owner.gid).u32(owner.mode.unwrap_or(u32::MAX));
            body.string(OsStr::from_bytes(&owner.path)).contents(&owner.capability);
        });
    }
    run(&mut plan, Some(tree))
}

/// Removes `name` in `parent`, which is at `path`, with all that is in it. What
/// an ordinary user may not remove, because it belongs to his subordinate ids
/// or is closed, goes from inside the user namespace. Absence is no error.
///
/// # Errors
/// The errno of a call on the tree, or what the helper says.
pub(crate) fn remove_tree(
    parent: BorrowedFd<'_>,
    name: &[u8],
    path: &Path,
    failed: impl FnOnce(Errno) -> Error,
) -> Result<()> {
    match tree::remove_tree(parent, name) {
        Ok(()) => Ok(()),
        Err(errno @ (Errno::EACCES | Errno::EPERM)) => match Users::of_files()? {
            Some(users) => remove(&users, path),
            None => Err(failed(errno)),
        },
        Err(errno) => Err(failed(errno)),
    }
}

fn remove(users: &Users, path: &Path) -> Result<()> {
    let mut plan = Plan::new();
    users.write_job(&mut plan, job::REMOVE);
    plan.record(Kind::Remove, |body| {
        body.u32(when::ALWAYS).path(path);
    });
    run(&mut plan, None)
}

fn run(plan: &mut Plan, tree: Option<BorrowedFd<'_>>) -> Result<()> {
    let (ours, theirs) = channel::pair()?;
    plan.descriptor(Field::Channel, theirs.as_fd());
    let mut keep = vec![theirs.as_raw_fd()];
    keep.extend(tree.map(|tree| tree.as_raw_fd()));
    let bytes = plan.to_bytes();
    let helper = helper::start(&bytes, &keep, None, &[])?;
    drop(theirs);
    let answer = ours.receive(None);
    wait::until_readable(helper.as_fd(), None)?;
    sys::reap_pidfd(helper.as_fd());
    match answer? {
        Some((Message::Done, _)) => Ok(()),
        Some((Message::Failed(fault), _)) => Err(helper::fault::error(&bytes, fault)),
        _ => Err(Error::new(
            Stage::User,
            ErrorKind::SetupFailed,
            "the helper ended before its work was done",
        )),
    }
}
