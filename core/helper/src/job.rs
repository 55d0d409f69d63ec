//! What there is to do beside running containers: work on files with the ids
//! of a user namespace, for a host that must not enter one itself.

use core::ffi::CStr;

use crate::fault::{Call, Fault, Step};
use crate::init::{at, descriptor};
use crate::message::Message;
use crate::monitor::{remove, tell};
use crate::plan::{Body, Field, Kind, Plan, job};
use crate::sys::{self, BorrowedFd};
use crate::userns;

/// Does a job and tells the host how it went.
pub(crate) fn run(plan: Plan<'static>, job: u64) -> ! {
    let done = userns::inside(plan, || match job {
        job::REMOVE => remove_all(plan),
        job::OWNERS => owners(plan),
        _ => Err(Fault::broken_plan(Step::User, Fault::NO_RECORD)),
    });
    let message = match done {
        Ok(()) => Message::Done,
        Err(fault) => Message::Failed(fault),
    };
    tell(plan, message, [None, None]);
    sys::exit(0)
}

fn remove_all(plan: Plan<'static>) -> Result<(), Fault> {
    for mut record in plan.records().filter(|record| record.kind == Kind::Remove) {
        let broken = Fault::broken_plan(Step::User, record.index);
        let _when = record.body.u32().ok_or(broken)?;
        let path = record.body.string().ok_or(broken)?;
        match remove::tree(path) {
            Ok(()) | Err(sys::Errno::ENOENT) => {}
            Err(errno) => return Err(at(Step::User, Call::Unlink, record.index)(errno)),
        }
    }
    Ok(())
}

fn owners(plan: Plan<'static>) -> Result<(), Fault> {
    let broken = Fault::broken_plan(Step::User, Fault::NO_RECORD);
    let tree = descriptor(plan, Field::Tree).ok_or(broken)?;
    for record in plan.records().filter(|record| record.kind == Kind::Owner) {
        owner(tree, record.body, record.index)?;
    }
    Ok(())
}

/// One file: its owner, then what a change of owner takes away (chown(2)).
fn owner(tree: BorrowedFd, mut body: Body<'_>, index: u16) -> Result<(), Fault> {
    let broken = Fault::broken_plan(Step::User, index);
    let mut number = || body.u32().ok_or(broken);
    let (uid, gid, mode) = (number()?, number()?, number()?);
    let path: &CStr = body.string().ok_or(broken)?;
    let length = usize::try_from(number_of(&mut body, index)?).map_err(|_| broken)?;
    let capability = body.bytes(length).ok_or(broken)?;
    let failed = |call| at(Step::User, call, index);
    if mode == u32::MAX {
        let flags = sys::O_PATH | sys::O_NOFOLLOW;
        let file = sys::open_in_root(tree, path, flags).map_err(failed(Call::Openat2))?;
        return sys::chown_open(file.borrow(), uid, gid).map_err(failed(Call::Fchown));
    }
    let flags = sys::O_RDONLY | sys::O_NOFOLLOW | sys::O_NONBLOCK;
    let file = sys::open_in_root(tree, path, flags).map_err(failed(Call::Openat2))?;
    sys::fchown(file.borrow(), uid, gid).map_err(failed(Call::Fchown))?;
    if !capability.is_empty() {
        sys::fsetxattr(file.borrow(), c"security.capability", capability)
            .map_err(failed(Call::Setxattr))?;
    }
    sys::fchmod(file.borrow(), mode).map_err(failed(Call::Fchmod))
}

fn number_of(body: &mut Body<'_>, index: u16) -> Result<u32, Fault> {
    body.u32().ok_or(Fault::broken_plan(Step::User, index))
}
