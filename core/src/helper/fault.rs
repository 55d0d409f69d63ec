//! Renders the eight bytes of a helper's fault: the host still has the plan,
//! so it can say which call with which arguments failed.

use std::ffi::CStr;

use libctr_helper::fault::{Call, Fault, Step};
use libctr_helper::plan::{self, Body, Field, Kind, Record, option};
use nix::errno::Errno;

use crate::error::{Error, ErrorKind, Stage};

/// The error that a fault stands for.
pub(crate) fn error(bytes: &[u8], fault: Fault) -> Error {
    if fault.call == Call::Died {
        let message = "pid 1 was killed before the program was executed";
        return Error::new(Stage::Launch, ErrorKind::SetupFailed, message)
            .with_hint("is the memory limit too small?");
    }
    let plan = plan::Plan::new(bytes);
    let record = plan.and_then(|plan| plan.records().find(|record| record.index == fault.index));
    let errno = Errno::from_raw(fault.errno);
    let stage = stage(fault.step);
    let what = match (searched(plan, fault), record) {
        (Some(what), _) => what,
        (None, Some(record)) => sentence(fault.call, &record),
        (None, None) => call_alone(fault),
    };
    let error = Error::sys(stage, what, errno);
    if let Some(hint) = record.filter(|_| is_refusal(fault)).and_then(|record| advice(&record)) {
        return error.with_kind(ErrorKind::Unsupported).with_hint(hint);
    }
    match (stage, fault.call, errno) {
        (_, call, Errno::ENOSYS) if since(call).is_some() => error.with_hint(format!(
            "{} came with Linux {}; a filter around this process may refuse it too",
            call.name(),
            since(call).unwrap_or_default()
        )),
        (Stage::Filesystem, Call::PivotRoot, Errno::EINVAL) => error
            .with_kind(ErrorKind::Unsupported)
            .with_hint("the root directory of this process must be a mount: is it in a chroot?"),
        (Stage::Exec, Call::Execve, Errno::ENOENT | Errno::ENOTDIR) => {
            let hint = "it must exist inside the container, with its interpreter or loader";
            error.with_kind(ErrorKind::ProgramNotFound).with_hint(hint)
        }
        (
            Stage::Exec,
            Call::Execve,
            Errno::EACCES | Errno::ENOEXEC | Errno::EPERM | Errno::EISDIR,
        ) => error.with_kind(ErrorKind::ProgramNotExecutable),
        (Stage::Chdir, Call::Chdir, Errno::ENOENT | Errno::ENOTDIR) => {
            error.with_hint("the working directory must exist inside the container")
        }
        (Stage::User, Call::Seccomp, _) => unfiltered(error, errno),
        (Stage::User, Call::IdTool, _) => error
            .with_kind(ErrorKind::Denied)
            .with_hint("every range must be the caller's in /etc/subuid and /etc/subgid"),
        (Stage::Launch, Call::Clone, Errno::EPERM | Errno::ENOSPC | Errno::EUSERS)
            if has_user_namespace(plan) =>
        {
            error.with_kind(ErrorKind::Unsupported).with_hint(
                "user namespaces are forbidden or used up here: as root, sysctl \
                 user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1 \
                 kernel.apparmor_restrict_unprivileged_userns=0 (those that exist)",
            )
        }
        (Stage::Filesystem, Call::Mount, Errno::EPERM) if has_user_namespace(plan) => error
            .with_hint(
                "where /proc or /sys are partly covered, as in a container, no new ones \
                        can be mounted: start that container with them uncovered",
            ),
        (Stage::Launch | Stage::Filesystem, _, Errno::EPERM) => {
            error.with_hint("namespaces and mounts need CAP_SYS_ADMIN; run as root")
        }
        _ => error,
    }
}

/// Why a filter of system calls was not loaded, where the kernel tells
/// (seccomp(2), "ERRORS").
fn unfiltered(error: Error, errno: Errno) -> Error {
    match errno {
        Errno::ENOSYS | Errno::EINVAL => error.with_kind(ErrorKind::Unsupported).with_hint(
            "the kernel needs CONFIG_SECCOMP_FILTER, and Linux 5.0 for SCMP_ACT_NOTIFY; \
             \"seccomp\": \"unconfined\" runs without a filter",
        ),
        Errno::EBUSY => error.with_kind(ErrorKind::Unsupported).with_hint(
            "a filter around this process has a listener already, and there can be but one",
        ),
        _ => error,
    }
}

/// Whether the fault says that an ordinary user can make no namespaces here,
/// or has no rights in them (as AppArmor arranges it).
pub(crate) fn refuses_namespaces(bytes: &[u8], fault: Fault) -> bool {
    let errno = Errno::from_raw(fault.errno);
    let refused = match (fault.step, fault.call) {
        (Step::Launch, Call::Clone) => {
            matches!(
                errno,
                Errno::EPERM
                    | Errno::EACCES
                    | Errno::ENOSPC
                    | Errno::EUSERS
                    | Errno::ENOSYS
                    | Errno::EINVAL
            )
        }
        (Step::User, Call::IdTool | Call::Write) => true,
        (Step::Cgroup, Call::Unshare) | (Step::Network, _) | (Step::Filesystem, Call::Mount) => {
            matches!(errno, Errno::EPERM | Errno::EACCES)
        }
        _ => false,
    };
    refused && has_user_namespace(plan::Plan::new(bytes))
}

fn has_user_namespace(plan: Option<plan::Plan<'_>>) -> bool {
    let flags = plan.and_then(|plan| plan.get(Field::CloneFlags)).unwrap_or(0);
    flags & u64::from(libc::CLONE_NEWUSER.cast_unsigned()) != 0
}

/// The kernel that brought a call for which there is no older one, or none that
/// does here.
const fn since(call: Call) -> Option<&'static str> {
    match call {
        Call::OpenTree | Call::MoveMount | Call::Fsopen | Call::Fsconfig | Call::Fsmount => {
            Some("5.2")
        }
        Call::Clone => Some("5.3"),
        Call::Openat2 => Some("5.6"),
        Call::MountSetattr => Some("5.12"),
        _ => None,
    }
}

/// Whether the fault says that the root's overlay cannot be mounted here.
pub(crate) fn refuses_overlay(bytes: &[u8], fault: Fault) -> bool {
    let record = plan::Plan::new(bytes)
        .and_then(|plan| plan.records().find(|record| record.index == fault.index));
    // A file system that cannot be shown with other ids (mount_setattr(2)).
    let refused = is_refusal(fault) || fault.call == Call::MountSetattr;
    refused && record.is_some_and(|record| record.kind == Kind::RootOverlay)
}

/// Whether a call that makes an overlay was refused for what the kernel or its
/// file systems cannot do (fs/overlayfs/params.c, super.c): no overlayfs
/// (ENODEV), no file-descriptor mounts (ENOSYS), a filter in front of them
/// (EPERM); EINVAL for layers that are overlays of overlays already ("maximum
/// fs stacking depth exceeded"), an upper layer on an overlay or on a file
/// system without what one needs, layers with case folding, an option that
/// this kernel does not know. What is wrong with the layers themselves
/// (ENOENT, ELOOP for one that lies in another) or passes (ENOMEM, EBUSY) is
/// none.
fn is_refusal(fault: Fault) -> bool {
    let makes_overlay =
        matches!(fault.call, Call::Fsopen | Call::Fsconfig | Call::Fsmount | Call::Mount);
    let errno = Errno::from_raw(fault.errno);
    makes_overlay
        && matches!(
            errno,
            Errno::EINVAL | Errno::ENODEV | Errno::ENOSYS | Errno::EOPNOTSUPP | Errno::EPERM
        )
}

/// What to do where no overlay can be mounted.
fn advice(record: &Record<'_>) -> Option<&'static str> {
    match record.kind {
        Kind::RootOverlay => Some(
            "no overlay can be mounted on these directories (the kernel's log says why); \
             an image or a rootfs would be copied instead",
        ),
        Kind::Overlay => Some(
            "no overlay can be mounted on this directory (the kernel's log says why); \
             mount it with type bind",
        ),
        _ => None,
    }
}

fn stage(step: Step) -> Stage {
    match step {
        Step::Launch | Step::Unknown => Stage::Launch,
        Step::Cgroup => Stage::Cgroup,
        Step::Network => Stage::Network,
        Step::Filesystem => Stage::Filesystem,
        Step::User => Stage::User,
        Step::Chdir => Stage::Chdir,
        Step::Exec => Stage::Exec,
    }
}

/// What is said of a program that was looked for on the search path.
fn searched(plan: Option<plan::Plan<'_>>, fault: Fault) -> Option<String> {
    let plan = plan.filter(|_| (fault.step, fault.call) == (Step::Exec, Call::Execve))?;
    let name = plan.of(Kind::Argument).next()?.string()?.to_string_lossy().into_owned();
    let missing = matches!(Errno::from_raw(fault.errno), Errno::ENOENT | Errno::ENOTDIR);
    (missing && !name.contains('/'))
        .then(|| format!("execve({name:?}): executable file not found in $PATH"))
}

/// A call that belongs to no record of the plan.
fn call_alone(fault: Fault) -> String {
    match (fault.step, fault.call) {
        (Step::Launch, Call::Clone) => "clone3(new namespaces, CLONE_INTO_CGROUP) of pid 1".into(),
        (_, call) => format!("{}()", call.name()),
    }
}

/// The call with the arguments of its record.
fn sentence(call: Call, record: &Record<'_>) -> String {
    let name = call.name();
    let mut body = Arguments(record.body);
    match record.kind {
        Kind::Stage => format!("{name}(\"tmpfs\", {})", body.text()),
        Kind::GroupV1 => {
            body.skip(1);
            format!("{name}({} + \"/tasks\")", body.text())
        }
        Kind::Filesystem => {
            body.skip(2);
            let (kind, target, data) = (body.text(), body.text(), body.text());
            format!("{name}({kind}, {target}, {data})")
        }
        Kind::Device => {
            body.skip(4);
            let (major, minor) = (body.number(), body.number());
            let (source, target) = (body.text(), body.text());
            format!("{name}(device {source} on {target}, {major}:{minor})")
        }
        Kind::Symlink => {
            let (contents, path) = (body.text(), body.text());
            format!("{name}({contents}, {path})")
        }
        Kind::Bind => {
            let mode = if body.number() & option::READ_ONLY != 0 { "ro" } else { "rw" };
            let (source, target) = (body.text(), body.text());
            format!("{name}(bind {source} on {target}, {mode})")
        }
        Kind::Overlay => {
            body.skip(1);
            let (source, target) = (body.text(), body.text());
            format!("{name}(overlay of {source} on {target})")
        }
        Kind::RootOverlay => {
            body.skip(1);
            let (_target, upper, _work) = (body.text(), body.text(), body.text());
            let (count, lower) = (body.number(), body.text());
            format!("{name}(overlay of {count} lower layers from {lower}, upper {upper})")
        }
        Kind::UpperDir => {
            body.skip(4);
            format!("{name}({})", body.text())
        }
        Kind::Directory | Kind::File => {
            body.skip(1);
            format!("{name}({})", body.text())
        }
        Kind::Rlimit => {
            let (resource, soft) = (body.number(), body.number());
            format!("{name}(resource {resource}, {soft})")
        }
        Kind::Filter => {
            let (flags, instructions) = (body.number(), body.number());
            format!("{name}(SECCOMP_SET_MODE_FILTER, {flags:#x}, {instructions} instructions)")
        }
        Kind::GroupV2
        | Kind::RootBind
        | Kind::Hostname
        | Kind::Mask
        | Kind::ReadOnly
        | Kind::Cwd
        | Kind::Program
        | Kind::Scratch
        | Kind::ScratchOnData => format!("{name}({})", body.text()),
        Kind::Remove => {
            body.skip(1);
            format!("{name}({})", body.text())
        }
        Kind::IdMap => {
            let (file, contents) = (body.text(), body.text());
            format!("{name}(/proc/PID/{file}, {contents})")
        }
        Kind::IdTool => {
            let mut words = vec![body.text(), "PID".into()];
            while let Some(word) = body.0.string() {
                words.push(word.to_string_lossy().into_owned());
            }
            words.join(" ")
        }
        Kind::Owner => {
            let (uid, gid, _mode) = (body.number(), body.number(), body.number());
            format!("{name}({}, {uid}:{gid})", body.text())
        }
        Kind::LandlockRule => {
            let rights = body.0.u64().unwrap_or(0);
            format!("{name}_add_rule({rights:#x} below {})", body.text())
        }
        Kind::Group | Kind::Argument | Kind::Environment | Kind::Landlock => format!("{name}()"),
    }
}

/// The payload of a record, for people.
struct Arguments<'a>(Body<'a>);

impl Arguments<'_> {
    fn skip(&mut self, numbers: usize) {
        for _ in 0..numbers {
            self.number();
        }
    }

    fn number(&mut self) -> u32 {
        self.0.u32().unwrap_or(0)
    }

    fn text(&mut self) -> String {
        let text = self.0.string().map(CStr::to_string_lossy);
        format!("{:?}", text.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::{error, refuses_overlay};
    use crate::error::{ErrorKind, Stage};
    use crate::helper::plan::Plan;
    use libctr_helper::fault::{Call, Fault, Step};
    use libctr_helper::plan::Kind;
    use nix::errno::Errno;

    fn fault(call: Call, index: u16, errno: Errno) -> Fault {
        Fault { step: Step::Filesystem, call, index, errno: errno as i32 }
    }

    /// Record 0 is a view, record 1 the root.
    fn plan() -> Vec<u8> {
        let mut plan = Plan::new();
        plan.record(Kind::Overlay, |body| {
            body.u32(0).string("/source").string("target").string("u").string("w");
        });
        plan.record(Kind::RootOverlay, |body| {
            body.u32(0).string("m").string("u").string("w").u32(1).string("/lower");
        });
        plan.to_bytes()
    }

    #[test]
    fn refusal_of_the_roots_overlay_is_told_from_other_failures() {
        let plan = plan();
        let refuses = |call, index, errno| refuses_overlay(&plan, fault(call, index, errno));
        for errno in [Errno::EINVAL, Errno::ENODEV, Errno::ENOSYS, Errno::EOPNOTSUPP] {
            assert!(refuses(Call::Fsconfig, 1, errno), "{errno}");
        }
        assert!(refuses(Call::Fsopen, 1, Errno::EPERM));
        assert!(refuses(Call::Mount, 1, Errno::EINVAL));
        assert!(refuses(Call::Fsmount, 1, Errno::EINVAL));
        for errno in [Errno::ENOENT, Errno::ELOOP, Errno::ENOMEM, Errno::EBUSY, Errno::EACCES] {
            assert!(!refuses(Call::Fsconfig, 1, errno), "{errno}");
        }
        assert!(!refuses(Call::MoveMount, 1, Errno::EINVAL));
        assert!(!refuses(Call::Fsconfig, 0, Errno::EINVAL));
        assert!(!refuses(Call::Fsconfig, Fault::NO_RECORD, Errno::EINVAL));
    }

    #[test]
    fn missing_call_is_unsupported_and_the_version_is_named() {
        let mut plan = Plan::new();
        plan.record(Kind::Bind, |body| {
            body.u32(1).string("/source").string("target");
        });
        let plan = plan.to_bytes();
        let missing = error(&plan, fault(Call::MountSetattr, 0, Errno::ENOSYS));
        assert_eq!((missing.kind(), missing.stage()), (ErrorKind::Unsupported, Stage::Filesystem));
        let hint =
            "mount_setattr came with Linux 5.12; a filter around this process may refuse it too";
        assert_eq!(missing.hint(), Some(hint));
        // One that every kernel has is refused by a filter alone.
        assert_eq!(error(&plan, fault(Call::Mkdir, 0, Errno::ENOSYS)).hint(), None);
        assert_eq!(error(&plan, fault(Call::OpenTree, 0, Errno::ENOENT)).hint(), None);
    }

    #[test]
    fn root_that_is_no_mount_is_unsupported() {
        let refused = error(&plan(), fault(Call::PivotRoot, Fault::NO_RECORD, Errno::EINVAL));
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        let text = "filesystem: pivot_root(): EINVAL (Invalid argument); \
                    the root directory of this process must be a mount: is it in a chroot?";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn refused_overlay_is_unsupported_and_says_what_helps() {
        let refused = error(&plan(), fault(Call::Fsconfig, 1, Errno::EINVAL));
        assert_eq!((refused.kind(), refused.stage()), (ErrorKind::Unsupported, Stage::Filesystem));
        let text = "fsconfig(overlay of 1 lower layers from \"/lower\", upper \"u\")";
        assert_eq!(refused.message(), text);
        assert!(refused.hint().is_some_and(|hint| hint.ends_with("would be copied instead")));
        let view = error(&plan(), fault(Call::Fsopen, 0, Errno::ENODEV));
        assert_eq!((view.kind(), view.errno()), (ErrorKind::Unsupported, Some(19)));
        assert!(view.hint().is_some_and(|hint| hint.ends_with("mount it with type bind")));
        let absent = error(&plan(), fault(Call::Fsconfig, 1, Errno::ENOENT));
        assert_eq!((absent.kind(), absent.hint()), (ErrorKind::NotFound, None));
    }
}
