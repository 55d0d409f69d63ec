//! `chdir`: the working directory, after the change of user, so that the
//! program's own rights decide.

use super::at;
use crate::fault::{Call, Fault, Step};
use crate::plan::{Kind, Plan};
use crate::sys;

pub(crate) fn enter(plan: Plan<'_>) -> Result<(), Fault> {
    for mut record in plan.records().filter(|record| record.kind == Kind::Cwd) {
        let path = record.body.string().ok_or(Fault::broken_plan(Step::Chdir, record.index))?;
        sys::chdir(path).map_err(at(Step::Chdir, Call::Chdir, record.index))?;
    }
    Ok(())
}
