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
        let joins = plan::Plan::new(bytes).is_some_and(|plan| plan.get(Field::Join).is_some());
        let message = match joins {
            true => "the program was killed before it was executed",
            false => "pid 1 was killed before the program was executed",
        };
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
        (Stage::Chdir, Call::Chdir, Errno::ELOOP | Errno::EXDEV) => error
            .with_kind(ErrorKind::InvalidInput)
            .with_hint("a link of /proc to an open file is no working directory"),
        (Stage::Filesystem, _, Errno::EXDEV) => error.with_kind(ErrorKind::InvalidInput).with_hint(
            "the target leads into the container's /proc or /sys, where nothing may be mounted",
        ),
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
        (_, call, Errno::ENOSYS) => match since(call) {
            Some(version) => error.with_hint(format!(
                "{} came with Linux {version}; a filter around this process may refuse it too",
                call.name()
            )),
            None => error,
        },
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
        Kind::Namespace => {
            body.skip(1);
            format!("{name}({})", body.text())
        }
        Kind::Owner => {
            let (uid, gid, _mode) = (body.number(), body.number(), body.number());
            format!("{name}({}, {uid}:{gid})", body.text())
        }
        Kind::LandlockRule => {
            let rights = body.0.u64().unwrap_or(0);
            format!("{name}_add_rule({rights:#x} below {})", body.text())
        }
        Kind::Group | Kind::Argument | Kind::Environment | Kind::Landlock | Kind::Terminal => {
            format!("{name}()")
        }
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
mod tests;
