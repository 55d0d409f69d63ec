//! `chdir`: the working directory, after the change of user, so that the
//! program's own rights decide.
//!
//! `/proc/self/fd/N` leads to whatever is open, also outside of the container
//! (CVE-2024-21626). So nothing of the host's is open any more but the streams
//! that the caller gives, and where the kernel says that the directory cannot
//! be reached from the root it is refused.

use super::at;
use crate::fault::{Call, Fault, Step};
use crate::plan::{Kind, Plan};
use crate::sys::{self, Errno};

pub(crate) fn enter(plan: Plan<'_>) -> Result<(), Fault> {
    for mut record in plan.records().filter(|record| record.kind == Kind::Cwd) {
        let path = record.body.string().ok_or(Fault::broken_plan(Step::Chdir, record.index))?;
        sys::chdir(path).map_err(at(Step::Chdir, Call::Chdir, record.index))?;
        if !sys::is_inside() {
            return Err(at(Step::Chdir, Call::Chdir, record.index)(Errno::ENOENT));
        }
    }
    Ok(())
}
