//! `chdir`: the working directory, after the change of user, so that the
//! program's own rights decide.
//!
//! This process still has descriptors of the host, and /proc has a link to
//! each of them: no such link is followed (openat2(2), RESOLVE_NO_MAGICLINKS),
//! and the place must lie below the root in the end.

use super::at;
use crate::fault::{Call, Fault, Step};
use crate::plan::{Kind, Plan};
use crate::sys::{self, Errno, Fd};

pub(crate) fn enter(plan: Plan<'_>) -> Result<(), Fault> {
    for mut record in plan.records().filter(|record| record.kind == Kind::Cwd) {
        let path = record.body.string().ok_or(Fault::broken_plan(Step::Chdir, record.index))?;
        let failed = || at(Step::Chdir, Call::Chdir, record.index);
        let flags = sys::O_PATH | sys::O_DIRECTORY;
        let root = sys::open(Fd::CWD, c"/", flags, 0).map_err(failed())?;
        let directory = sys::open_in_root(root.borrow(), path, flags).map_err(failed())?;
        sys::fchdir(directory.borrow()).map_err(failed())?;
        if !sys::is_inside_root().map_err(failed())? {
            return Err(failed()(Errno::EXDEV));
        }
    }
    Ok(())
}
