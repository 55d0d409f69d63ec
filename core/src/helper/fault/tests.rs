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
    let hint = "mount_setattr came with Linux 5.12; a filter around this process may refuse it too";
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
