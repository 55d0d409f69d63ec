//! The part of the plan that says who the program is: ids, groups,
//! capabilities, no_new_privs.

use libctr_helper::plan::{Field, Kind, flag};
use oci_spec::runtime::Capability;

use crate::error::{Error, Result, Stage};
use crate::helper::plan::Plan;
use crate::process::Process;
use crate::spec::{RunSpec, capability};
use crate::userns::Users;

/// What a program of uid 0 has, as container engines have it (the numbers of
/// linux/capability.h).
const DEFAULT: u64 = bit(0) // CHOWN
    | bit(1) // DAC_OVERRIDE
    | bit(3) // FOWNER
    | bit(4) // FSETID
    | bit(5) // KILL
    | bit(6) // SETGID
    | bit(7) // SETUID
    | bit(8) // SETPCAP
    | bit(10) // NET_BIND_SERVICE
    | bit(13) // NET_RAW
    | bit(18) // SYS_CHROOT
    | bit(27) // MKNOD
    | bit(29) // AUDIT_WRITE
    | bit(31); // SETFCAP

const fn bit(number: u32) -> u64 {
    1 << number
}

pub(super) fn write(
    plan: &mut Plan,
    spec: &RunSpec,
    process: &Process,
    users: Option<&Users>,
) -> Result<()> {
    plan.set(Field::Uid, process.uid);
    plan.set(Field::Gid, process.gid);
    // Without subordinate ids there are no groups to be in.
    let groups = process.groups.iter().filter(|group| {
        users.is_none_or(|users| !users.is_single() && users.host_gid(**group).is_some())
    });
    for group in groups {
        plan.record(Kind::Group, |body| {
            body.u32(*group);
        });
    }
    // A new user namespace begins with all capabilities over itself.
    let wanted = set(spec)? & users.map_or_else(ours, |_| Ok(u64::MAX))?;
    let added = named(&spec.security.capabilities.add)? & wanted;
    // Another user has only what was asked for by name, and that in its
    // ambient set too, because nothing else survives its exec.
    let (effective, ambient) = if process.uid == 0 { (wanted, 0) } else { (added, added) };
    plan.set(Field::CapBounding, wanted);
    plan.set(Field::CapEffective, effective);
    plan.set(Field::CapInheritable, ambient);
    plan.set(Field::CapAmbient, ambient);
    plan.flag(flag::KEEP_CAPS, process.uid != 0 && effective != 0);
    plan.flag(flag::NO_NEW_PRIVS, spec.security.no_new_privileges);
    Ok(())
}

/// Default, minus `drop`, plus `add`; `ALL` stands for all.
fn set(spec: &RunSpec) -> Result<u64> {
    let capabilities = &spec.security.capabilities;
    Ok((DEFAULT & !named(&capabilities.drop)?) | named(&capabilities.add)?)
}

fn named(names: &[String]) -> Result<u64> {
    let mut set = 0;
    for name in names {
        if name.eq_ignore_ascii_case("ALL") {
            return Ok(u64::MAX);
        }
        let known = capability(name).ok_or_else(|| {
            Error::invalid(Stage::User, format!("capability {name:?} does not exist"))
        })?;
        let number = CAPABILITIES.iter().position(|capability| *capability == known);
        set |= number.map_or(0, |number| 1 << number);
    }
    Ok(set)
}

/// What the host itself may hand on: a bounding set cannot grow.
fn ours() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/thread-self/status")
        .map_err(|error| Error::io(Stage::User, "read(\"/proc/thread-self/status\")", error))?;
    let line = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let set = line.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    set.ok_or_else(|| Error::invalid(Stage::User, "/proc/thread-self/status has no CapBnd line"))
}

/// All capabilities, each at its number (linux/capability.h).
pub(super) const CAPABILITIES: [Capability; 41] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::DacReadSearch,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::LinuxImmutable,
    Capability::NetBindService,
    Capability::NetBroadcast,
    Capability::NetAdmin,
    Capability::NetRaw,
    Capability::IpcLock,
    Capability::IpcOwner,
    Capability::SysModule,
    Capability::SysRawio,
    Capability::SysChroot,
    Capability::SysPtrace,
    Capability::SysPacct,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysNice,
    Capability::SysResource,
    Capability::SysTime,
    Capability::SysTtyConfig,
    Capability::Mknod,
    Capability::Lease,
    Capability::AuditWrite,
    Capability::AuditControl,
    Capability::Setfcap,
    Capability::MacOverride,
    Capability::MacAdmin,
    Capability::Syslog,
    Capability::WakeAlarm,
    Capability::BlockSuspend,
    Capability::AuditRead,
    Capability::Perfmon,
    Capability::Bpf,
    Capability::CheckpointRestore,
];

#[cfg(test)]
mod tests {
    use super::{DEFAULT, set};
    use crate::spec::RunSpec;

    #[test]
    fn capability_sets_follow_add_and_drop() {
        let mut spec = RunSpec::default();
        assert_eq!(set(&spec).expect("set"), 0xa804_25fb);
        spec.security.capabilities.drop = vec!["ALL".into()];
        assert_eq!(set(&spec).expect("set"), 0);
        spec.security.capabilities.add = vec!["net_admin".into(), "CAP_CHOWN".into()];
        assert_eq!(set(&spec).expect("set"), (1 << 12) | 1);
        spec.security.capabilities.drop.clear();
        assert_eq!(set(&spec).expect("set"), DEFAULT | (1 << 12));
    }
}
