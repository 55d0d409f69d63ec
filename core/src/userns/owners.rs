//! Owners of the files of a tree that is being made: root gives them at once
//! (for a container with other ids: those), an ordinary user's files get them
//! afterwards, from inside the user namespace.
//!
//! Host side, of the stage that makes the tree. Ids are the container's.
//!
//! Without subordinate ids there is only one owner, and all files stay with
//! the caller.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use nix::unistd::{getegid, geteuid};

use super::Users;
use super::job::{self, Owner};
use crate::error::Result;
use crate::tree::Attributes;

/// Who owns what, in a tree of these users.
#[derive(Debug)]
pub(crate) struct Owners<'a> {
    /// `None`: root, who gives any file to anybody.
    users: Option<&'a Users>,
    later: BTreeMap<Vec<u8>, Owner>,
}

impl<'a> Owners<'a> {
    pub(crate) fn new(users: Option<&'a Users>) -> Owners<'a> {
        Owners { users, later: BTreeMap::new() }
    }

    /// Changes the attributes of a file to what can be applied at once;
    /// returns what it is to be given later. `regular`: it is a regular file.
    pub(crate) fn take(
        &self,
        path: &[u8],
        attributes: &mut Attributes,
        regular: bool,
    ) -> Option<Owner> {
        let users = self.users?;
        let (uid, gid) = (attributes.uid, attributes.gid);
        if users.has_builder() {
            attributes.uid = users.host_uid(uid).unwrap_or(uid);
            attributes.gid = users.host_gid(gid).unwrap_or(gid);
            return None;
        }
        (attributes.uid, attributes.gid) = (geteuid().as_raw(), getegid().as_raw());
        // Only root may have these; one of them a user namespace's root too.
        let mut capability = Vec::new();
        attributes.xattrs.retain_mut(|(name, value)| match name.to_bytes() {
            b"security.capability" => {
                capability = std::mem::take(value);
                false
            }
            name => !name.starts_with(b"trusted.") && !name.starts_with(b"security."),
        });
        let id = |id, mapped: Option<u32>| if mapped.is_some() { id } else { 0 };
        let (uid, gid) = (id(uid, users.host_uid(uid)), id(gid, users.host_gid(gid)));
        let own = (users.container_uid(attributes.uid), users.container_gid(attributes.gid));
        if own == (Some(uid), Some(gid)) && (capability.is_empty() || !regular) {
            return None;
        }
        let mode = regular.then_some(attributes.mode);
        Some(Owner { path: path.to_vec(), uid, gid, mode, capability })
    }

    /// The owner that a file on disk has, as the container sees it.
    pub(crate) fn of_disk(&self, attributes: &mut Attributes) {
        if let Some(users) = self.users.filter(|users| !users.has_builder()) {
            attributes.uid = users.container_uid(attributes.uid).unwrap_or(0);
            attributes.gid = users.container_gid(attributes.gid).unwrap_or(0);
        }
    }

    /// A file is made, and with it what it is to be given later.
    pub(crate) fn set(&mut self, path: &[u8], owner: Option<Owner>) {
        match owner {
            Some(owner) => drop(self.later.insert(path.to_vec(), owner)),
            None => drop(self.later.remove(path)),
        }
    }

    /// A file has one more name: it stays what it is if the other one goes.
    pub(crate) fn link(&mut self, path: &[u8], target: &[u8]) {
        let owner = self.later.get(target).cloned();
        self.set(path, owner.map(|owner| Owner { path: path.to_vec(), ..owner }));
    }

    /// The names, to forget what is no more.
    pub(crate) fn names(&mut self) -> &mut BTreeMap<Vec<u8>, Owner> {
        &mut self.later
    }

    /// Gives all that is left to give.
    ///
    /// # Errors
    /// Stage `user`, with the call that failed.
    pub(crate) fn give(&mut self, tree: BorrowedFd<'_>) -> Result<()> {
        let later = std::mem::take(&mut self.later).into_values().collect::<Vec<_>>();
        self.users.map_or(Ok(()), |users| job::give(users, tree, &later))
    }
}
