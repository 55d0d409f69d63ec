//! The one place that decides which owners and extended attributes of an
//! archive a layer's tree really gets.
//!
//! Stage `image`, host process.
//!
//! Errors: `image`.
//! Sources: image-spec `layer.md` (file attributes), kernel `overlayfs.rst`
//! (trusted.overlay and user.overlay).

use std::ffi::{CStr, CString};

use crate::error::{Error, Result, Stage};
use crate::image::bad;
pub(crate) use crate::tree::{Attributes, Time};
pub(crate) use crate::userns::Users;
pub(crate) use crate::userns::owners::Owners;

/// The namespace of overlayfs's own attributes in a layer's tree. A mount
/// reads one or the other, so a tree that was made for one is wrong for the
/// other; `meta.json` records which one it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    /// `trusted.overlay.`: mounts made with CAP_SYS_ADMIN in the initial user
    /// namespace.
    Trusted,
    /// `user.overlay.`: mounts made in a user namespace, with `userxattr`.
    User,
}

impl Marker {
    /// The attribute that hides what lower layers have in a directory.
    pub(crate) fn opaque(self) -> &'static CStr {
        match self {
            Marker::Trusted => c"trusted.overlay.opaque",
            Marker::User => c"user.overlay.opaque",
        }
    }

    /// As `meta.json` has it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Marker::Trusted => "trusted",
            Marker::User => "user",
        }
    }
}

/// What a tree's files are given. Everything about ownership is decided here
/// and in [`Owners`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ownership<'a> {
    pub(crate) marker: Marker,
    /// The user namespace whose ids the files have; `None`: the host's.
    users: Option<&'a Users>,
}

impl<'a> Ownership<'a> {
    /// Trees of root: owners and devices as the archive says.
    #[cfg(test)]
    pub(crate) const ROOT: Ownership<'static> = Ownership { marker: Marker::Trusted, users: None };

    /// Trees of root, or of an ordinary user.
    pub(crate) fn of(users: Option<&'a Users>) -> Ownership<'a> {
        let marker = if users.is_some() { Marker::User } else { Marker::Trusted };
        Ownership { marker, users }
    }

    /// For one tree.
    pub(crate) fn owners(self) -> Owners<'a> {
        Owners::new(self.users)
    }

    /// Whether devices can be made.
    pub(crate) fn has_devices(self) -> bool {
        self.users.is_none()
    }

    /// Whether there is such an owner; otherwise it is root.
    pub(crate) fn has(self, uid: u32, gid: u32) -> bool {
        let mapped = |users: &Users| users.host_uid(uid).is_some() && users.host_gid(gid).is_some();
        self.users.is_none_or(mapped)
    }

    /// The owner of a file of `uid` and `gid`, as the container sees it.
    pub(crate) fn map(self, uid: u64, gid: u64) -> Result<(u32, u32)> {
        // The largest 32-bit number means "leave as is" to chown.
        let id = |what, id| {
            u32::try_from(id)
                .ok()
                .filter(|id| *id != u32::MAX)
                .ok_or_else(|| bad(format!("tar: the {what} {id} of an entry is out of range")))
        };
        Ok((id("uid", uid)?, id("gid", gid)?))
    }
}

/// Whether an image may bring this attribute. Overlayfs's own would redirect
/// look-ups in the layers below; security labels belong to the host's policy.
pub(crate) fn allowed(name: &[u8]) -> bool {
    !(name.starts_with(b"trusted.overlay.")
        || name.starts_with(b"user.overlay.")
        || name == b"security.selinux"
        || name == b"system.nfs4_acl")
}

/// An attribute's name for the kernel.
pub(crate) fn xattr_name(name: &[u8]) -> Result<CString> {
    CString::new(name)
        .map_err(|_| Error::invalid(Stage::Image, "tar: a NUL byte in an attribute's name"))
}
