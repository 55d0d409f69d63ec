//! `network`: the host name and the loopback interface.

use super::at;
use crate::fault::{Call, Fault, Step};
use crate::plan::{Kind, Plan, flag};
use crate::sys;

pub(super) fn set_up(plan: Plan<'_>) -> Result<(), Fault> {
    if plan.has(flag::DEGRADED) {
        return Ok(());
    }
    for mut record in plan.records().filter(|record| record.kind == Kind::Hostname) {
        let name = record.body.string().ok_or(Fault::broken_plan(Step::Network, record.index))?;
        sys::sethostname(name).map_err(at(Step::Network, Call::Sethostname, record.index))?;
    }
    if plan.has(flag::LOOPBACK) {
        let none = Fault::NO_RECORD;
        let socket = sys::socket().map_err(at(Step::Network, Call::Socket, none))?;
        sys::loopback_up(socket.borrow()).map_err(at(Step::Network, Call::Ioctl, none))?;
    }
    Ok(())
}
