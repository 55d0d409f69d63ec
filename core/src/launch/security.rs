//! The part of the plan that says who the program is: ids, groups,
//! capabilities, no_new_privs.

use libctr_helper::plan::{Field, Kind, flag};
use oci_spec::runtime::Capability;

use crate::error::{Error, Result, Stage};
use crate::helper::plan::Plan;
use crate::proc;
use crate::process::Process;
use crate::spec::{RunSpec, capability};
use crate::userns::Users;

/// What a program of uid 0 has, as container engines have it (the numbers of
/// linux/capability.h).
pub(super) const DEFAULT: u64 = bit(0) // CHOWN
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
    | bit(MKNOD)
    | bit(29) // AUDIT_WRITE
    | bit(31); // SETFCAP

const SYS_ADMIN: u32 = 21;
const MKNOD: u32 = 27;

const fn bit(number: u32) -> u64 {
    1 << number
}

/// `filtered`: whether the control group says which devices can be opened.
/// Without, nobody inside may make nodes, see `cgroup/devices.rs`.
pub(super) fn write(
    plan: &mut Plan,
    spec: &RunSpec,
    process: &Process,
    users: Option<&Users>,
    filtered: bool,
) -> Result<()> {
    plan.set(Field::Uid, process.uid);
    plan.set(Field::Gid, process.gid);
    // Without subordinate ids there are no groups to be in.
    let may = users.is_none_or(Users::has_groups);
    let groups = process
        .groups
        .iter()
        .filter(|group| may && users.is_none_or(|users| users.host_gid(**group).is_some()));
    for group in groups {
        plan.record(Kind::Group, |body| {
            body.u32(*group);
        });
    }
    let mut wanted = bounding(spec, users)?;
    // In a user namespace nobody makes nodes.
    if !filtered && users.is_none() {
        wanted &= !bit(MKNOD);
    }
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

/// The bounding set, before what the filter of devices takes. A new user
/// namespace begins with all capabilities over itself.
pub(super) fn bounding(spec: &RunSpec, users: Option<&Users>) -> Result<u64> {
    Ok(set(spec)? & users.map_or_else(ours, |_| Ok(u64::MAX))?)
}

/// The capability that was asked for by name and that opens a way to every
/// device unless those are filtered: a node, or a mount that has nodes.
pub(super) fn needs_filter(spec: &RunSpec) -> Option<String> {
    let wanting = spec.security.capabilities.add.iter().find(|name| {
        let ways = bit(MKNOD) | bit(SYS_ADMIN);
        named(std::slice::from_ref(name)).is_ok_and(|set| set & ways != 0)
    })?;
    Some(format!("the filter of devices for security.capabilities.add ({wanting:?})"))
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
    let status = proc::read("status", Stage::User)?;
    // The name of the thread, which is another line, may be any bytes.
    let mut lines = status.split(|byte| *byte == b'\n');
    let digits = lines.find_map(|line| line.strip_prefix(b"CapBnd:"));
    let digits = digits.and_then(|digits| str::from_utf8(digits).ok());
    let set = digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
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
    use super::{DEFAULT, needs_filter, set};
    use crate::spec::RunSpec;

    #[test]
    fn filter_of_devices_is_needed_by_two_capabilities() {
        let asked = |name: &str| {
            let mut spec = RunSpec::default();
            spec.security.capabilities.add = vec!["NET_RAW".into(), name.into()];
            needs_filter(&spec)
        };
        for name in ["MKNOD", "cap_mknod", "SYS_ADMIN", "ALL"] {
            let text = format!("the filter of devices for security.capabilities.add ({name:?})");
            assert_eq!(asked(name), Some(text));
        }
        assert_eq!(asked("SYS_PTRACE"), None);
    }

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
