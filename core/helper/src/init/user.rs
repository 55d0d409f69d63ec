//! `user`: keyring, bounding set, groups, gid, uid, capabilities,
//! no_new_privs (capabilities(7), credentials(7)).

use super::{Inherited, at, end_with_monitor};
use crate::fault::{Call, Fault, Step};
use crate::plan::{Field, Kind, Plan, flag};
use crate::sys::{self, Errno};

/// Supplementary groups that one process may have (limits.h, NGROUPS_MAX is
/// larger, but no real user comes near).
const GROUPS_MAX: usize = 1024;
const CAP_SYS_ADMIN: u64 = 1 << 21;

pub(crate) fn become_user(plan: Plan<'_>, inherited: &Inherited) -> Result<(), Fault> {
    let none = Fault::NO_RECORD;
    let failed = |call| at(Step::User, call, none);
    let number = |field| plan.get(field).unwrap_or(0);

    if plan.has(flag::KEYRING) {
        // A kernel without keyrings has none to hide; behind a filter that
        // refuses the call here nobody reads a key inside either.
        match sys::new_keyring() {
            Ok(()) | Err(Errno::ENOSYS) => {}
            Err(Errno::EPERM) if sys::is_filtered() => {}
            Err(errno) => return Err(failed(Call::Keyctl)(errno)),
        }
    }

    // Without namespaces the user is the caller already, and has no rights.
    if plan.has(flag::DEGRADED) {
        sys::capset(0, 0, 0).map_err(failed(Call::Capset))?;
        sys::ambient_clear().map_err(failed(Call::Prctl))?;
        return sys::no_new_privs().map_err(failed(Call::Prctl));
    }

    // The bounding set needs CAP_SETPCAP, so it comes before the capabilities
    // go. EINVAL: the kernel has no further capabilities.
    let bounding = number(Field::CapBounding);
    for capability in (0..64_u32).filter(|number| bounding & (1_u64 << number) == 0) {
        match sys::bounding_drop(capability) {
            Ok(()) => {}
            Err(Errno::EINVAL) => break,
            Err(errno) => return Err(failed(Call::Prctl)(errno)),
        }
    }

    let mut groups = [0_u32; GROUPS_MAX];
    let mut count = 0_usize;
    for mut record in plan.records().filter(|record| record.kind == Kind::Group) {
        let broken = Fault::broken_plan(Step::User, record.index);
        *groups.get_mut(count).ok_or(broken)? = record.body.u32().ok_or(broken)?;
        count = count.saturating_add(1);
    }
    if !plan.has(flag::NO_SETGROUPS) {
        sys::setgroups(groups.get(..count).unwrap_or(&[])).map_err(failed(Call::Setgroups))?;
    }

    // Capabilities that a program of another user keeps survive the change of
    // uid only with this bit.
    // The one for the filter goes when execve computes them anew, from the
    // bounding set and the ambient set.
    let filter = if plan.has(flag::FILTER_CAP) { CAP_SYS_ADMIN } else { 0 };
    let keep = plan.has(flag::KEEP_CAPS) || filter != 0;
    if keep {
        sys::keep_caps(true).map_err(failed(Call::Prctl))?;
    }
    let id = |field| u32::try_from(number(field)).unwrap_or(u32::MAX);
    sys::setresgid(id(Field::Gid)).map_err(failed(Call::Setresgid))?;
    sys::setresuid(id(Field::Uid)).map_err(failed(Call::Setresuid))?;
    if keep {
        sys::keep_caps(false).map_err(failed(Call::Prctl))?;
    }

    let effective = number(Field::CapEffective) | filter;
    sys::capset(effective, effective, number(Field::CapInheritable)).map_err(failed(Call::Capset))?;
    sys::ambient_clear().map_err(failed(Call::Prctl))?;
    let ambient = number(Field::CapAmbient);
    for capability in (0..64_u32).filter(|capability| ambient & (1_u64 << capability) != 0) {
        sys::ambient_raise(capability).map_err(failed(Call::Prctl))?;
    }
    if plan.has(flag::NO_NEW_PRIVS) {
        sys::no_new_privs().map_err(failed(Call::Prctl))?;
    }
    // A change of credentials clears it (prctl(2)); the change is over. With
    // an init the program ends when that ends.
    match plan.has(flag::INIT) {
        true => Ok(()),
        false => end_with_monitor(inherited).map_err(failed(Call::Prctl)),
    }
}
