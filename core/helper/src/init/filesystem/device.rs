//! Devices: nodes of this container's own, in its fresh `/dev`.
//!
//! A node of one's own has an owner and a mode of its own: what the program
//! does to them stays in the container. Where none can be made (in a user
//! namespace, or by a root without CAP_MKNOD: EPERM), the host's node is bound
//! instead. A device outside of `/dev`, where mounts are `nodev`, is a node in
//! `/dev` that is bound there and has no name of its own.

use core::ffi::CStr;

use super::failed;
use super::root::Root;
use super::tree::{Stage, Tree};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Record, option};
use crate::sys::{self, Errno, Fd};

/// The name of a node until it is bound.
const PASSING: &CStr = c"dev/.libctr-device";

pub(super) fn make(record: Record<'_>, root: &mut Root, stage: Stage<'_>) -> Result<(), Fault> {
    let Record { index, mut body, .. } = record;
    let broken = Fault::broken_plan(Step::Filesystem, index);
    let mut number = || body.u32().ok_or(broken);
    let (flags, mode) = (number()?, number()?);
    let (uid, gid) = (number()?, number()?);
    let (major, minor) = (number()?, number()?);
    let source = body.string().ok_or(broken)?;
    let target = body.string().ok_or(broken)?;
    if flags & option::BIND != 0 {
        bind(root, Tree::open(stage, index, Fd::CWD, source, false)?, target, index)?;
        return found(root, target, index);
    }
    let in_dev = target.to_bytes().starts_with(b"dev/");
    let name = if in_dev { target } else { PASSING };
    match root.node(name, mode, major, minor) {
        Ok(()) => {}
        Err(Errno::EPERM) => {
            bind(root, Tree::open(stage, index, Fd::CWD, source, false)?, target, index)?;
            return found(root, target, index);
        }
        Err(errno) => return Err(failed(Call::Mknod, index)(errno)),
    }
    if uid != 0 || gid != 0 {
        root.own(name, uid, gid).map_err(failed(Call::Fchownat, index))?;
    }
    if in_dev {
        return found(root, target, index);
    }
    let node = root.open_file(name, sys::O_PATH).map_err(failed(Call::Openat2, index))?;
    bind(root, Tree::open(stage, index, node.borrow(), c"", false)?, target, index)?;
    root.remove(name).map_err(failed(Call::Unlink, index))
}

/// Masks will need the null device, and no other one.
fn found(root: &mut Root, target: &CStr, index: u16) -> Result<(), Fault> {
    match target.to_bytes() {
        b"dev/null" => root.null().map(drop).map_err(failed(Call::Openat2, index)),
        _ => Ok(()),
    }
}

/// Binds one node on a file that is made for it.
fn bind(root: &mut Root, mut node: Tree<'_>, target: &CStr, index: u16) -> Result<(), Fault> {
    node.set(sys::MS_NOSUID | sys::MS_NOEXEC)?;
    let onto = root.file_target(target, false).map_err(failed(Call::Open, index))?;
    node.attach(onto.borrow())?;
    root.mounted();
    Ok(())
}
