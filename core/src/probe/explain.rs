//! What the helper has tried, in words: what was refused, what that means, and
//! the command that changes it.

mod table;

use libctr_helper::ability::{Ability, Verdict};
use libctr_helper::fault::Call;
use nix::errno::Errno;

use super::attempts::Attempts;
use super::identity::Identity;
use super::machine::Machine;
use super::{Finding, State, settings};
use table::{Entry, TABLE};

/// The first version that keeps signals in (Linux 6.12): what the rung without
/// namespaces needs.
pub(super) const LANDLOCK: u32 = 6;

/// A finding for each ability but those that have words of their own.
pub(super) fn findings(
    machine: &Machine,
    identity: &Identity,
    attempts: &Attempts,
) -> Vec<Finding> {
    let own = identity.users().map(|users| match users.is_single() {
        true => (Ability::User, "namespace.user"),
        false => (Ability::UserMapped, "namespace.user.mapped"),
    });
    let first = own.filter(|(ability, _)| !attempts.works(*ability)).map(|(_, name)| name);
    let mut findings = Vec::new();
    for entry in &TABLE {
        let verdict = attempts.verdict(entry.ability);
        match (first, verdict) {
            // Another user namespace is not for this caller to make.
            (_, None) if entry.ability == Ability::Idmap && own.is_some() => {}
            // There is no v2 group, or no place for the data: said elsewhere.
            (_, None) if entry.may_be_untried && attempts.works(Ability::Openat2) => {}
            (Some(first), Some(_)) if entry.in_own => {
                let detail = format!("not without {first}");
                let found = Finding::missing(entry.name, detail, entry.consequence);
                findings.push(Finding { state: entry.without, because: Some(first), ..found });
            }
            _ => findings.push(of_entry(entry, verdict, machine)),
        }
    }
    if own.is_some() {
        explain_users(&mut findings);
    }
    findings
}

/// A user namespace is what an ordinary user's container begins with.
fn explain_users(findings: &mut [Finding]) {
    let users = findings.iter_mut().find(|finding| finding.ability == "namespace.user");
    if let Some(finding) = users.filter(|finding| finding.state == State::Degraded) {
        finding.state = State::Missing;
        finding.consequence = Some("no container can be started, but with degraded: allow".into());
    }
}

/// A finding about an ability under another name.
pub(super) fn finding(
    name: &'static str,
    ability: Ability,
    verdict: Option<Verdict>,
    machine: &Machine,
) -> Finding {
    let entry = TABLE.iter().find(|entry| entry.ability == Ability::User);
    let finding = entry.map(|entry| of_entry(&Entry { ability, name, ..*entry }, verdict, machine));
    finding.unwrap_or_else(|| Finding::ok(name, ""))
}

fn of_entry(entry: &Entry, verdict: Option<Verdict>, machine: &Machine) -> Finding {
    let call = |call: Call| match call {
        Call::Unknown => entry.call,
        other => other.name(),
    };
    let failed = |detail: String| Finding {
        state: entry.without,
        ..Finding::missing(entry.name, detail, entry.consequence)
    };
    match verdict {
        Some(Verdict::Works(version)) if entry.ability == Ability::Landlock => landlock(version),
        Some(Verdict::Works(_)) => Finding::ok(entry.name, entry.works),
        None | Some(Verdict::Untried) => failed("it could not be tried".into()),
        Some(Verdict::Wrong(what)) => failed(wrong(entry.ability, what).into()),
        Some(Verdict::Hung) => failed(format!("{}() did not return in two seconds", entry.call)),
        Some(Verdict::Killed(signal)) => {
            let filter = match signal {
                libc::SIGSYS => "SIGSYS, by a filter of system calls around this process".into(),
                other => format!("signal {other}"),
            };
            let consequence = match entry.is_used {
                true => "every start is ended so: nothing can be run",
                false => entry.consequence,
            };
            let detail = format!("the process that tried it was ended by {filter}");
            let state = if entry.is_used { State::Missing } else { entry.without };
            let fix = machine.without_filter().filter(|_| signal == libc::SIGSYS);
            Finding { state, ..Finding::missing(entry.name, detail, consequence) }.with_fix(fix)
        }
        Some(Verdict::Refused { call: Call::IdTool, .. }) => {
            failed("newuidmap or newgidmap refuses the map, or cannot be executed".into())
        }
        Some(Verdict::Refused { call: Call::Died, .. }) => {
            failed("the process that tried it has ended".into())
        }
        Some(Verdict::Refused { call: which, errno }) => {
            let errno = Errno::from_raw(errno);
            let (why, fix) = reason(entry, which, errno, machine);
            let why = why.map(|why| format!(": {why}")).unwrap_or_default();
            let name = call(which);
            failed(format!("{name}(): {errno:?} ({}){why}", errno.desc())).with_fix(fix)
        }
    }
}

fn landlock(version: u32) -> Finding {
    let name = "landlock";
    let detail = format!("version {version}");
    match version >= LANDLOCK {
        true => Finding::ok(name, detail),
        false => Finding::degraded(
            name,
            detail,
            "the wall behind the mounts is lower, and degraded: allow is refused (it needs \
             version 6, Linux 6.12)",
        ),
    }
}

fn wrong(ability: Ability, what: u32) -> &'static str {
    match (ability, what) {
        (Ability::Filter, _) => "a filter was loaded and does nothing",
        (Ability::Pid, _) => "the first process of a pid namespace is not number 1",
        (_, 1) => "an overlay was mounted and does not copy changed files up",
        (_, 2) => "an overlay was mounted and does not hide removed files",
        (_, 3) => "an overlay was mounted and shows what opaque directories hide",
        _ => "it was done and had no effect",
    }
}

/// Why a call was refused, and what changes that.
fn reason(
    entry: &Entry,
    call: Call,
    errno: Errno,
    machine: &Machine,
) -> (Option<String>, Option<String>) {
    use Ability as A;
    let denied = matches!(errno, Errno::EPERM | Errno::EACCES);
    let by_users = denied || matches!(errno, Errno::ENOSPC | Errno::EUSERS);
    let top = match entry.ability {
        A::Proc => "/proc",
        A::Sysfs => "/sys",
        _ => "",
    };
    if let (true, false, Some(path)) = (denied, top.is_empty(), machine.covered(top)) {
        let why = format!("{path} is covered, as in a container, so no new {top} can be mounted");
        return (Some(why), machine.uncovered());
    }
    if matches!(entry.ability, A::User | A::UserMapped)
        && by_users
        && let Some((why, fix)) = settings::forbids_users()
    {
        return (Some(why.into()), Some(fix.into()));
    }
    match (entry.ability, call, errno) {
        (A::Overlay | A::OverlayUser | A::OverlayOnData, Call::Mount, Errno::ENODEV) => {
            return (None, Some("as root: modprobe overlay".into()));
        }
        (A::Tun, _, Errno::ENOENT | Errno::ENODEV) => {
            return (None, Some("as root: modprobe tun".into()));
        }
        (A::Landlock, _, Errno::EOPNOTSUPP) => {
            let fix = "boot with lsm=landlock,… on the kernel's command line";
            return (Some("it is not switched on".into()), Some(fix.into()));
        }
        (A::PivotRoot, _, Errno::EINVAL) => {
            return (Some("the root directory is no mount: is this a chroot?".into()), None);
        }
        _ => {}
    }
    let filter = "a filter of system calls around this process refuses it";
    match entry.since {
        Some(since) if errno == Errno::ENOSYS && !machine.is_since(since) => {
            let (major, minor) = since;
            (Some(format!("it came with Linux {major}.{minor}")), None)
        }
        _ if errno == Errno::ENOSYS && machine.is_filtered() => {
            (Some(filter.into()), machine.without_filter())
        }
        _ if denied && machine.is_filtered() && !crate::userns::is_host_root() => {
            (Some(format!("perhaps {filter}")), machine.without_filter())
        }
        _ if denied && machine.is_filtered() => (Some(filter.into()), machine.without_filter()),
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::table::TABLE;
    use super::{Machine, State, of_entry};
    use libctr_helper::ability::{Ability, Verdict};
    use libctr_helper::fault::Call;

    fn found(ability: Ability, verdict: Verdict) -> super::Finding {
        let entry = TABLE.iter().find(|entry| entry.ability == ability).expect("an entry");
        of_entry(entry, Some(verdict), &Machine::look())
    }

    #[test]
    fn every_ability_has_words_but_the_one_that_has_its_own() {
        for ability in Ability::ALL {
            let known = TABLE.iter().any(|entry| entry.ability == *ability);
            assert_eq!(known, *ability != Ability::UserMapped, "{ability:?}");
        }
    }

    #[test]
    fn refused_call_is_named_with_its_errno() {
        let refused = Verdict::Refused { call: Call::Mount, errno: libc::ENODEV };
        let finding = found(Ability::Overlay, refused);
        assert_eq!(finding.state, State::Missing);
        assert_eq!(finding.detail, "mount(): ENODEV (No such device)");
        assert_eq!(finding.fix.as_deref(), Some("as root: modprobe overlay"));
        let alone = Verdict::Refused { call: Call::Unknown, errno: libc::E2BIG };
        let finding = found(Ability::Clone3, alone);
        assert_eq!(finding.detail, "clone3(): E2BIG (Argument list too long)");
        assert_eq!(finding.state, State::Degraded);
    }

    #[test]
    fn call_that_is_missing_is_done_without_and_one_that_kills_is_not() {
        let finding = found(Ability::Clone3, Verdict::Killed(libc::SIGSYS));
        assert_eq!(finding.state, State::Missing);
        assert!(finding.detail.contains("SIGSYS"), "{}", finding.detail);
        let finding = found(Ability::Landlock, Verdict::Works(3));
        assert_eq!((finding.state, finding.detail.as_str()), (State::Degraded, "version 3"));
        assert_eq!(found(Ability::Landlock, Verdict::Works(7)).state, State::Ok);
    }

    #[test]
    fn overlay_that_is_mounted_and_wrong_is_told() {
        let finding = found(Ability::Overlay, Verdict::Wrong(3));
        assert!(finding.detail.ends_with("shows what opaque directories hide"));
        assert_eq!(found(Ability::Overlay, Verdict::Hung).state, State::Missing);
        assert_eq!(found(Ability::Overlay, Verdict::Works(0)).state, State::Ok);
    }
}
