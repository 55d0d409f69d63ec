//! `cgroup`: pid 1 enters its v1 groups, and the v2 one where clone3 could not
//! let it be born there.
//!
//! It moves itself, with `0` in `tasks` or `cgroup.procs`: for a single thread that moves only
//! itself the kernel needs no grace period (since Linux 5.5, commit
//! 9a3284fad42f), while a move by somebody else waits for milliseconds.

use super::at;
use crate::fault::{Call, Fault, Step};
use crate::plan::{Kind, Plan, flag};
use crate::sys::{self, Fd};

pub(crate) fn enter(plan: Plan<'_>, in_group: bool) -> Result<(), Fault> {
    for record in plan.records() {
        let mut body = record.body;
        let broken = Fault::broken_plan(Step::Cgroup, record.index);
        let file = match record.kind {
            Kind::GroupV1 => {
                let _controller = body.u32().ok_or(broken)?;
                c"tasks"
            }
            Kind::GroupV2 if !in_group => c"cgroup.procs",
            _ => continue,
        };
        let path = body.string().ok_or(broken)?;
        let failed = |call| at(Step::Cgroup, call, record.index);
        let dir = sys::open(Fd::CWD, path, sys::O_PATH | sys::O_DIRECTORY, 0);
        let dir = dir.map_err(failed(Call::Open))?;
        let file = sys::open(dir.borrow(), file, sys::O_WRONLY, 0).map_err(failed(Call::Open))?;
        sys::write_all(file.borrow(), b"0").map_err(failed(Call::Write))?;
    }
    // Only now is the namespace's root the container's own group.
    if plan.has(flag::CGROUP_NAMESPACE) {
        sys::unshare(sys::CLONE_NEWCGROUP)
            .map_err(at(Step::Cgroup, Call::Unshare, Fault::NO_RECORD))?;
    }
    Ok(())
}
